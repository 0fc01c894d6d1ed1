package file

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
	"github.com/nephos-cloud/nephos/driver/internal/qmp"
	"github.com/nephos-cloud/nephos/driver/volume"
)

const (
	// daemonTime bounds how long starting, taking over and asking the daemon takes.
	daemonTime = 15 * time.Second
	daemonStep = 10 * time.Millisecond
	// A daemon that dies is started again at once, then ever later.
	restartFirst, restartMost = 50 * time.Millisecond, 10 * time.Second

	qmpSocket = "qmp.sock" // in the directory nbd
)

// export is one volume served to one host.
type export struct {
	volumeID, attachmentID string
	disk                   disk
	readOnly               bool
}

func (e export) name() string { return exportName(e.volumeID, e.attachmentID) }

// key is what the daemon calls the export, and node the open volume, which all
// its exports share. QEMU takes at most 31 bytes.
func (e export) key() string { return exportKey(e.volumeID, e.attachmentID) }

func (e export) node() string { return "v" + shortDigest(e.volumeID) }

func exportKey(volumeID, attachmentID string) string {
	return "x" + shortDigest(exportName(volumeID, attachmentID))
}

func shortDigest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:13])
}

// daemon is the qemu-storage-daemon of a pool. It outlives this process: guests
// elsewhere go on, and the next process takes it over by its socket in the pool's
// directory.
type daemon struct {
	d     *Driver
	log   *slog.Logger
	stop  chan struct{}
	tasks sync.WaitGroup

	mu     chan struct{} // holds one token while somebody works
	client *qmp.Client   // nil while there is no daemon
	closed bool
}

// record is nbd/daemon.json: the daemon that was started last.
type record struct {
	PID     int       `json:"pid"`
	Digest  string    `json:"digest"` // of the configuration
	Address string    `json:"address"`
	Started time.Time `json:"started"`
}

func newDaemon(d *Driver) *daemon {
	return &daemon{d: d, log: d.cfg.Log, stop: make(chan struct{}), mu: make(chan struct{}, 1)}
}

func (n *daemon) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case n.mu <- struct{}{}:
		return func() { <-n.mu }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *daemon) dir(elem ...string) string { return n.d.dir(append([]string{"nbd"}, elem...)...) }

// open takes over what is there.
func (n *daemon) open(ctx context.Context) error {
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return n.sync(ctx, "")
}

// close lets go of the daemon, which goes on.
func (n *daemon) close() error {
	n.mu <- struct{}{}
	if !n.closed {
		n.closed = true
		close(n.stop)
	}
	client := n.client
	n.client = nil
	<-n.mu
	if client != nil {
		_ = client.Close()
	}
	n.tasks.Wait()
	return nil
}

// sync has the daemon serve exactly what is recorded. One is started if there is
// anything, and ended if there is nothing. An export that fails is an error if it
// is the one of that key, or none is named.
func (n *daemon) sync(ctx context.Context, key string) error {
	want, err := n.d.exports()
	if err != nil {
		return err
	}
	if n.client == nil {
		err := n.adopt(ctx)
		if errors.Is(err, errNone) {
			if len(want) == 0 {
				return nil
			}
			err = n.start(ctx)
		}
		if err != nil {
			return err
		}
	}
	has, err := n.exported(ctx)
	if err != nil {
		return err
	}
	for _, e := range want {
		if has[e.key()] != "" {
			delete(has, e.key())
			continue
		}
		if err := n.add(ctx, e); err != nil {
			if key == "" || key == e.key() || errors.Is(err, qmp.ErrClosed) {
				return err
			}
			n.log.Error("a volume is not served by NBD", "volume", e.volumeID, "error", err)
		}
	}
	for key, node := range has {
		if err := n.drop(ctx, key, node); err != nil {
			return err
		}
	}
	if len(want) == 0 {
		return n.quit(ctx)
	}
	return nil
}

