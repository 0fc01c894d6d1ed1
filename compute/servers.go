package compute

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute/metadata"
	"github.com/nephos-cloud/nephos/network"
)

// The states of a server, by Nova's names.
const (
	Building  = "building"
	Active    = "active"
	Stopped   = "stopped"
	Paused    = "paused"
	Suspended = "suspended"
	Errored   = "error"
	Deleted   = "deleted"
)

// What a server is busy with, by Nova's names; empty means nothing.
const (
	TaskScheduling    = "scheduling"
	TaskNetworking    = "networking"
	TaskBlockDevices  = "block_device_mapping"
	TaskSpawning      = "spawning"
	TaskDeleting      = "deleting"
	TaskPoweringOff   = "powering-off"
	TaskPoweringOn    = "powering-on"
	TaskRebooting     = "rebooting"
	TaskRebootingHard = "rebooting_hard"
	TaskPausing       = "pausing"
	TaskUnpausing     = "unpausing"
	TaskSuspending    = "suspending"
	TaskResuming      = "resuming"
)

// Power states, by Nova's numbers.
const (
	PowerNone     = 0
	PowerRunning  = 1
	PowerPaused   = 3
	PowerShutdown = 4
	PowerCrashed  = 6
)

// Server is a server as its project sees it.
type Server struct {
	ID             string `bun:",pk"`
	ProjectID      string
	UserID         string
	Name           string
	Description    *string
	Hostname       string
	CreatedAt      time.Time
	UpdatedAt      time.Time
	LaunchedAt     *time.Time
	DeletedAt      *time.Time
	Deleted        bool
	VMState        string `bun:"vm_state"`
	TaskState      string
	PowerState     int
	Fault          *Fault
	ImageID        string // empty: it boots from a volume
	FlavorID       string
	Flavor         Flavor // as it was when the server was made
	KeyName        string
	Zone           string   // where it is; until then where it is wanted
	PinnedZone     string   // that the user asked for; empty: any
	SecurityGroups []string // by the names it was booted with; its cards tell what they are in
	Metadata       map[string]string
	Tags           []string
	GroupID        string // server group, or empty
	ConfigDrive    string // "True" or empty
	UserData       string // in base64; lists leave it out unless asked for it
	AccessIPv4     string `bun:"access_ipv4"`
	AccessIPv6     string `bun:"access_ipv6"`
	DiskConfig     string // AUTO or MANUAL
	ReservationID  string
	LaunchIndex    int
	RootDevice     string
	LockedBy       string // owner or admin; empty: not locked
	LockedReason   string
	Host           string
	Node           string
	NICs           []NIC `bun:"nics"`

	// Disks are the server's volumes, where the operation says that it loads them.
	Disks []Disk `bun:"-"`
	// HostStatus is UP, DOWN, MAINTENANCE, UNKNOWN or empty (no host), where the
	// operation says that it loads it.
	HostStatus string `bun:"-"`
	// AdminPass is what [Service.Boot] answers with; it is kept nowhere.
	AdminPass string `bun:"-"`
}

// Locked reports whether the server is locked.
func (s Server) Locked() bool { return s.LockedBy != "" }

// Fault says why a server is in error.
type Fault struct {
	Code    int
	Message string
	At      time.Time
	Details string // for operators only
}

// NIC is a network card of a server. What it shows of its port is a copy that
// follows the network service's events.
type NIC struct {
	Key       string // ours, unique in the server: the owner key of its port ends with it
	PortID    string `json:",omitempty"` // empty until it has been made
	MAC       string `json:",omitempty"`
	MTU       int    `json:",omitempty"`
	NetworkID string
	Network   string // name
	Tag       string `json:",omitempty"`
	Addresses []Address
	Groups    []string `json:",omitempty"` // names of its port's security groups
	groups    []string // their IDs, while the card is being connected
	State     string   `json:",omitempty"` // attaching, detaching; empty: plugged
	// Plan is what is to be made or taken, until it has been.
	Plan *network.PortPlan `json:",omitempty"`
}

