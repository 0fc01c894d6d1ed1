//go:build libvirt

package libvirt

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/internal/linuxhost"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
	"github.com/nephos-cloud/nephos/driver/internal/eventfeed"
	"github.com/nephos-cloud/nephos/driver/internal/filelock"
)

// Config makes a driver.
type Config struct {
	// CloudID is the label of this cloud. Ensure refuses another one's spec, and
	// another one's guests are not there.
	CloudID string
	// URI is the connection; qemu:///system if empty.
	URI string
	// Dir holds the files of guests. It is made if missing; one driver at a time
	// has it. libvirtd must see it at the same path.
	Dir string
	// Accel is auto (default: kvm if a probe boots, else qemu's emulation), kvm
	// or tcg. It counts on connections to QEMU only.
	Accel string
	// OS, Arch and Machine narrow what guests are, among what the connection
	// offers: hvm, xen or exe; x86_64; pc, q35. Empty lets the driver choose.
	OS, Arch, Machine string
	// Namespace is the path of the network namespace that libvirtd runs in; a
	// card whose tap is in another one is refused. Empty: not checked.
	Namespace string
	// Img names qemu-img; empty looks it up.
	Img string
	// HostIP is told by Info; 127.0.0.1 if empty.
	HostIP string
	// Dedicated are the host's processors that guests may have for themselves; other
	// guests share the rest. Devices are the addresses of PCI devices that guests may
	// be given, such as 0000:81:00.0, which libvirt takes from the host's drivers
	// when a guest starts. Both are for connections to QEMU.
	Dedicated []int
	Devices   []string
	// MigrationURI is how libvirtd on other hosts reaches this one's to move guests
	// here, such as qemu+tls://node2.example/system. Empty: qemu+tls:// and the
	// address of PrepareOptions.
	MigrationURI string
	// SoftReboot bounds how long a soft reboot waits for the guest before the
	// power is cut; 1 minute if zero.
	SoftReboot time.Duration
	// Unplug bounds how long Ensure waits for a guest to let go of a device; 30
	// seconds if zero.
	Unplug time.Duration
	// Clock tells time; nil means the wall clock.
	Clock nephos.Clock
	// Log gets what operators should know; nil discards.
	Log *slog.Logger
}

// Driver runs guests with libvirt. It implements hypervisor.Driver and all
// optional abilities; what the connection cannot do, Abilities leaves out.
type Driver struct {
	cfg   Config
	clock nephos.Clock
	log   *slog.Logger
	lock  *os.File

	stop   chan struct{} // closed by Close
	tasks  sync.WaitGroup
	events eventfeed.Feed[hypervisor.Event]
	heard  queue

	mounting sync.Mutex // one container at a time is started

	mu        sync.Mutex // guards all below, and the fields of guests that say so
	closed    bool
	link      *link // nil while there is no connection
	platform  domain.Platform
	processor []string        // what the guests' can do, as far as that is known
	times     linuxhost.Times // of the host's processors, when they were last asked for
	guests    map[string]*guest
}

// Open connects to libvirt, takes possession of the directory, and finds the
// guests that are there. It starts none.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	d, err := open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open libvirt driver: %w", err)
	}
	return d, nil
}

func open(ctx context.Context, cfg Config) (*Driver, error) {
	if cfg.Dir == "" {
		return nil, fmt.Errorf("Config.Dir is empty: %w", nephos.ErrInvalid)
	}
	switch cfg.Accel {
	case "", "auto", "kvm", "tcg":
	default:
		return nil, fmt.Errorf("Config.Accel is %q, want auto, kvm or tcg: %w", cfg.Accel, nephos.ErrInvalid)
	}
	cfg.URI = cmp.Or(cfg.URI, "qemu:///system")
	cfg.Accel = cmp.Or(cfg.Accel, "auto")
	cfg.HostIP = cmp.Or(cfg.HostIP, "127.0.0.1")
	cfg.SoftReboot = cmp.Or(cfg.SoftReboot, time.Minute)
	cfg.Unplug = cmp.Or(cfg.Unplug, 30*time.Second)
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.Img, err = exec.LookPath(cmp.Or(cfg.Img, "qemu-img")); err != nil {
		return nil, fmt.Errorf("%w (Debian: qemu-utils): %w", nephos.ErrUnavailable, err)
	}
	d := &Driver{
		cfg: cfg, clock: cfg.Clock, log: cfg.Log, stop: make(chan struct{}), heard: newQueue(),
		guests: make(map[string]*guest),
	}
	// QEMU's user walks through, and reads nothing that is not its own.
	for _, sub := range []string{"guests", domain.Sockets} {
		if err := os.MkdirAll(filepath.Join(cfg.Dir, sub), 0o711); err != nil {
			return nil, err
		}
	}
	if d.lock, err = filelock.Take(filepath.Join(cfg.Dir, "lock")); err != nil {
		return nil, fmt.Errorf("directory %s: %w", cfg.Dir, err)
	}
	if err := useLoop(); err != nil {
		_ = d.lock.Close()
		return nil, err
	}
	if err = d.begin(ctx); err == nil {
		err = d.checkGifts(ctx)
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// begin makes the first connection and starts the driver's goroutines.
func (d *Driver) begin(ctx context.Context) error {
	if err := d.dropTrash(); err != nil {
		return err
	}
	_, err := within(ctx, func() (struct{}, error) { return struct{}{}, d.connect(ctx) })
	if err != nil {
		return err
	}
	d.tasks.Go(d.tend)
	d.tasks.Go(d.tendLogs)
	return nil
}

// Close implements hypervisor.Driver. Guests go on running.
func (d *Driver) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	close(d.stop)
	d.events.Close()
	d.mu.Unlock()
	d.tasks.Wait()
	d.mu.Lock()
	l := d.link
	d.link = nil
	d.mu.Unlock()
	if l != nil {
		l.close()
	}
	leaveLoop()
	return d.lock.Close()
}

// within runs f, which cannot be cancelled, and leaves it to itself when ctx
// ends first.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, meant(err)}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
