package plugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/volume"
)

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// play launches this program in a role of TestMain's.
func play[D interface{ Close() error }](t testing.TB, role string, o LaunchOptions) D {
	t.Helper()
	o.Args = []string{"play=" + role}
	if o.Env == nil {
		o.Env = prompt
	}
	d, err := Launch[D](t.Context(), self(t), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

func TestAHypervisorInAnotherProcess(t *testing.T) {
	d := play[hypervisor.Driver](t, "hypervisor", LaunchOptions{})
	node, err := hypervisor.NewNode(t.Context(), d, hypervisor.NodeOptions{})
	require.NoError(t, err)
	require.True(t, node.Can(hypervisor.CanPause))
	_, err = node.Get(t.Context(), "none")
	require.ErrorIs(t, err, nephos.ErrNotFound, "errors keep their meaning")
	require.NoError(t, node.Ensure(t.Context(), "one", hypervisor.Spec{CloudID: "cloud", Name: "one", VCPUs: 1, MemoryMiB: 64}))
	events, err := node.Events(t.Context())
	require.NoError(t, err)
	require.NoError(t, node.Start(t.Context(), "one"))
	require.Equal(t, hypervisor.Running, (<-events).State)

	c, err := node.Console(t.Context(), "one", hypervisor.Serial)
	require.NoError(t, err)
	_, err = c.Write([]byte("hello\n"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 10))
	require.NoError(t, err, "the console outlives the call's context")
	require.NoError(t, c.Close())
}

func TestANetworkInAnotherProcess(t *testing.T) {
	d := play[network.Driver](t, "network", LaunchOptions{})
	require.NoError(t, d.EnsureNetwork(t.Context(), "n", network.Network{Name: "n"}))
	inv, err := d.List(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"n"}, inv.Networks)
}

// What of the suite depends on a real process, which is killed where the suite
// kills. Each test starts several.
func TestBlobsInAnotherProcessPassTheirSuite(t *testing.T) {
	tests := blobtest.Tests(func(t drivertest.T, dir string) blob.Driver {
		d, err := Launch[blob.Driver](t.Context(), self(t.(testing.TB)), LaunchOptions{Args: []string{"play=blob"}, Env: prompt, Dir: dir})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, d.Close()) })
		return d
	}, blobtest.Options{Kill: func(t drivertest.T, d blob.Driver) {
		p, _ := Of(d)
		p.Kill()
		require.NoError(t, d.Close())
	}})
	kept := []string{"FailedBody", "Cancelled", "Reopen", "Multiparter"}
	drivertest.Run(t, slices.DeleteFunc(tests, func(t drivertest.Test) bool { return !slices.Contains(kept, t.Name) }))
}

func TestVolumesInAnotherProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pool")
	d := play[volume.Driver](t, "volume", LaunchOptions{Dir: dir})
	pool, err := volume.NewPool(t.Context(), d, volume.PoolOptions{})
	require.NoError(t, err)
	content := bytes.Repeat([]byte("nephos "), 1<<16)
	require.NoError(t, pool.CreateFromImage(t.Context(), "v", volume.Spec{SizeGiB: 1}, volume.Image{
		Body: bytes.NewReader(content), Format: volume.FormatRaw, Size: int64(len(content)), VirtualSize: int64(len(content)),
	}))
	c, err := pool.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a", Host: "h"})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(c.Path, dir+"/"), "a path below the plugin's own directory")
	r, err := pool.Read(t.Context(), "v")
	require.NoError(t, err)
	got := make([]byte, len(content))
	_, err = io.ReadFull(r, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	require.NoError(t, r.Close())
}

func TestUnfitProgramsAreRefusedInOneLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	for _, c := range []struct {
		name, path, says string
		kind             error
	}{
		{name: "absent", path: filepath.Join(dir, "absent"), says: "check the path", kind: nephos.ErrInvalid},
		{name: "a directory", path: dir, says: "it is a directory: name the plugin's executable file", kind: nephos.ErrInvalid},
		{name: "a device", path: "/dev/zero", says: "it is no regular file", kind: nephos.ErrInvalid},
		{name: "not executable", path: write("data", "#!/bin/sh\n", 0o600), says: "chmod +x", kind: nephos.ErrInvalid},
		{name: "no program", path: write("text", "hello", 0o700), says: "neither a program for this machine nor a script", kind: nephos.ErrInvalid},
		{name: "no interpreter", path: write("script", "#!/nowhere/python\n", 0o700), says: "the interpreter in its #! line", kind: nephos.ErrInvalid},
		{name: "true", path: "/bin/true", says: "exit status 0 before its handshake", kind: nephos.ErrInvalid},
		{name: "ends", says: "before its handshake", kind: nephos.ErrInvalid},
		{name: "fails", says: "it said: no such pool: make it first", kind: nephos.ErrInvalid},
		{name: "none", says: "string is no driver", kind: nephos.ErrInvalid},
		{name: "chats", says: `"Welcome to Acme Storage 3.1!" is no go-plugin handshake`, kind: nephos.ErrInvalid},
		{name: "babbles", says: "without an end of line", kind: nephos.ErrInvalid},
		{name: "silent", says: "it said nothing on its standard output", kind: nephos.ErrUnavailable},
		{name: "netrpc", says: "serve it over gRPC", kind: nephos.ErrInvalid},
		{name: "core", says: "build it with a go-plugin of today", kind: nephos.ErrInvalid},
		{name: "version", says: `version "7" of the driver contract, and this Nephos version 1: use a plugin built for version 1`, kind: nephos.ErrInvalid},
		{name: "elsewhere", says: "PLUGIN_UNIX_SOCKET_DIR", kind: nephos.ErrInvalid},
		{name: "plain", says: "it sent no certificate", kind: nephos.ErrInvalid},
		{name: "unserved", says: "", kind: nil},
		{name: "stranger", says: "does not serve nephos.driver.v1.Plugin", kind: nephos.ErrInvalid},
		{name: "blob", says: `it is a "blob" driver, and a volume driver is wanted`, kind: nephos.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			sockets, err := os.MkdirTemp("", "s")
			require.NoError(t, err)
			defer os.RemoveAll(sockets)
			o := LaunchOptions{Args: []string{"play=" + c.name}, Env: prompt, Dir: filepath.Join(dir, "state"), SocketDir: sockets}
			if c.name == "silent" {
				o.StartTimeout = 100 * time.Millisecond
			}
			if c.path == "" {
				c.path = self(t)
			}
			_, err = Launch[volume.Driver](t.Context(), c.path, o)
			require.ErrorContains(t, err, "launching the plugin "+c.path+": ")
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "\n", "one line")
			if c.kind != nil {
				require.ErrorIs(t, err, c.kind)
			}
			left, err := os.ReadDir(sockets)
			require.NoError(t, err)
			require.Empty(t, left, "nothing is left behind")
		})
	}
}

func TestNothingIsLeftOfAProgramThatIsNoPlugin(t *testing.T) {
	dir := t.TempDir()
	path, number := filepath.Join(dir, "driver"), filepath.Join(dir, "child")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\nsleep 1000 & echo $! >"+number+"\nwait\n"), 0o700))
	_, err := Launch[volume.Driver](t.Context(), path, LaunchOptions{StartTimeout: 300 * time.Millisecond})
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	child, err := os.ReadFile(number)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		line, err := os.ReadFile("/proc/" + strings.TrimSpace(string(child)) + "/stat")
		return err != nil || strings.Contains(string(line), ") Z ")
	}, 10*time.Second, time.Millisecond, "its child ends too")
}

func TestALaunchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := Launch[volume.Driver](ctx, self(t), LaunchOptions{Args: []string{"play=silent"}})
	require.ErrorIs(t, err, context.Canceled)
}

func TestADirectoryForSocketsThatIsTooLong(t *testing.T) {
	_, err := Launch[volume.Driver](t.Context(), self(t), LaunchOptions{SocketDir: "/tmp/" + strings.Repeat("x", 60)})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.ErrorContains(t, err, "choose a shorter one")
}

func TestNoKindOfDriver(t *testing.T) {
	_, err := Launch[io.Reader](t.Context(), self(t), LaunchOptions{})
	require.ErrorContains(t, err, "no kind of driver")
}

