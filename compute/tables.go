package compute

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// The phases of a server's work.
const (
	phaseSchedule = "schedule"
	phaseConnect  = "connect"
	phaseWait     = "wait"
	phaseLive     = "live"
	phaseUnplace  = "unplace"
	phaseRelease  = "release"
	phaseFailed   = "failed" // nothing is held any more
	phaseDeleting = "deleting"
)

// serverRow is a server with what nobody outside sees: what is wished and how
// far it has come.
type serverRow struct {
	bun.BaseModel `bun:"table:compute_servers,alias:server"`
	Server

	VCPUs        int `bun:"vcpus"`
	MemoryMiB    int `bun:"memory_mib"`
	Image        imageCopy
	KeyData      string
	Wanted       wanted
	Password     string   // as the guest posted it, encrypted for the owner's key
	Tried        []string // hosts that failed
	Failures     int      // errors in a row that the host reported of the newest revision
	Phase        string
	ScheduledAt  *time.Time // when its host was chosen
	CheckAt      *time.Time // when the host is sent the server again unless it reports
	Deadline     *time.Time // when the work under way is given up
	Revision     int64      // of what is wished
	SeenRevision int64      // of what the host has reported as done
	Generation   int64      // of decisions about power
	Power        string
	Reboot       string
	Action       string // request id of the action under way
}

// imageCopy is what a server keeps of its image.
type imageCopy struct {
	Format     string            `json:",omitempty"`
	Digest     string            `json:",omitempty"`
	Size       int64             `json:",omitempty"`
	MinDiskGiB int               `json:",omitempty"`
	Properties map[string]string `json:",omitempty"`
}

// wanted is what the scheduler is asked besides the flavor.
type wanted struct {
	Zone          string              `json:",omitempty"`
	ForcedHost    string              `json:",omitempty"`
	ForcedNode    string              `json:",omitempty"`
	RequestedHost string              `json:",omitempty"`
	RequestedNode string              `json:",omitempty"`
	Hints         map[string][]string `json:",omitempty"`
	Files         []InjectedFile      `json:",omitempty"`
	Groups        []string            `json:",omitempty"` // security groups of new ports
	Seed          []byte              `json:",omitempty"` // of the guest's randomness
	Volumes       bool                `json:",omitempty"` // the boot waits for volumes
	Together      bool                `json:",omitempty"` // with others of one request
}

// The states of a disk.
const (
	diskBooting   = "booting" // goes with the boot
	diskAttaching = "attaching"
	diskAttached  = "attached"
	diskDetaching = "detaching"
)

// Disk is a disk of a server: a volume, or local to its host.
type Disk struct {
	ID                  string `bun:",pk"`
	ServerID            string
	Position            int
	Source              string // image, volume, snapshot, blank
	SourceID            string
	Destination         string // local, volume
	BootIndex           *int
	VolumeID            string // once there is one
	AttachmentID        string
	VolumeType          string
	SizeGiB             int `bun:"size_gib"`
	Format              string
	Device              string // /dev/vdb
	Bus                 string
	DeviceType          string
	Tag                 string
	DeleteOnTermination bool
	State               string
	CreatedAt           time.Time
}

type diskRow struct {
	bun.BaseModel `bun:"table:compute_disks,alias:disk"`
	Disk
	Connection connectionCopy
}

type tombstoneRow struct {
	bun.BaseModel `bun:"table:compute_tombstones,alias:tombstone"`

	Host      string `bun:",pk"`
	ServerID  string `bun:",pk"`
	Revision  int64
	CreatedAt time.Time
}

func serverNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Instance %s could not be found.", id)
}

// loadServer returns the row of a server that is not deleted.
func loadServer(ctx context.Context, db bun.IDB, id string) (serverRow, error) {
	var rows []serverRow
	err := db.NewSelect().Model(&rows).Where("server.id = ? AND NOT server.deleted", id).Scan(ctx)
	if err != nil {
		return serverRow{}, err
	}
	if len(rows) == 0 {
		return serverRow{}, serverNotFound(id)
	}
	return rows[0], nil
}

// observedColumns are those that a host's report may have to do with.
var observedColumns = []string{
	"id", "project_id", "user_id", "name", "vm_state", "task_state", "power_state", "fault", "host", "nics", "wanted", "tried", "failures",
	"phase", "check_at", "deadline", "revision", "seen_revision", "generation", "power", "reboot", "action", "launched_at", "password",
}

// loadObserved is [loadServer] without what a report has nothing to do with.
func loadObserved(ctx context.Context, db bun.IDB, id string) (serverRow, error) {
	var rows []serverRow
	err := db.NewSelect().Model(&rows).Column(observedColumns...).Where("server.id = ? AND NOT server.deleted", id).Scan(ctx)
	if err != nil {
		return serverRow{}, err
	}
	if len(rows) == 0 {
		return serverRow{}, serverNotFound(id)
	}
	return rows[0], nil
}

// save writes the columns named, and the time of the change.
func (row *serverRow) save(ctx context.Context, tx *store.Tx, columns ...string) error {
	row.UpdatedAt = tx.Now()
	_, err := tx.NewUpdate().Model(row).Column(append(columns, "updated_at")...).WherePK().Returning("NULL").Exec(ctx)
	return err
}

// loadDisks returns the disks of a server in their order.
func loadDisks(ctx context.Context, db bun.IDB, serverID string) ([]diskRow, error) {
	var rows []diskRow
	err := db.NewSelect().Model(&rows).Where("disk.server_id = ?", serverID).Order("disk.position").Scan(ctx)
	return rows, err
}
