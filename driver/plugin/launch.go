package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/process"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/roots"
)

// LaunchOptions say how to start a plugin and what it may do. The zero value
// starts whatever the path names as this process's own user, without arguments,
// with an empty environment.
type LaunchOptions struct {
	// Args follow the program's name on its command line.
	Args []string
	// Env is all that the plugin sees of the environment, as KEY=value, besides
	// what the handshake needs. Nothing of this process's own is passed on.
	Env []string
	// Dir is a directory that the plugin may keep things in, the same with each
	// start: it is told as NEPHOS_PLUGIN_DIR and is one of the plugin's roots. It
	// is made if it is not there, for the plugin's user alone. Empty is none.
	Dir string
	// Roots are directories below which paths that the plugin names may lie:
	// files of volumes, network namespaces. Any other path is refused.
	Roots []string
	// SHA256 pins the program by its checksum, 64 hexadecimal digits. A pinned
	// program is copied once, checked, and run from the checked copy, after
	// restarts too; its path is told as NEPHOS_PLUGIN_PATH. Empty pins nothing.
	SHA256 string
	// User is who the plugin runs as; nil is this process's own user. To choose
	// takes root.
	User *User
	// Limits bound what it can use up.
	Limits Limits
	// Log gets what the plugin logs and how it fares; nil discards.
	Log *slog.Logger
	// Clock waits between restarts and between questions after its health; nil is
	// the wall clock.
	Clock nephos.Clock
	// StartTimeout bounds each start, from the program's to its description; 10
	// seconds if zero.
	StartTimeout time.Duration
	// HealthEvery is how often the plugin is asked whether it is well, 5 seconds
	// if zero; one that has not answered after HealthTimeout, 15 seconds if zero,
	// is killed and started again.
	HealthEvery, HealthTimeout time.Duration
	// RestartAfter is the wait before the first restart, 50 milliseconds if zero.
	// It doubles with each failure up to RestartMost, 30 seconds if zero, and
	// starts anew once the plugin has run for RestartMost.
	RestartAfter, RestartMost time.Duration
	// Observe, if set, is told of each end and start, one at a time. It must not
	// block.
	Observe func(Change)
	// KillOnClose has Close end the process as kill -9 does, instead of asking it:
	// for tests of what survives.
	KillOnClose bool
	// SocketDir is where the directory of the plugin's sockets is made; empty is
	// the system's for temporary files. Its path must be short: a unix socket's
	// has at most 107 bytes.
	SocketDir string
}

// User is a user and group of the system.
type User struct{ UID, GID uint32 }

// Limits bound what a plugin can use up; zero fields bound nothing. Linux only.
type Limits struct {
	// Memory is in bytes: of the data that it allocates, or with a Cgroup of all
	// that it and its children use, guests that it starts among them. A plugin
	// that wants more is killed, and started again.
	Memory uint64
	// Processes bounds the processes and threads of its user, or with a Cgroup
	// its own. A program in Go needs about 20.
	Processes uint64
	// Files bounds its open files.
	Files uint64
	// CPUs bounds its share of processors, such as 0.5, at least 0.01. It takes a
	// Cgroup.
	CPUs float64
	// Cgroup is a directory of cgroup2 that is delegated to this process, with the
	// controllers that the limits need (memory, pids, cpu), and that has no
	// processes; below it each plugin gets a group of its own.
	Cgroup string
}

// Change tells of a plugin's end or start.
type Change struct {
	PID     int   // of the process that ended or started
	Running bool  // it started
	Err     error // how it ended, or why it did not start
	At      time.Time
}

// Launch starts the program and returns its driver:
//
//	d, err := plugin.Launch[volume.Driver](ctx, "/usr/lib/nephos/acme", plugin.LaunchOptions{})
//
// D is hypervisor.Driver, network.Driver, network.Controller, volume.Driver,
// blob.Driver or extension.Extension of the scheduler.
//
// The driver offers what the plugin offers, by its Abilities. A plugin that dies
// or hangs is started again; meanwhile calls fail with nephos.ErrUnavailable.
// Closing the driver ends the program, and so does the end of this process;
// guests, networks and volumes outlive it. The context bounds the first start
// only.
//
// A program that is no plugin, of another kind or of another contract version
// is refused with an error of one line that says what to do.
func Launch[D any](ctx context.Context, path string, opts LaunchOptions) (D, error) {
	var d D
	k, err := kindOf(&d)
	if err != nil {
		return d, fmt.Errorf("launching the plugin %s: %w", path, err)
	}
	p, err := launch(ctx, k, path, opts)
	if err != nil {
		return d, fmt.Errorf("launching the plugin %s: %w", path, err)
	}
	return k.remote(p).(D), nil
}

// Inspect starts the program, whatever the kind of its driver, asks it what it
// is, and ends it.
func Inspect(ctx context.Context, path string, opts LaunchOptions) (Description, error) {
	p, err := launch(ctx, nil, path, opts)
	if err != nil {
		return Description{}, fmt.Errorf("launching the plugin %s: %w", path, err)
	}
	d, err := p.Describe()
	return d, errors.Join(err, p.Close())
}

// Of returns the handle of a driver that is a plugin.
func Of(driver any) (*Plugin, bool) {
	h, ok := driver.(interface{ handle() *Plugin })
	if !ok {
		return nil, false
	}
	return h.handle(), true
}

func launch(ctx context.Context, k *kind, path string, o LaunchOptions) (_ *Plugin, err error) {
	o.defaults()
	if o.Dir != "" {
		if err := stateDir(o.Dir, o.User); err != nil {
			return nil, err
		}
		o.Roots = append([]string{o.Dir}, o.Roots...)
	}
	may, err := roots.Check(o.Roots)
	if err != nil {
		return nil, err
	}
	prog, err := process.Open(path, o.SHA256)
	if err != nil {
		return nil, err
	}
	p := &Plugin{
		kind: k, path: path, opts: o, roots: may, program: prog,
		log:    o.Log.With("plugin", filepath.Base(path)),
		closed: make(chan struct{}), done: make(chan struct{}),
	}
	p.words = process.NewLog(p.log, o.Clock, slog.LevelInfo)
	i, err := p.start(ctx)
	if err != nil {
		prog.Close()
		return nil, err
	}
	p.started(i)
	go p.supervise(i)
	return p, nil
}

func (o *LaunchOptions) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = nephos.WallClock{}
	}
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.StartTimeout, 10 * time.Second},
		{&o.HealthEvery, 5 * time.Second},
		{&o.HealthTimeout, 15 * time.Second},
		{&o.RestartAfter, 50 * time.Millisecond},
		{&o.RestartMost, 30 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if o.SocketDir == "" {
		o.SocketDir = os.TempDir()
	}
}

// stateDir makes the plugin's directory, for its user alone.
func stateDir(dir string, u *User) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return nephos.Errorf(nephos.ErrInvalid, "directory %q: name it by its absolute path without . and ..", dir)
	}
	err := os.Mkdir(dir, 0o700)
	if err == nil && u != nil {
		err = os.Lchown(dir, int(u.UID), int(u.GID))
	}
	if err != nil && !os.IsExist(err) {
		return fmt.Errorf("making the plugin's directory: %w", err)
	}
	return nil
}

var _ io.Closer = (*Plugin)(nil)
