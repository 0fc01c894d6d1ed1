// Package file is a volume driver that keeps each volume as a file in a
// directory, which guests on the same host, or on hosts that mount the same
// directory, open by its path.
//
// The layout below Config.Dir:
//
//	pool.json                       the cloud that the directory belongs to
//	volumes/ID.FORMAT               the volumes
//	snapshots/VOLUME/N@ID.FORMAT    their snapshots, in the order of N
//	attachments/VOLUME/ID.json      who is connected
//	nbd/                            the daemon that serves other hosts
//	settings/ID.json                limits, and what a volume was adopted as
//	unmanaged/NAME.FORMAT           what can be adopted, and what was released
//	tmp/                            files on their way to one of these names
//
// A file's name records its format (raw or qcow2), and nothing is ever probed.
// Every file is made in tmp, put on disk, and moved to its name in one step, so
// that a process that dies leaves either nothing or all of it; what it leaves in
// tmp the next Open removes. Files with other names are left alone.
//
// Volumes are sparse, and files of mode 0600 that belong to Config.UID. A
// hypervisor whose guests run as another user gives the file to that user for as
// long as it is connected, and sees to it that the user may search the
// directories above Config.Dir; those below have mode 0711.
//
// # Snapshots of volumes in use
//
// A snapshot is a file of its own, and holds what a disk holds after the power
// fails: writes that were acknowledged, but not what a guest still keeps in
// memory. Where the file system can share blocks (XFS, Btrfs) it is made at one
// moment. Elsewhere the volume is copied, and copied again where it differs,
// until nobody has written to it while a copy ran; against a guest that never
// stops writing this fails, with ErrUnavailable, rather than give a torn
// snapshot. Pause such a guest. Clones and images of volumes in use are made the
// same way.
//
// # Other hosts
//
// With [Config.NBD] hosts that do not see the directory get volumes over the
// network, from a qemu-storage-daemon that the driver starts, watches, and leaves
// running when it is closed or dies: the next one takes it over. It ends with the
// last attachment. While a volume is served its file is locked, so that no guest
// here has it at the same time (ErrConflict); a volume that grows meanwhile shows
// its new size when it is attached again.
//
// # One owner
//
// One process at a time should use a directory as a pool: the bound of
// Config.MaxGiB and the order of calls about one volume are kept in memory.
package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/convert"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/internal/keyed"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// Config configures a [Driver].
type Config struct {
	// CloudID is the cloud whose volumes these are. A directory that another
	// cloud has used is refused.
	CloudID string
	// Dir is made if it is not there. It belongs to the driver alone.
	Dir string
	// Format of volumes to be made: raw (the default) or qcow2.
	Format string
	// MaxGiB bounds the sizes of all volumes together; 0 leaves the bound to the
	// file system, in which sparse volumes take less than their size.
	MaxGiB int
	// UID and GID, where positive, own the volumes' files, and qemu-img runs as
	// them. They need this process to be privileged.
	UID, GID int
	// QEMUImg is the program; empty is qemu-img on the PATH. Volumes in raw
	// format made of raw images do not need it.
	QEMUImg string
	// ToolTimeout bounds one run of qemu-img; 0 is one hour.
	ToolTimeout time.Duration
	// Host is the name of the host that the directory is on, as connectors name it.
	// With NBD set, other hosts are served; empty, or without NBD, every host is
	// taken to see the directory.
	Host string
	// NBD, if set, serves volumes to other hosts.
	NBD *NBD
	// Backend is the volume_backend_name; empty is "file".
	Backend string
	// Images are directories, such as the objects of a blob/file store, whose files
	// may be cloned as volumes.
	Images []string
	Clock  nephos.Clock // nil: the wall clock
	Log    *slog.Logger // nil: silence
}

// Driver implements volume.Driver and most of the optional interfaces. It is
// safe for concurrent use.
type Driver struct {
	cfg   Config
	locks keyed.Locks // of volumes
	tool  convert.Tool
	nbd   *daemon // nil without NBD

	mu        sync.Mutex
	allocated int // GiB, of volumes and of those being made
}

const gibibyte = 1 << 30

