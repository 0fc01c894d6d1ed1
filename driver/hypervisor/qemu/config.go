package qemu

import (
	"context"
	"errors"
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
	"github.com/nephos-cloud/nephos/driver/internal/eventfeed"
	"github.com/nephos-cloud/nephos/driver/internal/filelock"
)

// Config makes a driver.
type Config struct {
	// CloudID is the label of this cloud. Ensure refuses another one's spec.
	CloudID string
	// Dir holds the guests. It is made if missing; one driver at a time has it.
	Dir string
	// UID and GID are what QEMU runs as when the driver is root; zero leaves it
	// root, which is for tests.
	UID, GID uint32
	// Accel is auto (default: kvm if a probe boots, else tcg), kvm or tcg.
	Accel string
	// Binary and Img name qemu-system-x86_64 and qemu-img; empty looks them up.
	Binary, Img string
	// HostIP is told by Info; 127.0.0.1 if empty.
	HostIP string
	// Dedicated are the host's processors that guests may have for themselves; other
	// guests share the rest.
	Dedicated []int
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

// Driver runs guests with QEMU. It implements hypervisor.Driver and most of the
// optional interfaces.
type Driver struct {
	cfg     Config
	clock   nephos.Clock
	log     *slog.Logger
	accel   string // kvm or tcg
	token   string // of the directory
	version int
	lock    *os.File
	// unplaced is why guests cannot be placed; nil: they can.
	unplaced error

	stop   chan struct{} // closed by Close
	tasks  sync.WaitGroup
	events eventfeed.Feed[hypervisor.Event]

	mu     sync.Mutex // guards all below, and the fields of guests that say so
	closed bool
	guests map[string]*guest
	times  linuxhost.Times // of the processors, when Info was asked last
}

// Open finds QEMU, takes possession of the directory, and finds the guests that
// run. It starts none.
func Open(ctx context.Context, cfg Config) (*Driver, error) {
	fail := func(err error) (*Driver, error) { return nil, fmt.Errorf("open QEMU driver: %w", err) }
	if cfg.Dir == "" {
		return fail(fmt.Errorf("Config.Dir is empty: %w", nephos.ErrInvalid))
	}
	setDefault(&cfg.Accel, "auto")
	setDefault(&cfg.Binary, "qemu-system-x86_64")
	setDefault(&cfg.Img, "qemu-img")
	setDefault(&cfg.HostIP, "127.0.0.1")
	setDefault(&cfg.SoftReboot, time.Minute)
	setDefault(&cfg.Unplug, 30*time.Second)
	if cfg.Clock == nil {
		cfg.Clock = nephos.WallClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var err error
	for _, name := range []*string{&cfg.Dir, &cfg.Binary, &cfg.Img} {
		if name != &cfg.Dir {
			if *name, err = exec.LookPath(*name); err != nil {
				return fail(fmt.Errorf("%w: %w", nephos.ErrUnavailable, err))
			}
		}
		if *name, err = filepath.Abs(*name); err != nil {
			return fail(err)
		}
	}
	d := &Driver{
		cfg: cfg, clock: cfg.Clock, log: cfg.Log, stop: make(chan struct{}),
		guests: make(map[string]*guest),
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "guests"), 0o700); err != nil {
		return fail(err)
	}
	if d.lock, err = filelock.Take(filepath.Join(cfg.Dir, "lock")); err != nil {
		return fail(fmt.Errorf("directory %s: %w", cfg.Dir, err))
	}
	if err := d.open(ctx); err != nil {
		_ = d.Close()
		return fail(err)
	}
	return d, nil
}

func (d *Driver) open(ctx context.Context) (err error) {
	if d.token, err = directoryToken(d.cfg.Dir); err != nil {
		return err
	}
	if d.version, err = d.askVersion(ctx); err != nil {
		return err
	}
	if d.accel, err = d.chooseAccel(ctx); err != nil {
		return err
	}
	if d.unplaced = d.placeable(); errors.Is(d.unplaced, nephos.ErrInvalid) {
		return fmt.Errorf("Config.Dedicated: %w", d.unplaced)
	} else if d.unplaced != nil {
		d.log.Info("guests are not placed on processors and memory of their own", "reason", d.unplaced)
	}
	if err := d.findGuests(ctx); err != nil {
		return err
	}
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
	return d.lock.Close()
}

// directoryToken returns the random word that a directory of guests got when it
// was first used.
func directoryToken(dir string) (string, error) {
	path := filepath.Join(dir, "token.json")
	var token string
	ok, err := readJSON(path, &token)
	if err != nil || ok && token != "" {
		return token, err
	}
	token = nephos.IDs{}.Hex()[:12]
	return token, writeJSON(path, token)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
