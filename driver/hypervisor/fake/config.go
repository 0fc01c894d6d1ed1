package fake

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Config makes a fake driver. The zero value is ready to use.
type Config struct {
	// CloudID is the label of this cloud: Ensure refuses another one's spec, and
	// List returns only its guests. Empty accepts and lists every cloud's.
	CloudID string
	// Name is the host's name, for its boot text and diagnostics.
	Name string
	// Host is what Info tells; zero fields get small defaults. RunningVMs,
	// FreeDiskGiB and BootID come from the state. Its NUMA cells and PCI devices
	// are given to guests that ask for them: [Driver.Placement] and
	// [Driver.Devices] show them.
	Host hypervisor.Host
	// State is the hypervisor's memory; nil makes a new one.
	State *State
	// Clock tells time and delays faulty calls; nil means the wall clock.
	Clock nephos.Clock
	// Faults makes calls late or fail; nil means none. It may be shared and
	// changed while the driver runs.
	Faults *Faults
	// BootText is what a guest writes to its serial port at each power-on, line
	// by line over BootTime; empty means [BootText] of the guest.
	BootText string
	// BootTime is how long a boot takes by the clock, as its text shows; zero is
	// at once. It delays no call.
	BootTime time.Duration
	// Behave says how a guest behaves, by its name and id, each time that it is
	// switched on; nil is by BootText, BootTime and DeafGuests. Something must call
	// [State.Play] for what a guest does after its boot.
	Behave func(name, id string) Behaviour
	// Wires connect this host, by its Name, to those that guests can move to and
	// come from; nil does not offer LiveMigrator.
	Wires *Wires
	// MigrationTime is how long a live migration takes by the clock; zero is at
	// once.
	MigrationTime time.Duration
	// DeafGuests ignore a request to power off, so that Stop and a soft reboot
	// wait for their grace.
	DeafGuests bool
	// Without lists abilities not to offer, such as "Pauser".
	Without []string
}

// Driver is the fake. It implements hypervisor.Driver and all abilities.
type Driver struct {
	cfg    Config
	state  *State
	clock  nephos.Clock
	closed atomic.Bool
}

// Open returns a driver over the state. It never fails.
func Open(cfg Config) (*Driver, error) {
	if cfg.State == nil {
		cfg.State = NewState()
	}
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Name == "" {
		cfg.Name = "fake"
	}
	h := &cfg.Host
	setDefault(&h.Type, "fake")
	setDefault(&h.Version, 1000)
	setDefault(&h.Arch, map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH])
	setDefault(&h.Arch, runtime.GOARCH)
	setDefault(&h.CPUModel, "fake")
	setDefault(&h.VCPUs, 64)
	setDefault(&h.MemoryMiB, 256*1024)
	setDefault(&h.DiskGiB, 4096)
	setDefault(&h.HostIP, "127.0.0.1")
	if h.Formats == nil {
		h.Formats = []string{"raw", "qcow2"}
	}
	cfg.State.mu.Lock()
	cfg.State.clock = cfg.Clock
	cfg.State.mu.Unlock()
	if cfg.Wires != nil {
		cfg.Wires.plug(cfg.Name, cfg.State)
	}
	return &Driver{cfg: cfg, state: cfg.State, clock: cfg.Clock}, nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// State returns the hypervisor's memory.
func (d *Driver) State() *State { return d.state }

// Abilities implements hypervisor.Abilitier.
func (d *Driver) Abilities(context.Context) ([]string, error) {
	all := []string{
		hypervisor.CanHotPlug, hypervisor.CanReboot, hypervisor.CanPause, hypervisor.CanSuspend,
		hypervisor.CanSnapshot, hypervisor.CanConsoleLog, hypervisor.CanConsole, hypervisor.CanEvents,
		hypervisor.CanDiagnose, hypervisor.CanResizeDisk, hypervisor.CanThrottleDisk, hypervisor.CanDecryptDisk,
		hypervisor.CanExportDisk, hypervisor.CanImportDisk, hypervisor.CanRescue, hypervisor.CanStatistics,
		hypervisor.CanSetPassword, hypervisor.CanCacheImages, hypervisor.CanPlace, hypervisor.CanPassDevices,
	}
	if d.cfg.Wires != nil {
		all = append(all, hypervisor.CanLiveMigrate)
	}
	return slices.DeleteFunc(all, func(a string) bool { return slices.Contains(d.cfg.Without, a) }), nil
}
