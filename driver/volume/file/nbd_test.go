package file

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/internal/testca"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/volumetest"
)

func needNBD(t testing.TB) {
	t.Helper()
	if os.Getenv("NEPHOS_E2E") == "" {
		t.Skip("NEPHOS_E2E is not set: no real NBD server is run")
	}
	for _, name := range []string{"qemu-storage-daemon", "qemu-io", "qemu-img", "qemu-system-x86_64"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip(name + " is not installed")
		}
	}
}

// socketFor is a short path for a directory's socket.
func socketFor(t drivertest.T, dir string) string {
	t.Helper()
	short, err := os.MkdirTemp("", "nbd")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	return filepath.Join(short, "s")
}

// openNBD opens a pool that serves; whatever still serves in the end is killed.
func openNBD(t drivertest.T, cfg Config) *Driver {
	t.Helper()
	cfg.Host = "home"
	d := open(t, cfg)
	t.Cleanup(func() {
		require.NoError(t, d.Close())
		if r, err := readRecord(d); err == nil {
			d.nbd.kill(r.PID)
		}
	})
	return d
}

func readRecord(d *Driver) (record, error) { return d.nbd.readRecord() }

// qemuIO does what a guest does with a connection.
func qemuIO(t drivertest.T, c driver.Connection, commands ...string) (string, error) {
	t.Helper()
	require.Equal(t, "nbd", c.Type)
	o := c.Options
	opts := "driver=raw,file.driver=nbd,file.export=" + o["export"]
	var args []string
	if o["socket"] != "" {
		opts += ",file.server.type=unix,file.server.path=" + o["socket"]
	} else {
		opts += ",file.server.type=inet,file.server.host=" + o["host"] + ",file.server.port=" + o["port"]
	}
	if o["tls"] == "yes" {
		dir := t.TempDir()
		for name, secret := range map[string]string{"ca-cert.pem": "tls_ca", "client-cert.pem": "tls_cert", "client-key.pem": "tls_key"} {
			if c.Secrets[secret] != "" {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(c.Secrets[secret]), 0o600))
			}
		}
		args = append(args, "--object", "tls-creds-x509,id=tls,endpoint=client,dir="+dir)
		opts += ",file.tls-creds=tls"
	}
	for _, command := range commands {
		args = append(args, "-c", command)
	}
	out, err := exec.Command("qemu-io", append(args, "--image-opts", opts)...).CombinedOutput()
	return string(out), err
}

func writeNBD(t drivertest.T, _ volume.Driver, c driver.Connection, offset int64, content []byte) {
	t.Helper()
	p := filepath.Join(t.TempDir(), "content")
	require.NoError(t, os.WriteFile(p, content, 0o600))
	out, err := qemuIO(t, c, fmt.Sprintf("write -s %s %d %d", p, offset, len(content)), "flush")
	require.NoError(t, err, out)
}

func requireByte(t drivertest.T, c driver.Connection, pattern int) {
	t.Helper()
	out, err := qemuIO(t, c, fmt.Sprintf("read -P %d 0 4096", pattern))
	require.NoError(t, err, out)
	require.NotContains(t, out, "Pattern verification failed")
}

// TestConformanceNBD runs the suite with every host elsewhere.
func TestConformanceNBD(t *testing.T) {
	needNBD(t)
	for _, format := range []string{volume.FormatRaw, volume.FormatQCOW2} {
		t.Run(format, func(t *testing.T) {
			sockets := make(map[string]string)
			volumetest.Run(t, func(t drivertest.T, dir string) volume.Driver {
				if sockets[dir] == "" {
					sockets[dir] = socketFor(t, dir)
				}
				return openNBD(t, Config{Dir: dir, Format: format, NBD: &NBD{Socket: sockets[dir]}})
			}, volumetest.Options{
				Write: writeNBD,
				Kill:  func(t drivertest.T, d volume.Driver) { require.NoError(t, d.Close()) }, // the daemon goes on
			})
		})
	}
}

