// Package hypervisor defines the contract between Nephos and whatever runs
// guests on one host: QEMU, libvirt, or a fake.
//
// An author implements [Driver] and those of the optional interfaces that fit,
// and runs hypervisortest.Run. Users hold a [Node].
package hypervisor

import (
	"context"
	"io"
	"time"

	"github.com/nephos-cloud/nephos/driver"
)

// Driver runs guests on one host. See package driver for the duties that all
// calls share.
type Driver interface {
	// Info describes the host. It is cheap enough to be asked every minute.
	Info(ctx context.Context) (Host, error)
	// Ensure converges the guest to the spec: its existence, its local disks,
	// its disks and network cards. It neither starts nor stops it. On a running
	// guest it plugs and unplugs what changed if the driver is a [HotPlugger],
	// and fails with ErrUnsupported otherwise; changes of processors, of memory, of
	// their place on the host and of the host's devices wait for the next start.
	Ensure(ctx context.Context, id string, spec Spec) error
	// Start powers the guest on; a running guest is left as it is, a paused one
	// resumes.
	Start(ctx context.Context, id string) error
	// Stop powers the guest off: it asks the guest, waits for at most the grace,
	// then cuts the power. It returns once the guest is off.
	Stop(ctx context.Context, id string, opts StopOptions) error
	// Destroy removes the guest with its local disks, running or not. Disks of
	// other connections are let go, never deleted. An unknown id succeeds.
	Destroy(ctx context.Context, id string) error
	// Get returns one guest, or ErrNotFound.
	Get(ctx context.Context, id string) (Guest, error)
	// List returns every guest that carries this cloud's label.
	List(ctx context.Context) ([]Guest, error)
	// Close lets go of the host. Guests go on running.
	Close() error
}

// StopOptions bounds a stop.
type StopOptions struct {
	Grace time.Duration // zero cuts the power at once
}

// Host is what a host offers.
type Host struct {
	Type        string // hypervisor_type of the Compute API: QEMU, fake
	Version     int    // as the hypervisor numbers itself, such as 7002022 for 7.2.22
	Arch        string // x86_64, aarch64
	CPUModel    string
	Accelerator string // kvm, tcg or empty
	VCPUs       int
	MemoryMiB   int
	DiskGiB     int
	FreeDiskGiB int
	RunningVMs  int
	BootID      string // changes with each boot of the host
	HostIP      string
	Formats     []string // disk formats a base image may have

	// The rest says what a choice of a host may depend on; a driver leaves out
	// what it does not know, or cannot hand on to guests.

	CPUVendor string // such as Intel or AMD
	// CPUFeatures are what guests find of the processor's abilities, as the
	// processor's maker names them: aes, avx2.
	CPUFeatures []string
	// Traits are further facts by the Placement API's names (os-traits, or
	// CUSTOM_…), such as COMPUTE_STORAGE_BUS_SATA. What follows from the other
	// fields and the driver's abilities need not be among them: see
	// [Node.Traits].
	Traits []string
	// NUMA are the host's NUMA cells.
	NUMA []driver.NUMACell
	// PCI are the devices that the driver's configuration hands out to guests,
	// given away already or not.
	PCI []driver.PCIDevice
	// Metrics are measurements by Nova's names, such as cpu.percent, of which the
	// scheduler's MetricsWeigher makes use. Shares of time are from 0 to 1.
	Metrics map[string]float64
}

// Spec is a guest, whole.
type Spec struct {
	CloudID   string // label: which cloud the guest belongs to
	Name      string // for people; need not be unique
	Revision  int64  // label: of the object it was made from
	VCPUs     int
	MemoryMiB int
	Disks     []driver.Disk
	NICs      []driver.NIC
	Firmware  string            `json:",omitempty"` // bios (default) or uefi
	Machine   string            `json:",omitempty"`
	Labels    map[string]string `json:",omitempty"`

	// Topology is how the processors look to the guest; the zero value leaves it
	// to the hypervisor.
	Topology Topology `json:",omitzero"`
	// NUMA are the guest's cells, in the guest's order, and where on the host they
	// are. Together they have all processors and all memory. Empty: the guest has
	// one cell, which is nowhere in particular. For a [Placer] only.
	NUMA []Cell `json:",omitempty"`
	// EmulatorCPUs are the host's processors that the hypervisor's own threads for
	// the guest may use. Empty: those of the guest's processors. For guests with
	// NUMA.
	EmulatorCPUs []int `json:",omitempty"`
	// PCI are the addresses of the host's devices that the guest has for itself,
	// of those that Host.PCI tells of. For a [DevicePasser] only.
	PCI []string `json:",omitempty"`
}