// connect greets a daemon on its socket.
func (n *daemon) connect(ctx context.Context) error {
	conn, err := qmp.Dial(ctx, n.dir(), qmpSocket)
	if err != nil {
		return err
	}
	client, err := qmp.New(ctx, conn, nil)
	if err != nil {
		return err
	}
	n.client = client
	n.tasks.Go(func() { n.watch(client) })
	return nil
}

// readRecord returns what is known of the daemon.
func (n *daemon) readRecord() (r record, err error) {
	content, err := os.ReadFile(n.dir("daemon.json"))
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	return r, err
}

var errNone = errors.New("no daemon of this configuration runs")

// adopt finds a daemon that an earlier process started. One that was configured
// otherwise is ended: its clients connect again.
func (n *daemon) adopt(ctx context.Context) error {
	dialing, cancel := context.WithTimeout(ctx, daemonTime/3)
	defer cancel()
	r, err := n.readRecord()
	if connErr := n.connect(dialing); connErr != nil {
		if err == nil && n.ours(r.PID) {
			n.log.Warn("the NBD server does not answer and is killed", "pid", r.PID, "error", connErr)
			n.kill(r.PID)
		}
		return errNone
	}
	certs, certErr := n.d.cfg.NBD.certificates()
	if certErr != nil {
		return certErr
	}
	if err == nil && r.Digest == n.d.cfg.NBD.digest(certs) {
		n.log.Info("took over the NBD server", "pid", r.PID, "address", r.Address)
		return nil
	}
	return errors.Join(errNone, n.quit(ctx))
}

// start starts a daemon and has it listen.
func (n *daemon) start(ctx context.Context) error {
	path, err := exec.LookPath(n.d.cfg.NBD.Program)
	if err != nil {
		return fmt.Errorf("the NBD server is needed: %w: %w", nephos.ErrUnavailable, err)
	}
	certs, err := n.d.cfg.NBD.certificates()
	if err == nil {
		err = n.writeCertificates(certs)
	}
	if err != nil {
		return err
	}
	for _, left := range []string{n.dir(qmpSocket), n.dir("daemon.log"), n.d.cfg.NBD.Socket} {
		if left == "" {
			continue
		}
		if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	pid, err := n.spawn(ctx, path)
	if err == nil {
		if err = n.await(ctx, pid); err != nil {
			n.kill(pid)
			text, _ := os.ReadFile(n.dir("daemon.log"))
			err = fmt.Errorf("%w: %.500s", err, text)
		}
	}
	if err != nil {
		return fmt.Errorf("starting the NBD server: %w", err)
	}
	r := record{PID: pid, Digest: n.d.cfg.NBD.digest(certs), Address: n.d.cfg.NBD.Socket + n.d.cfg.NBD.Listen, Started: n.d.cfg.Clock.Now()}
	content, err := json.Marshal(r)
	if err == nil {
		err = durable.WriteFile(n.d.dir("tmp"), n.dir("daemon.json"), content, 0o600)
	}
	if err != nil {
		return errors.Join(err, n.quit(ctx))
	}
	if err := n.listen(ctx); err != nil {
		return errors.Join(err, n.quit(ctx))
	}
	n.log.Info("started the NBD server", "pid", r.PID, "address", r.Address)
	return nil
}

// background starts a program that is nobody's child and says its number: whoever
// closes the pool need not wait for it. It works in the directory nbd, so that
// its user need not be allowed to search those above the pool's.
const background = `"$@" </dev/null >daemon.log 2>&1 & echo $!`

func (n *daemon) spawn(ctx context.Context, path string) (pid int, err error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", background, "sh", path,
		"--chardev", "socket,id=qmp,path="+qmpSocket+",server=on,wait=off", "--monitor", "chardev=qmp")
	at, err := os.Open(n.dir())
	if err != nil {
		return 0, err
	}
	defer at.Close()
	cmd.Dir, cmd.Env = fmt.Sprintf("/proc/self/fd/%d", at.Fd()), []string{}
	n.d.apart(cmd)
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

// ours tells whether a process is a daemon of this directory.
func (n *daemon) ours(pid int) bool {
	if pid <= 1 {
		return false
	}
	at, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false
	}
	here, err := os.Stat(n.dir())
	return err == nil && os.SameFile(at, here)
}