// Open returns a driver on the directory.
func Open(cfg Config) (*Driver, error) {
	if cfg.Dir == "" {
		return nil, nephos.Errorf(nephos.ErrInvalid, "volume file driver: no directory is configured")
	}
	if cfg.Format == "" {
		cfg.Format = volume.FormatRaw
	}
	if cfg.Format != volume.FormatRaw && cfg.Format != volume.FormatQCOW2 {
		return nil, nephos.Errorf(nephos.ErrInvalid, "volume file driver: format %q is neither raw nor qcow2", cfg.Format)
	}
	if cfg.QEMUImg == "" {
		cfg.QEMUImg = "qemu-img"
	}
	if cfg.ToolTimeout == 0 {
		cfg.ToolTimeout = time.Hour
	}
	if cfg.Backend == "" {
		cfg.Backend = "file"
	}
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("opening volume directory: %w", err)
	}
	cfg.Dir = dir
	if cfg.NBD != nil {
		nbd := *cfg.NBD
		cfg.NBD = &nbd
	}
	d := &Driver{cfg: cfg, tool: convert.Tool{Path: cfg.QEMUImg, UID: cfg.UID, GID: cfg.GID, Timeout: cfg.ToolTimeout, Log: cfg.Log}}
	if err := d.open(); err != nil {
		return nil, fmt.Errorf("opening volume directory %s: %w", dir, err)
	}
	return d, nil
}

func (d *Driver) open() error {
	for _, sub := range []string{"volumes", "snapshots", "attachments", "tmp"} {
		if err := durable.MkdirAll(d.dir(sub), 0o711); err != nil {
			return err
		}
	}
	if err := d.claim(); err != nil {
		return err
	}
	n, err := durable.Clean(d.dir("tmp"))
	if err != nil {
		return err
	}
	if n > 0 {
		d.cfg.Log.Info("removed volumes that were cut short", "dir", d.cfg.Dir, "count", n)
	}
	vs, err := d.list()
	if err != nil {
		return err
	}
	for _, v := range vs {
		d.allocated += v.SizeGiB
	}
	if d.cfg.NBD != nil {
		return d.openNBD()
	}
	return nil
}

// dir returns a path below the directory.
func (d *Driver) dir(elem ...string) string {
	return filepath.Join(append([]string{d.cfg.Dir}, elem...)...)
}

// marker is pool.json.
type marker struct {
	Version int    `json:"version"`
	CloudID string `json:"cloud_id"`
}

// claim marks a new directory as our cloud's, and refuses another's.
func (d *Driver) claim() error {
	path := d.dir("pool.json")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		content, err := json.Marshal(marker{Version: 1, CloudID: d.cfg.CloudID})
		if err != nil {
			return err
		}
		return durable.WriteFile(d.dir("tmp"), path, content, 0o600)
	}
	if err != nil {
		return err
	}
	m, err := parseMarker(content)
	if err != nil {
		return fmt.Errorf("reading pool.json: %w", err)
	}
	if m.CloudID != d.cfg.CloudID {
		return nephos.Errorf(nephos.ErrConflict, "it belongs to the cloud %q, not to %q", m.CloudID, d.cfg.CloudID)
	}
	return nil
}

func parseMarker(content []byte) (marker, error) {
	var m marker
	if err := json.Unmarshal(content, &m); err != nil {
		return marker{}, err
	}
	if m.Version != 1 {
		return marker{}, nephos.Errorf(nephos.ErrInvalid, "version %d is not known here", m.Version)
	}
	return m, nil
}

// Close implements volume.Driver. What is served by NBD goes on.
func (d *Driver) Close() error {
	if d.nbd != nil {
		return d.nbd.close()
	}
	return nil
}

// reserve takes room for a volume. The function that it returns gives the room
// back unless keep is true.
func (d *Driver) reserve(sizeGiB int) (done func(keep bool), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cfg.MaxGiB > 0 && d.allocated+sizeGiB > d.cfg.MaxGiB {
		return nil, nephos.Errorf(nephos.ErrNoCapacity, "pool of %d GiB has no room for %d GiB", d.cfg.MaxGiB, sizeGiB)
	}
	d.allocated += sizeGiB
	return func(keep bool) {
		if !keep {
			d.release(sizeGiB)
		}
	}, nil
}

func (d *Driver) release(sizeGiB int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.allocated -= sizeGiB
}

// temp makes a temporary file that belongs to the volumes' owner.
func (d *Driver) temp() (*durable.Temp, error) {
	t, err := durable.Create(d.dir("tmp"), 0o600)
	if err != nil {
		return nil, err
	}
	if d.cfg.UID > 0 || d.cfg.GID > 0 {
		if err := t.Chown(d.cfg.UID, d.cfg.GID); err != nil {
			t.Abort()
			return nil, fmt.Errorf("giving a file to its owner: %w", err)
		}
	}
	return t, nil
}

// meaning gives errors of the file system their meaning.
func meaning(err error) error {
	switch {
	case durable.IsFull(err):
		return fmt.Errorf("%w: %w", nephos.ErrNoCapacity, err)
	case isTooBig(err):
		return fmt.Errorf("%w: %w", nephos.ErrInvalid, err)
	}
	return err
}