// State is what a guest is doing.
type State string

// The states of a guest.
const (
	Running State = "running"
	Paused  State = "paused"
	Stopped State = "stopped"
	Crashed State = "crashed"
)

// Guest is a guest as the hypervisor knows it.
type Guest struct {
	ID       string
	CloudID  string
	Name     string
	Revision int64
	State    State
	Labels   map[string]string
	Disks    []string // IDs of the disks it has
	NICs     []string // IDs of the network cards it has
	Started  time.Time
}

// The optional abilities. Each is offered by implementing it. Further ones are
// [DiskResizer], [DiskThrottler], [DiskDecrypter], [DiskExporter],
// [DiskImporter], [Rescuer], [Statistician], [PasswordSetter], [LiveMigrator],
// [ImageCacher], [Placer] and [DevicePasser].
type (
	// Abilitier narrows what a driver offers to the listed abilities: names of
	// the interfaces below, such as "Pauser". A driver without it offers all
	// that it implements.
	Abilitier interface {
		Abilities(ctx context.Context) ([]string, error)
	}
	// HotPlugger says what Ensure can change on a running guest.
	HotPlugger interface {
		HotPlug() (disks, nics bool)
	}
	// Rebooter restarts a guest: softly by asking it, or as with a reset button.
	Rebooter interface {
		Reboot(ctx context.Context, id string, hard bool) error
	}
	// Pauser freezes a guest in memory.
	Pauser interface {
		Pause(ctx context.Context, id string) error
		Unpause(ctx context.Context, id string) error
	}
	// Suspender writes a guest's memory to disk and stops it; Resume undoes that.
	Suspender interface {
		Suspend(ctx context.Context, id string) error
		Resume(ctx context.Context, id string) error
	}
	// Snapshotter writes a whole, independent qcow2 copy of one of a guest's disks
	// to the path: of a running guest live, as at one moment near the call's end
	// or beginning (crash-consistent) while the guest runs on; of a paused or
	// stopped one cold. What was at the path is replaced, and a call that fails
	// leaves no half copy. At most one at a time for a guest. An unknown guest or
	// disk is ErrNotFound.
	Snapshotter interface {
		Snapshot(ctx context.Context, id, diskID, path string) error
	}
	// ConsoleLogger returns the last bytes that the guest wrote to its first
	// serial port, at most max; the log survives the guest's power cycles.
	ConsoleLogger interface {
		ConsoleLog(ctx context.Context, id string, max int64) ([]byte, error)
	}
	// Consoler opens a two-way stream to the guest's console, in the protocol of
	// its kind: RFB, the bytes of the first serial port, or SPICE. A guest that is
	// off is ErrConflict; a kind that the driver, or the guest, does not have is
	// ErrUnsupported. The stream ends with the guest's power.
	Consoler interface {
		Console(ctx context.Context, id string, kind ConsoleKind) (io.ReadWriteCloser, error)
	}
	// Eventer reports state changes as they happen. The channel closes when ctx
	// ends or the driver closes; a reader that falls behind loses the oldest
	// events and must List.
	Eventer interface {
		Events(ctx context.Context) (<-chan Event, error)
	}
	// Diagnoser returns counters of a guest by name, in the Compute API's
	// standard names where there is one.
	Diagnoser interface {
		Diagnostics(ctx context.Context, id string) (map[string]any, error)
	}
)

// ConsoleKind is a kind of console.
type ConsoleKind string

// The kinds of console.
const (
	VNC    ConsoleKind = "vnc"
	Serial ConsoleKind = "serial"
	SPICE  ConsoleKind = "spice" // each connection is one channel of the protocol
)

// Event says that a guest changed its state by itself or by a call.
type Event struct {
	ID    string
	State State
	At    time.Time
	// Guest says that the guest did it (poweroff, crash), not a call of ours.
	Guest bool
}
