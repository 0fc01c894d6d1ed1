package qemu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/internal/filelock"
)

// peer is a QEMU that only talks: it keeps a state, devices and nodes, and
// refuses what QEMU refuses. Its process is a sleeper that carries the guest's
// name.
type peer struct {
	t       *testing.T
	process *exec.Cmd
	mu      sync.Mutex
	conn    net.Conn
	status  string
	devices map[string]string // id to driver
	nodes   map[string]int64
	netdevs map[string]bool
	asked   []string
	deaf    bool // to a request to power off or to unplug
}

const peerID = "guest"

// newPeer returns a driver that has adopted the peer as its guest.
func newPeer(t *testing.T, spec hypervisor.Spec) (*Driver, *peer, *stepClock) {
	t.Helper()
	clock := &stepClock{now: time.Unix(1e9, 0).UTC()}
	d := &Driver{
		cfg:   Config{CloudID: "c", Dir: t.TempDir(), Unplug: 30 * time.Second, SoftReboot: time.Minute},
		clock: clock, log: discard(), stop: make(chan struct{}),
		guests: make(map[string]*guest),
	}
	var err error
	d.lock, err = filelock.Take(filepath.Join(d.cfg.Dir, "lock"))
	require.NoError(t, err)
	g := newGuest(peerID, d.guestDir(peerID))
	require.NoError(t, os.MkdirAll(g.dir, 0o700))
	g.rec = record{ID: peerID, Spec: spec}
	d.guests[peerID] = g

	q := &peer{t: t, status: "running", devices: map[string]string{}, nodes: map[string]int64{}, netdevs: map[string]bool{}}
	for _, disk := range spec.Disks {
		q.devices[diskDevice(disk.ID)], q.nodes[diskNode(disk.ID)] = "virtio-blk-pci", disk.SizeBytes
	}
	q.process = exec.Command("sh", "-c", "read x", "-name", d.nameOf(peerID), "-x")
	stdin, err := q.process.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, q.process.Start())
	t.Cleanup(func() { _ = stdin.Close() })
	f, err := listen(g.dir, "vm.qmp")
	require.NoError(t, err)
	l, err := net.FileListener(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	t.Cleanup(func() { _ = l.Close() })
	go q.accept(l)
	p, err := openChild(q.process.Process.Pid)
	require.NoError(t, err)
	d.adopt(t.Context(), g, p, false)
	t.Cleanup(func() {
		require.NoError(t, d.Close())
		_ = q.process.Process.Kill()
		_, _ = q.process.Process.Wait()
	})
	return d, q, clock
}

func (q *peer) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		q.mu.Lock()
		q.conn = conn
		q.mu.Unlock()
		fmt.Fprintln(conn, `{"QMP": {"version": {}}}`)
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			var c struct {
				Execute   string
				Arguments map[string]any
				ID        uint64
			}
			if json.Unmarshal(lines.Bytes(), &c) != nil {
				break
			}
			q.mu.Lock()
			result, class := q.answer(c.Execute, c.Arguments)
			q.mu.Unlock()
			if class != "" {
				fmt.Fprintf(conn, `{"error": {"class": %q, "desc": "refused"}, "id": %d}`+"\n", class, c.ID)
				continue
			}
			data, _ := json.Marshal(result)
			fmt.Fprintf(conn, `{"return": %s, "id": %d}`+"\n", data, c.ID)
		}
	}
}

func (q *peer) event(name, data string) {
	fmt.Fprintf(q.conn, `{"event": %q, "data": %s, "timestamp": {"seconds": 1, "microseconds": 0}}`+"\n", name, data)
}

// answer carries out a command. The caller holds the mutex.
func (q *peer) answer(command string, args map[string]any) (result any, class string) {
	q.asked = append(q.asked, command)
	str := func(key string) string { s, _ := args[key].(string); return s }
	empty := map[string]any{}
	switch command {
	case "query-status":
		return map[string]any{"status": q.status}, ""
	case "stop":
		q.status = "paused"
		q.event("STOP", "{}")
	case "cont":
		q.status = "running"
		q.event("RESUME", "{}")
	case "system_powerdown":
		if !q.deaf {
			q.status = "shutdown"
			q.event("SHUTDOWN", `{"guest": true, "reason": "guest-shutdown"}`)
		}
	case "quit":
		_ = q.process.Process.Kill()
	case "qom-list":
		list := []map[string]any{}
		for id := range q.devices {
			list = append(list, map[string]any{"name": id})
		}
		return list, ""
	case "add-fd":
		return map[string]any{"fdset-id": 1, "fd": 9}, ""
	case "blockdev-add":
		if _, there := q.nodes[str("node-name")]; there {
			return nil, "GenericError"
		}
		q.nodes[str("node-name")] = 1 << 20
	case "blockdev-del":
		if _, there := q.nodes[str("node-name")]; !there {
			return nil, "GenericError"
		}
		delete(q.nodes, str("node-name"))
	case "device_add":
		if _, there := q.devices[str("id")]; there {
			return nil, "GenericError"
		}
		q.devices[str("id")] = str("driver")
	case "device_del":
		if _, there := q.devices[str("id")]; !there {
			return nil, "DeviceNotFound"
		}
		if !q.deaf {
			delete(q.devices, str("id"))
			q.event("DEVICE_DELETED", fmt.Sprintf(`{"device": %q, "path": "x"}`, str("id")))
		}
	case "query-named-block-nodes":
		list := []map[string]any{}
		for name, size := range q.nodes {
			list = append(list, map[string]any{"node-name": name, "image": map[string]any{"virtual-size": size}})
		}
		return list, ""
	case "block_resize":
		q.nodes[str("node-name")] = int64(args["size"].(float64))
	case "netdev_del":
		return nil, "GenericError"
	}
	return empty, ""
}

func (q *peer) count(command string) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.asked {
		if c == command {
			n++
		}
	}
	return n
}

// stepClock stands still until somebody waits; then it jumps to the earliest
// moment waited for, once told to.
type stepClock struct {
	mu      sync.Mutex
	now     time.Time
	waiting []wakeup
	running bool
}

type wakeup struct {
	at time.Time
	ch chan time.Time
}

func (c *stepClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *stepClock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := wakeup{c.now.Add(d), make(chan time.Time, 1)}
	if c.running {
		c.now = w.at
		w.ch <- w.at
	} else {
		c.waiting = append(c.waiting, w)
	}
	return w.ch
}

// run lets every wait, present and future, be over at once.
func (c *stepClock) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = true
	for _, w := range c.waiting {
		w.ch <- w.at
	}
	c.waiting = nil
}

// stand ends run.
func (c *stepClock) stand() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
}

var _ nephos.Clock = (*stepClock)(nil)

func volumeDisk(t *testing.T, id string, size int64) driver.Disk {
	t.Helper()
	path := filepath.Join(t.TempDir(), id)
	require.NoError(t, os.WriteFile(path, make([]byte, 512), 0o600))
	return driver.Disk{ID: id, Format: "raw", BootIndex: -1, SizeBytes: size, Source: driver.Connection{Type: "file", Path: path}}
}