func (n *daemon) kill(pid int) {
	if n.ours(pid) {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	}
}

// await waits until the daemon answers.
func (n *daemon) await(ctx context.Context, pid int) error {
	for {
		err := n.connect(ctx)
		if err == nil {
			return nil
		}
		if !n.ours(pid) {
			return errors.New("it ended")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not answer (%w): %w: %w", err, nephos.ErrUnavailable, ctx.Err())
		case <-n.d.cfg.Clock.After(daemonStep):
		}
	}
}

// writeCertificates puts the server's where the daemon, and nobody else, reads
// them.
func (n *daemon) writeCertificates(c certificates) error {
	dir := n.dir("tls")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if len(c.server) == 0 {
		return n.d.own(n.dir())
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for name, content := range c.server {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
		if err := n.d.own(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return errors.Join(n.d.own(dir), n.d.own(n.dir()))
}

// listen has the daemon listen.
func (n *daemon) listen(ctx context.Context) error {
	args := map[string]any{"max-connections": 0}
	if s := n.d.cfg.NBD.Socket; s != "" {
		args["addr"] = map[string]any{"type": "unix", "data": map[string]any{"path": s}}
	} else {
		host, port, err := net.SplitHostPort(n.d.cfg.NBD.Listen)
		if err != nil {
			return err
		}
		args["addr"] = map[string]any{"type": "inet", "data": map[string]any{"host": host, "port": port}}
		args["tls-creds"] = "tls"
		err = n.client.Execute(ctx, "object-add", map[string]any{
			"qom-type": "tls-creds-x509", "id": "tls", "endpoint": "server", "verify-peer": true, "dir": "tls",
		}, nil)
		if err != nil {
			return fmt.Errorf("the certificates are refused: %w: %w", nephos.ErrInvalid, err)
		}
	}
	if err := n.client.Execute(ctx, "nbd-server-start", args, nil); err != nil {
		return fmt.Errorf("listening for NBD: %w: %w", nephos.ErrUnavailable, err)
	}
	return nil
}

// watch starts the daemon again when it ends though something is to be served.
func (n *daemon) watch(client *qmp.Client) {
	select {
	case <-client.Done():
	case <-n.stop:
		return
	}
	for wait := restartFirst; ; wait = min(2*wait, restartMost) {
		again := n.revive(client)
		if again == nil {
			return
		}
		n.log.Error("the NBD server ended and cannot be started", "error", again, "again", wait)
		select {
		case <-n.d.cfg.Clock.After(wait):
		case <-n.stop:
			return
		}
	}
}

// revive replaces the daemon behind a connection that has ended.
func (n *daemon) revive(dead *qmp.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), daemonTime)
	defer cancel()
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if n.closed || (n.client != nil && n.client != dead) {
		return nil // somebody was faster
	}
	n.client = nil
	return n.sync(ctx, "")
}

// quit ends the daemon and takes away what it leaves.
func (n *daemon) quit(ctx context.Context) error {
	client := n.client
	n.client = nil
	if client == nil {
		return nil
	}
	r, _ := n.readRecord()
	err := client.Execute(ctx, "quit", nil, nil)
	if errors.Is(err, qmp.ErrClosed) {
		err = nil
	}
	for n.ours(r.PID) {
		select {
		case <-ctx.Done():
			_ = client.Close()
			return errors.Join(err, ctx.Err())
		case <-n.d.cfg.Clock.After(daemonStep):
		}
	}
	_ = client.Close()
	for _, left := range []string{n.dir("daemon.json"), n.dir(qmpSocket), n.d.cfg.NBD.Socket} {
		if left != "" {
			_ = os.Remove(left)
		}
	}
	return errors.Join(err, os.RemoveAll(n.dir("tls")))
}

// exported returns the exports that the daemon has, and the nodes they share.
func (n *daemon) exported(ctx context.Context) (nodes map[string]string, err error) {
	var list []struct {
		ID   string `json:"id"`
		Node string `json:"node-name"`
	}
	if err := n.client.Execute(ctx, "query-block-exports", nil, &list); err != nil {
		return nil, fmt.Errorf("asking the NBD server: %w", err)
	}
	nodes = make(map[string]string)
	for _, e := range list {
		nodes[e.ID] = e.Node
	}
	return nodes, nil
}

// add has the daemon serve one export.
func (n *daemon) add(ctx context.Context, e export) error {
	node := map[string]any{
		"driver": e.disk.format, "node-name": e.node(), "discard": "unmap",
		"file": map[string]any{
			"driver": "file", "filename": filepath.Join("..", "volumes", filepath.Base(e.disk.path)), "discard": "unmap",
		},
	}
	if e.disk.format == volume.FormatQCOW2 {
		node["backing"] = nil
	}
	err := n.client.Execute(ctx, "blockdev-add", node, nil)
	if err != nil && !strings.Contains(err.Error(), "Duplicate nodes") {
		if strings.Contains(err.Error(), "lock") {
			return nephos.Errorf(nephos.ErrConflict, "volume %s is in use here: %w", e.volumeID, err)
		}
		return fmt.Errorf("opening volume %s for NBD: %w", e.volumeID, err)
	}
	err = n.client.Execute(ctx, "block-export-add", map[string]any{
		"type": "nbd", "id": e.key(), "node-name": e.node(), "name": e.name(), "writable": !e.readOnly,
	}, nil)
	if err == nil {
		return nil
	}
	// A node that others use stays.
	_ = n.client.Execute(context.WithoutCancel(ctx), "blockdev-del", map[string]any{"node-name": e.node()}, nil)
	if strings.Contains(err.Error(), "lock") {
		return nephos.Errorf(nephos.ErrConflict, "volume %s is in use here: %w", e.volumeID, err)
	}
	return fmt.Errorf("serving volume %s by NBD: %w", e.volumeID, err)
}

// drop ends an export and its clients' connections, and closes the volume after
// the last one.
func (n *daemon) drop(ctx context.Context, key, node string) error {
	err := n.client.Execute(ctx, "block-export-del", map[string]any{"id": key, "mode": "hard"}, nil)
	var refusal *qmp.Error
	if err != nil && !errors.As(err, &refusal) {
		return fmt.Errorf("ending an NBD export: %w", err)
	}
	for { // until its last request is done
		has, err := n.exported(ctx)
		if err != nil {
			return err
		}
		if _, still := has[key]; !still {
			for _, other := range has {
				if other == node {
					return nil
				}
			}
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-n.d.cfg.Clock.After(daemonStep):
		}
	}
	err = n.client.Execute(ctx, "blockdev-del", map[string]any{"node-name": node}, nil)
	if err != nil && !errors.As(err, &refusal) {
		return fmt.Errorf("closing a volume served by NBD: %w", err)
	}
	return nil
}

// ensure serves what is recorded, which now has one more, of that key, or one
// less.
func (n *daemon) ensure(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, daemonTime)
	defer cancel()
	unlock, err := n.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if n.client != nil {
		select {
		case <-n.client.Done(): // nobody has noticed yet
			n.client = nil
		default:
		}
	}
	if err := n.sync(ctx, key); err != nil {
		if errors.Is(err, qmp.ErrClosed) {
			err = fmt.Errorf("%w: %w", nephos.ErrUnavailable, err)
		}
		return err
	}
	return nil
}