func TestThePluginSeesNothingOfOurEnvironment(t *testing.T) {
	t.Setenv("OS_PASSWORD", "secret")
	d := play[volume.Driver](t, "odd", LaunchOptions{Env: []string{"POOL=ssd"}})
	v, err := d.Get(t.Context(), "env")
	require.NoError(t, err)
	env := strings.Join(v.Snapshots, "\n")
	require.Contains(t, env, "POOL=ssd")
	require.NotContains(t, env, "secret")
	require.NotContains(t, env, "HOME=")
}

func checksum(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

func TestAPinnedProgram(t *testing.T) {
	d := play[volume.Driver](t, "odd", LaunchOptions{SHA256: checksum(t, self(t))})
	_, err := d.Get(t.Context(), "v")
	require.NoError(t, err)

	_, err = Launch[volume.Driver](t.Context(), self(t), LaunchOptions{SHA256: strings.Repeat("ab", 32)})
	require.ErrorIs(t, err, nephos.ErrForbidden)
	require.ErrorContains(t, err, "it is another program")
	_, err = Launch[volume.Driver](t.Context(), self(t), LaunchOptions{SHA256: "abc"})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

// A pinned script is swapped once it runs: what is started again is still what
// was checked.
func TestAPinnedScriptThatIsSwapped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "driver")
	script := "#!/bin/sh\nexec " + self(t) + " play=odd\n"
	require.NoError(t, os.WriteFile(path, []byte(script), 0o700))
	d, err := Launch[volume.Driver](t.Context(), path, LaunchOptions{SHA256: checksum(t, path)})
	require.NoError(t, err)
	defer d.Close()
	for _, evil := range []func() error{
		func() error { return os.WriteFile(path, []byte("#!/bin/sh\nexit 9\n"), 0o700) }, // in place
		func() error { return errors.Join(os.Remove(path), os.Symlink("/bin/false", path)) },
	} {
		require.NoError(t, evil())
		p, _ := Of(d)
		p.Kill()
		require.NoError(t, p.Await(t.Context()))
		_, err = d.Get(t.Context(), "v")
		require.NoError(t, err)
	}
}

// records collects log lines.
type records struct {
	mu   sync.Mutex
	list []slog.Record
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, rec slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, rec)
	return nil
}

func (r *records) find(message string) (level slog.Level, fields string, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.list {
		if rec.Message == message {
			rec.Attrs(func(a slog.Attr) bool { fields += a.String() + " "; return true })
			return rec.Level, fields, true
		}
	}
	return 0, "", false
}

func TestLogsComeThroughStructured(t *testing.T) {
	log := &records{}
	d := play[volume.Driver](t, "odd", LaunchOptions{Log: slog.New(log)})
	_, err := d.Get(t.Context(), "log")
	require.NoError(t, err)
	for message, want := range map[string]struct {
		level  slog.Level
		fields string
	}{
		"low on space":       {slog.LevelWarn, "fields=[free=3 pool=ssd] "},
		"disk failed":        {slog.LevelError, "fields=[slot=7] "},
		"plain words":        {slog.LevelDebug, ""},
		"on standard output": {slog.LevelInfo, ""},
	} {
		require.Eventually(t, func() bool { _, _, ok := log.find(message); return ok }, 10*time.Second, time.Millisecond, message)
		level, fields, _ := log.find(message)
		require.Equal(t, want.level, level, message)
		require.Equal(t, want.fields, fields, message)
	}
}

func TestAFloodOfLogLinesIsBounded(t *testing.T) {
	log := &records{}
	d := play[volume.Driver](t, "odd", LaunchOptions{Log: slog.New(log), Clock: nephos.NewVirtualClock(time.Unix(0, 0))})
	_, err := d.Get(t.Context(), "flood")
	require.NoError(t, err, "a flood does not block the plugin")
	require.NoError(t, d.Close())
	log.mu.Lock()
	defer log.mu.Unlock()
	require.Less(t, len(log.list), 600)
	last := log.list[len(log.list)-1]
	require.Equal(t, "the plugin logs too much: lines were dropped", last.Message)
	for _, r := range log.list {
		require.Less(t, len(r.Message), 9000)
	}
}
