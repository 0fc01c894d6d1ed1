// Package libvirtd runs a libvirt daemon of one's own beside whatever the host
// has: its configuration, state, logs and sockets lie in one directory, and it
// works in the network namespace that holds the guests' taps. It needs root and
// Debian's libvirt-daemon-system or the like, and neither systemd nor D-Bus.
//
//	d, err := libvirtd.Start(ctx, libvirtd.Config{Dir: "/var/lib/nephos/libvirt", Network: "/run/netns/nephos"})
//	// connect to d.URI()
//
// The daemon has mount and host name namespaces of its own, in which the places
// that are compiled into libvirt are bound to the directory, so that any number
// of daemons, with different directories, run side by side. Guests outlive it:
// one that is started again with the same directory finds them.
package libvirtd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nephos-cloud/nephos"
)

// Config says how to run a daemon.
type Config struct {
	// Dir holds all that the daemon writes. It is made if missing. The path of
	// its socket, Dir/run/libvirt-sock, must fit into 107 bytes.
	Dir string
	// Name is the host name that the daemon sees; "nephos" if empty. Hosts that
	// migrate guests to each other need different ones.
	Name string
	// UUID is the host's, different on each host; empty makes one and keeps it.
	UUID string
	// Network is the path of the network namespace to run in; empty: ours.
	Network string
	// User and Group are what guests run as; root if empty, and then files keep
	// their owners. Where there is a /dev/kvm they must be able to open it (group
	// kvm): else libvirt asks QEMU anew for all that it can, seconds at each start.
	User, Group string
	// Binary names libvirtd; empty looks it up.
	Binary string
}

// Daemon is a running libvirtd.
type Daemon struct {
	cfg Config
	cmd *exec.Cmd // nil when it was there before
	pid int
	end chan struct{}
}

// places are the directories that libvirt has compiled in, by their names in
// Config.Dir.
var places = map[string]string{
	"etc": "/etc/libvirt", "run": "/run/libvirt", "lib": "/var/lib/libvirt", "log": "/var/log/libvirt", "cache": "/var/cache/libvirt",
}

// Start starts a daemon and returns when it listens, or returns the one that
// runs in the directory already.
func Start(ctx context.Context, cfg Config) (*Daemon, error) {
	d, err := start(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("start libvirtd in %s: %w", cfg.Dir, err)
	}
	return d, nil
}