func TestHomeOpensTheFile(t *testing.T) {
	needNBD(t)
	d := openNBD(t, Config{Dir: t.TempDir(), NBD: &NBD{Socket: socketFor(t, "")}})
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	c, err := d.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a", Host: "home"})
	require.NoError(t, err)
	require.Equal(t, "file", c.Type)
	_, err = readRecord(d)
	require.ErrorIs(t, err, os.ErrNotExist, "nobody needs a server")
}

func requireNothingLeft(t *testing.T, d *Driver, pid int) {
	t.Helper()
	require.False(t, d.nbd.ours(pid), "the server is gone")
	entries, err := os.ReadDir(d.dir("nbd"))
	require.NoError(t, err)
	for _, e := range entries {
		require.Equal(t, "daemon.log", e.Name())
	}
	require.NoFileExists(t, d.cfg.NBD.Socket)
}

const nbdVictim = "NEPHOS_TEST_NBD_DIR"

// playNBDVictim connects a volume, says how, and waits to be killed.
func playNBDVictim(dir string) {
	d, err := Open(Config{CloudID: "cloud1", Dir: dir, Host: "home", NBD: &NBD{Socket: os.Getenv("NEPHOS_TEST_NBD_SOCKET")}})
	if err != nil {
		panic(err)
	}
	c, err := d.Connect(context.Background(), "v", volume.Connector{AttachmentID: "a", Host: "away"})
	if err != nil {
		panic(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(c); err != nil {
		panic(err)
	}
	select {}
}

// TestServingOutlivesUs: the process that serves is killed; the guest elsewhere
// does not notice, and the next process finds what is served.
func TestServingOutlivesUs(t *testing.T) {
	needNBD(t)
	dir, socket := filepath.Join(t.TempDir(), "pool"), socketFor(t, "")
	require.NoError(t, open(t, Config{Dir: dir}).Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	exe, err := os.Executable()
	require.NoError(t, err)
	victim := exec.Command(exe)
	victim.Env = append(os.Environ(), nbdVictim+"="+dir, "NEPHOS_TEST_NBD_SOCKET="+socket)
	out, err := victim.StdoutPipe()
	require.NoError(t, err)
	victim.Stderr = os.Stderr
	require.NoError(t, victim.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	var c driver.Connection
	require.NoError(t, json.Unmarshal(line, &c))
	require.NoError(t, victim.Process.Kill())
	_ = victim.Wait()
	writeNBD(t, nil, c, 0, []byte(strings.Repeat("\x07", 4096)))

	d := openNBD(t, Config{Dir: dir, NBD: &NBD{Socket: socket}})
	before, err := readRecord(d)
	require.NoError(t, err)
	require.True(t, d.nbd.ours(before.PID), "the server was taken over")
	again, err := d.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a", Host: "away"})
	require.NoError(t, err)
	require.Equal(t, c, again)
	requireByte(t, again, 7)
	require.ErrorIs(t, d.Delete(t.Context(), "v"), nephos.ErrConflict)
	require.NoError(t, d.Disconnect(t.Context(), "v", volume.Connector{AttachmentID: "a"}))
	requireNothingLeft(t, d, before.PID)
	require.NoError(t, d.Delete(t.Context(), "v"))
}

// TestServerIsSupervised: the server is killed, and serves again.
func TestServerIsSupervised(t *testing.T) {
	needNBD(t)
	d := openNBD(t, Config{Dir: t.TempDir(), NBD: &NBD{Socket: socketFor(t, "")}})
	var conns []driver.Connection
	for _, id := range []string{"v1", "v2"} {
		require.NoError(t, d.Create(t.Context(), id, volume.Spec{SizeGiB: 1}))
		c, err := d.Connect(t.Context(), id, volume.Connector{AttachmentID: "a", Host: "away"})
		require.NoError(t, err)
		writeNBD(t, nil, c, 0, []byte(strings.Repeat("\x09", 4096)))
		conns = append(conns, c)
	}
	first, err := readRecord(d)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(first.PID, syscall.SIGKILL))
	require.Eventually(t, func() bool {
		r, err := readRecord(d)
		return err == nil && r.PID != first.PID
	}, 10*time.Second, 10*time.Millisecond)
	_, err = d.Connect(t.Context(), "v1", volume.Connector{AttachmentID: "a", Host: "away"}) // waits for its turn
	require.NoError(t, err)
	for _, c := range conns {
		requireByte(t, c, 9)
	}
	// One that hangs is replaced when somebody needs it anew.
	second, err := readRecord(d)
	require.NoError(t, err)
	require.NoError(t, d.Close())
	require.NoError(t, syscall.Kill(second.PID, syscall.SIGSTOP))
	d = openNBD(t, d.cfg)
	third, err := readRecord(d)
	require.NoError(t, err)
	require.NotEqual(t, second.PID, third.PID)
	requireByte(t, conns[0], 9)
	for _, id := range []string{"v1", "v2"} {
		require.NoError(t, d.Disconnect(t.Context(), id, volume.Connector{AttachmentID: "a"}))
	}
	requireNothingLeft(t, d, third.PID)
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// tlsNBD is a server over TCP whose certificates are the authority's.
func tlsNBD(t testing.TB, ca *testca.CA) *NBD {
	n := &NBD{Listen: freeAddress(t), CA: ca.File}
	n.Cert, n.Key = ca.Sign(t, "127.0.0.1")
	n.ClientCert, n.ClientKey = ca.Sign(t, "host2")
	return n
}

func TestMutualTLS(t *testing.T) {
	needNBD(t)
	ca := testca.New(t)
	n := tlsNBD(t, ca)
	d := openNBD(t, Config{Dir: t.TempDir(), NBD: n})
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	c, err := d.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a", Host: "away"})
	require.NoError(t, err)
	writeNBD(t, d, c, 0, []byte(strings.Repeat("\x05", 4096)))
	requireByte(t, c, 5)

	other := testca.New(t)
	cert, key := other.Sign(t, "stranger")
	certPEM, err := os.ReadFile(cert)
	require.NoError(t, err)
	keyPEM, err := os.ReadFile(key)
	require.NoError(t, err)
	for name, change := range map[string]func(*driver.Connection){
		"no TLS":         func(c *driver.Connection) { delete(c.Options, "tls") },
		"no certificate": func(c *driver.Connection) { delete(c.Secrets, "tls_cert"); delete(c.Secrets, "tls_key") },
		"a stranger's": func(c *driver.Connection) {
			c.Secrets["tls_cert"], c.Secrets["tls_key"] = string(certPEM), string(keyPEM)
		},
		"another attachment": func(c *driver.Connection) { c.Options["export"] = "v/b" },
	} {
		bad, err := d.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a", Host: "away"})
		require.NoError(t, err)
		change(&bad)
		out, err := qemuIO(t, bad, "read 0 512")
		require.Error(t, err, "%s: %s", name, out)
	}
	// A guest here, which has the file open for itself, and one elsewhere exclude
	// each other.
	require.NoError(t, d.Create(t.Context(), "w", volume.Spec{SizeGiB: 1}))
	home, err := d.Connect(t.Context(), "w", volume.Connector{AttachmentID: "home", Host: "home"})
	require.NoError(t, err)
	guest := exec.Command("qemu-system-x86_64", "-S", "-display", "none", "-nodefaults", "-monitor", "stdio",
		"-drive", "if=virtio,format=raw,file="+home.Path)
	talk, err := guest.StdinPipe()
	require.NoError(t, err)
	says, err := guest.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, guest.Start())
	_, err = fmt.Fprintln(talk, "info status") // which it answers once it has its disk
	require.NoError(t, err)
	lines := bufio.NewScanner(says)
	for lines.Scan() && !strings.Contains(lines.Text(), "VM status") {
		continue
	}
	_, err = d.Connect(t.Context(), "w", volume.Connector{AttachmentID: "b", Host: "third"})
	require.ErrorIs(t, err, nephos.ErrConflict)
	_, err = fmt.Fprintln(talk, "quit")
	require.NoError(t, err)
	_ = guest.Wait()
	_, err = d.Connect(t.Context(), "w", volume.Connector{AttachmentID: "b", Host: "third"})
	require.NoError(t, err)
	requireByte(t, c, 5)

	// With other certificates the server starts anew.
	first, err := readRecord(d)
	require.NoError(t, err)
	require.NoError(t, d.Close())
	fresh := testca.New(t)
	renewed := tlsNBD(t, fresh)
	renewed.Listen = n.Listen
	d = openNBD(t, Config{Dir: d.cfg.Dir, NBD: renewed})
	require.False(t, d.nbd.ours(first.PID))
	out, err := qemuIO(t, c, "read 0 512")
	require.Error(t, err, out)
	c, err = d.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a", Host: "away"})
	require.NoError(t, err)
	requireByte(t, c, 5)
}

// TestServerIsTheOwner: the server runs as the volumes' owner, who may not search
// the directories above the pool's.
func TestServerIsTheOwner(t *testing.T) {
	needNBD(t)
	if os.Getuid() != 0 {
		t.Skip("not root: the server cannot get a user of its own")
	}
	above := filepath.Join(t.TempDir(), "above")
	require.NoError(t, os.Mkdir(above, 0o700))
	ca := testca.New(t)
	d := openNBD(t, Config{Dir: filepath.Join(above, "pool"), UID: 65534, GID: 65534, NBD: tlsNBD(t, ca)})
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	c, err := d.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a", Host: "away"})
	require.NoError(t, err)
	writeNBD(t, d, c, 0, []byte(strings.Repeat("\x06", 4096)))
	requireByte(t, c, 6)
	r, err := readRecord(d)
	require.NoError(t, err)
	info, err := os.Stat(fmt.Sprintf("/proc/%d", r.PID))
	require.NoError(t, err)
	require.EqualValues(t, 65534, info.Sys().(*syscall.Stat_t).Uid)
	require.NoError(t, d.Disconnect(t.Context(), "v", volume.Connector{AttachmentID: "a"}))
	requireNothingLeft(t, d, r.PID)
}

func TestNBDConfig(t *testing.T) {
	good := NBD{Listen: "127.0.0.1:10809", CA: "c", Cert: "c", Key: "k", ClientCert: "c", ClientKey: "k"}
	require.NoError(t, good.check())
	for name, change := range map[string]func(*NBD){
		"both":            func(n *NBD) { n.Socket = "/x" },
		"neither":         func(n *NBD) { n.Listen = "" },
		"relative socket": func(n *NBD) { n.Listen, n.Socket = "", "x" },
		"long socket":     func(n *NBD) { n.Listen, n.Socket = "", "/"+strings.Repeat("x", 107) },
		"no port":         func(n *NBD) { n.Listen = "127.0.0.1" },
		"port zero":       func(n *NBD) { n.Listen = "127.0.0.1:0" },
		"address":         func(n *NBD) { n.Address = "storage" },
		"no TLS":          func(n *NBD) { n.CA = "" },
		"no client":       func(n *NBD) { n.ClientKey = "" },
	} {
		bad := good
		bad.Address = ""
		change(&bad)
		require.ErrorIs(t, bad.check(), nephos.ErrInvalid, name)
	}
	_, err := Open(Config{Dir: t.TempDir(), NBD: &NBD{Socket: "/x"}})
	require.ErrorIs(t, err, nephos.ErrInvalid, "no Host")
}
