// Package cephtest starts a Ceph cluster of one monitor and one OSD for tests of
// the drivers that speak to Ceph. It needs Debian's packages ceph-mon, ceph-osd
// and ceph-common, no systemd and no privilege; everything is kept in memory and
// in one directory, and gone when the test ends.
package cephtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

// Cluster is a running cluster.
type Cluster struct {
	// Dir holds its files; ceph.conf and keyring among them.
	Dir string
	// Monitors is the address of its monitor, in the form that ceph.conf's mon
	// host has.
	Monitors string
	// Legacy is the monitor's address of the older protocol, as host:port.
	Legacy string
	// User and Key are an administrator's.
	User, Key string
	FSID      string
}

// Start starts a cluster, or skips the test and says what is missing. It is
// stopped when the test ends.
func Start(t testing.TB) *Cluster {
	t.Helper()
	if os.Getenv("NEPHOS_E2E") == "" {
		t.Skip("NEPHOS_E2E is not set: a Ceph cluster takes seconds to start")
	}
	for _, name := range []string{"ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed (Debian: ceph-mon, ceph-osd, ceph-common)")
		}
	}
	// Socket paths must be short, and t.TempDir's may not be.
	dir, err := os.MkdirTemp("", "ceph")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &Cluster{Dir: dir, User: "admin", FSID: nephos.IDs{}.New()}
	v2, v1 := freePort(t), freePort(t)
	c.Legacy = "127.0.0.1:" + v1
	c.Monitors = fmt.Sprintf("[v2:127.0.0.1:%s,v1:127.0.0.1:%s]", v2, v1)
	for _, sub := range []string{"mon", "osd"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, sub), 0o700))
	}
	require.NoError(t, os.WriteFile(c.path("ceph.conf"), []byte(c.conf()), 0o600))
	c.startMonitor(t)
	c.startOSD(t)
	return c
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port
}

func (c *Cluster) path(name string) string { return filepath.Join(c.Dir, name) }

func (c *Cluster) conf() string {
	return strings.ReplaceAll(`[global]
fsid = `+c.FSID+`
mon host = `+c.Monitors+`
public addr = 127.0.0.1
keyring = DIR/keyring
run dir = DIR
admin socket = DIR/$name.asok
log file =
pid file = DIR/$name.pid
crash dir = DIR
mon data = DIR/mon
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
mon osd initial require min compat client = nautilus
auth allow insecure global id reclaim = false
paxos propose interval = 0.05
paxos min wait = 0.01
osd data = DIR/osd
osd objectstore = memstore
memstore device bytes = 8589934592
memstore page set = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd max object name len = 256
osd max object namespace len = 64
osd scrub load threshold = 0
osd client watch timeout = 3
ms bind ipv6 = false

[osd]
keyring = DIR/osd/keyring
`, "DIR", c.Dir)
}

// run runs one of Ceph's tools and returns what it prints.
func (c *Cluster) run(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.Env = append(os.Environ(), "CEPH_CONF="+c.path("ceph.conf"))
	require.NoError(t, cmd.Run(), "%s %s: %s", name, strings.Join(args, " "), errOut.String())
	return out.String()
}

// Ceph runs the ceph command as the administrator.
func (c *Cluster) Ceph(t testing.TB, args ...string) string {
	t.Helper()
	return c.run(t, "", "ceph", append([]string{"-c", c.path("ceph.conf")}, args...)...)
}

// Pool makes a pool for RBD.
func (c *Cluster) Pool(t testing.TB, name string) {
	t.Helper()
	c.Ceph(t, "osd", "pool", "create", name, "8")
	c.Ceph(t, "osd", "pool", "application", "enable", name, "rbd")
}

func (c *Cluster) startMonitor(t testing.TB) {
	t.Helper()
	k := c.path("keyring")
	c.run(t, "", "ceph-authtool", "--create-keyring", k, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
	c.run(t, "", "ceph-authtool", k, "--gen-key", "-n", "client.admin",
		"--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *", "--cap", "mds", "allow *")
	c.Key = strings.TrimSpace(c.run(t, "", "ceph-authtool", k, "-p", "-n", "client.admin"))
	m := c.path("monmap")
	c.run(t, "", "monmaptool", "--create", "--fsid", c.FSID, "--addv", "a", c.Monitors, m)
	c.run(t, "", "ceph-mon", "-c", c.path("ceph.conf"), "--mkfs", "-i", "a", "--monmap", m, "--keyring", k)
	c.daemon(t, "ceph-mon", "a")
}

func (c *Cluster) startOSD(t testing.TB) {
	t.Helper()
	uuid := nephos.IDs{}.New()
	secret := strings.TrimSpace(c.run(t, "", "ceph-authtool", "--gen-print-key"))
	in, err := json.Marshal(map[string]string{"cephx_secret": secret})
	require.NoError(t, err)
	c.run(t, string(in), "ceph", "-c", c.path("ceph.conf"), "osd", "new", uuid, "0", "-i", "-")
	c.run(t, "", "ceph-authtool", filepath.Join(c.Dir, "osd", "keyring"), "--create-keyring", "-n", "osd.0", "--add-key", secret)
	c.run(t, "", "ceph-osd", "-c", c.path("ceph.conf"), "-i", "0", "--mkfs", "--osd-uuid", uuid)
	c.daemon(t, "ceph-osd", "0")
}

// daemon starts a daemon that ends with the test, or with this process.
func (c *Cluster) daemon(t testing.TB, name, id string) {
	t.Helper()
	log, err := os.Create(c.path(name + ".log"))
	require.NoError(t, err)
	defer log.Close()
	// A shell waits for the end of its input, which is that of this process,
	// however it ends.
	cmd := exec.Command("sh", "-c", `"$@" & read -r _; kill -9 $!; wait`, "sh", name, "-c", c.path("ceph.conf"), "-i", id, "-f")
	cmd.Stdout, cmd.Stderr = log, log
	stop, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s: ...%s", name, text[max(0, len(text)-2000):])
		}
		// There is nothing to keep, so nobody is asked to say goodbye.
		_ = stop.Close()
		_ = cmd.Wait()
	})
}

// Import makes an image of a file, with the rbd command.
func (c *Cluster) Import(t testing.TB, path, pool, image string) {
	t.Helper()
	c.run(t, "", "rbd", "-c", c.path("ceph.conf"), "import", "--no-progress", path, pool+"/"+image)
}

// Freeze has the OSD answer nobody until the function that it returns is called.
func (c *Cluster) Freeze(t testing.TB) (thaw func()) {
	t.Helper()
	content, err := os.ReadFile(c.path("osd.0.pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	return func() { require.NoError(t, syscall.Kill(pid, syscall.SIGCONT)) }
}