// The states of a card; empty is plugged.
const (
	nicAttaching = "attaching"
	nicDetaching = "detaching"
)

// Address is a fixed address of a card with the floating addresses that lead to it.
type Address struct {
	IP       string
	Floating []string `json:",omitempty"`
	Subnet   Subnet
}

// Subnet is what a guest needs to know of an address's subnet.
type Subnet = metadata.Subnet

type route = metadata.Route

// ServerFilter narrows a list of servers. Zero values do not narrow, except that
// without AllProjects it lists the caller's project.
type ServerFilter struct {
	AllProjects bool
	ProjectID   string // with AllProjects
	UserID      string
	Name        string // a regular expression
	IP, IP6     string // regular expressions
	IDs         []string
	VMStates    []string
	TaskStates  []string // with "" for none
	Exact       map[string]string
	Tags        []string // all of them
	TagsAny     []string // one of them
	NotTags     []string // not all of them
	NotTagsAny  []string // none of them
	Locked      *bool
	Deleted     *bool // nil: both
	Since       *time.Time
	Before      *time.Time
	// At are moments by the names created_at, launched_at and terminated_at. One
	// without a fraction of a second means all of that second, which is all that
	// answers tell of some.
	At map[string]time.Time
	// Wants of detailed lists.
	Disks, HostStatus, UserData bool
}

// ServerUpdate changes a server; what is nil stays.
type ServerUpdate struct {
	Name, Hostname, AccessIPv4, AccessIPv6, DiskConfig *string
	Description                                        **string
}

// Servers is what the Compute API's servers need.
type Servers interface {
	// Boot makes servers: see [BootRequest]. They are BUILD when it returns.
	Boot(ctx context.Context, req BootRequest) ([]Server, error)
	// Server returns a server with its disks and its host's status.
	Server(ctx context.Context, id string) (Server, error)
	// ListServers returns servers, newest first unless told otherwise, and
	// whether more follow.
	ListServers(ctx context.Context, f ServerFilter, p nephos.Page) ([]Server, bool, error)
	UpdateServer(ctx context.Context, id string, u ServerUpdate) (Server, error)
	// DeleteServer has the server destroyed, in whatever state it is. Force
	// overrules its lock.
	DeleteServer(ctx context.Context, id string, force bool) error
}

// ServerMetadata is what the Compute API's server metadata need.
type ServerMetadata interface {
	ServerMetadata(ctx context.Context, id string) (map[string]string, error)
	// SetServerMetadata replaces all metadata, or merges into them.
	SetServerMetadata(ctx context.Context, id string, meta map[string]string, merge bool) (map[string]string, error)
	DeleteServerMetadata(ctx context.Context, id, key string) error
}

// ServerTags is what the Compute API's server tags need.
type ServerTags interface {
	ServerTags(ctx context.Context, id string) ([]string, error)
	SetServerTags(ctx context.Context, id string, tags []string) ([]string, error)
	// AddServerTag reports whether the tag is new.
	AddServerTag(ctx context.Context, id, tag string) (bool, error)
	DeleteServerTag(ctx context.Context, id, tag string) error
}

// ServerPower is what the Compute API's power actions need.
type ServerPower interface {
	StartServer(ctx context.Context, id string) error
	StopServer(ctx context.Context, id string) error
	RebootServer(ctx context.Context, id string, hard bool) error
	PauseServer(ctx context.Context, id string) error
	UnpauseServer(ctx context.Context, id string) error
	// SuspendServer stops a server with its memory kept, ResumeServer goes on with it.
	SuspendServer(ctx context.Context, id string) error
	ResumeServer(ctx context.Context, id string) error
	LockServer(ctx context.Context, id, reason string) error
	UnlockServer(ctx context.Context, id string) error
	// ResetServerState is an operator's word that the server is active or in
	// error; its host is asked what is true.
	ResetServerState(ctx context.Context, id, vmState string) error
}