func start(ctx context.Context, cfg Config) (*Daemon, error) {
	var err error
	if cfg.Dir == "" {
		return nil, fmt.Errorf("Config.Dir is empty: %w", nephos.ErrInvalid)
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	if cfg.Binary == "" {
		cfg.Binary = "libvirtd"
	}
	if cfg.Binary, err = lookPath(cfg.Binary); err != nil {
		return nil, fmt.Errorf("%w (Debian: libvirt-daemon-system): %w", nephos.ErrUnavailable, err)
	}
	if cfg.Name == "" {
		cfg.Name = "nephos"
	}
	d := &Daemon{cfg: cfg, end: make(chan struct{})}
	if len(d.socket()) > 107 {
		return nil, fmt.Errorf("the path of the socket %s is longer than 107 bytes; choose a shorter Config.Dir: %w", d.socket(), nephos.ErrInvalid)
	}
	if d.pid = d.running(); d.pid != 0 {
		if d.in(cfg.Network) {
			return d, nil
		}
		// The namespace was made anew, so no guest of the old one has a network.
		if err := d.Stop(ctx, syscall.SIGTERM); err != nil {
			return nil, err
		}
		d = &Daemon{cfg: cfg, end: make(chan struct{})}
	}
	if err := d.configure(); err != nil {
		return nil, err
	}
	return d, d.launch(ctx)
}

func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil && !strings.Contains(name, "/") {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	return path, err
}

func (d *Daemon) socket() string  { return filepath.Join(d.cfg.Dir, "run", "libvirt-sock") }
func (d *Daemon) pidFile() string { return filepath.Join(d.cfg.Dir, "run", "libvirtd.pid") }

// URI is where clients connect, from any namespace: the socket is a file.
func (d *Daemon) URI() string { return d.URIOf("qemu") }

// URIOf is the same for another of libvirt's drivers, such as lxc, that the
// daemon has (Debian: libvirt-daemon-driver-lxc).
func (d *Daemon) URIOf(driver string) string { return driver + "+unix:///system?socket=" + d.socket() }

// PID is the daemon's process.
func (d *Daemon) PID() int { return d.pid }

// Log returns the end of what the daemon logged.
func (d *Daemon) Log() string {
	data, _ := os.ReadFile(filepath.Join(d.cfg.Dir, "log", "libvirtd.log"))
	return string(data[max(0, len(data)-4000):])
}

// running returns the process that serves the directory, or 0.
func (d *Daemon) running() int {
	data, err := os.ReadFile(d.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.HasPrefix(string(args), d.cfg.Binary+"\x00") || !d.listens() {
		return 0
	}
	return pid
}

// in reports whether the daemon is in the network namespace of that path; empty
// asks for none in particular.
func (d *Daemon) in(network string) bool {
	if network == "" {
		return true
	}
	want, err := os.Stat(network)
	if err != nil {
		return true // it is told of when the daemon is started
	}
	have, err := os.Stat(fmt.Sprintf("/proc/%d/ns/net", d.pid))
	return err == nil && os.SameFile(want, have)
}

func (d *Daemon) listens() bool {
	conn, err := net.Dial("unix", d.socket())
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// script binds the places and becomes the daemon. Its arguments are the host
// name, the namespace or "", the number of binds, the binds, and the command.
//
// Containers do not start where both versions of control groups are mounted, so
// the daemon sees one.
const script = `set -e
if mountpoint -q /sys/fs/cgroup/unified; then umount /sys/fs/cgroup/unified || true; fi
hostname "$1"; net=$2; n=$3; shift 3
while [ "$n" -gt 0 ]; do mkdir -p "$2"; mount --bind "$1" "$2"; shift 2; n=$((n-1)); done
if [ -n "$net" ]; then exec nsenter --net="$net" -- "$@"; fi
exec "$@"`

func (d *Daemon) launch(ctx context.Context) error {
	says, err := os.Create(filepath.Join(d.cfg.Dir, "log", "start.log"))
	if err != nil {
		return err
	}
	defer says.Close()
	binds := make(map[string]string)
	for name, place := range places {
		binds[filepath.Join(d.cfg.Dir, name)] = place
	}
	args := []string{"--mount", "--uts", "--propagation", "private", "--", "sh", "-c", script, "libvirtd", d.cfg.Name, d.cfg.Network, strconv.Itoa(len(binds))}
	for from, to := range binds {
		args = append(args, from, to)
	}
	args = append(args, d.cfg.Binary, "--pid-file", places["run"]+"/libvirtd.pid", "--config", places["etc"]+"/libvirtd.conf")
	d.cmd = exec.Command("unshare", args...)
	d.cmd.Stdout, d.cmd.Stderr = says, says
	d.cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"}
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.pid = d.cmd.Process.Pid
	go func() {
		_ = d.cmd.Wait()
		close(d.end)
	}()
	for !d.listens() {
		select {
		case <-d.end:
			text, _ := os.ReadFile(says.Name())
			return fmt.Errorf("it ended: %.1000s: %w", text, nephos.ErrUnavailable)
		case <-ctx.Done():
			_ = d.cmd.Process.Kill()
			<-d.end
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Stop ends the daemon; its guests run on. Signal is SIGTERM, or SIGKILL to try
// how one bears it.
func (d *Daemon) Stop(ctx context.Context, signal syscall.Signal) error {
	err := syscall.Kill(d.pid, signal)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("stop libvirtd in %s: %w", d.cfg.Dir, err)
	}
	for {
		if d.cmd == nil && syscall.Kill(d.pid, 0) != nil {
			return nil
		}
		select {
		case <-d.end:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("stop libvirtd in %s: %w", d.cfg.Dir, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// configure writes what the daemon reads, once: what is there is kept but for
// our own settings.
func (d *Daemon) configure() error {
	for name := range places {
		if err := os.MkdirAll(filepath.Join(d.cfg.Dir, name), 0o755); err != nil {
			return err
		}
	}
	if d.cfg.UUID == "" {
		path := filepath.Join(d.cfg.Dir, "etc", "nephos-host-uuid")
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			data = []byte(nephos.IDs{}.New())
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			return err
		}
		d.cfg.UUID = string(data)
	}
	qemu := `security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
`
	if d.cfg.User == "" {
		qemu += "user = \"root\"\ngroup = \"root\"\ndynamic_ownership = 0\nremember_owner = 0\n"
	} else {
		qemu += fmt.Sprintf("user = %q\ngroup = %q\n", d.cfg.User, d.cfg.Group)
	}
	daemon := fmt.Sprintf(`listen_tls = 0
listen_tcp = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
unix_sock_dir = "/run/libvirt"
host_uuid = %q
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
`, d.cfg.UUID)
	for name, text := range map[string]string{"qemu.conf": qemu, "libvirtd.conf": daemon} {
		if err := os.WriteFile(filepath.Join(d.cfg.Dir, "etc", name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}
