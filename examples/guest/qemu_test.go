package guest

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// timeout bounds each wait for the guest: emulated, on a busy machine, it may
// take many times what it usually takes.
const timeout = 120 * time.Second

// machine is a guest that runs under QEMU, with its serial console and its
// monitor at hand.
type machine struct {
	t       *testing.T
	cmd     *exec.Cmd
	console net.Conn
	said    []byte // what the console said and expect has not yet consumed
	qmp     net.Conn
	replies *json.Decoder
}

// boot starts a guest whose root disk is a 1 GiB overlay over image. It is
// killed when the test ends.
func boot(t *testing.T, image string, env []string, args ...string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "guest") // short, for the sockets' sake
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	root := filepath.Join(dir, "root.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, root, "1G")

	console, monitor := listen(t, dir, "console"), listen(t, dir, "monitor")
	m := &machine{t: t, cmd: exec.Command("qemu-system-x86_64", append([]string{
		"-machine", "pc", "-accel", "tcg,tb-size=32", "-cpu", "qemu64", "-m", "128",
		"-nodefaults", "-no-user-config", "-display", "none",
		"-chardev", "socket,id=console,path=" + console.Addr().String(), "-serial", "chardev:console",
		"-chardev", "socket,id=monitor,path=" + monitor.Addr().String(), "-mon", "chardev=monitor,mode=control",
		"-blockdev", "driver=qcow2,node-name=root,file.driver=file,file.filename=" + root,
		"-device", "virtio-blk-pci,drive=root,bootindex=1",
	}, args...)...)}
	m.cmd.Env = append(os.Environ(), env...)
	m.cmd.Stderr = os.Stderr
	require.NoError(t, m.cmd.Start())
	t.Cleanup(func() {
		_ = m.cmd.Process.Kill()
		_ = m.cmd.Wait()
	})
	m.console, m.qmp = accept(t, console), accept(t, monitor)
	m.replies = json.NewDecoder(m.qmp)
	m.execute("qmp_capabilities", nil)
	return m
}

func listen(t *testing.T, dir, name string) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name)})
	require.NoError(t, err)
	require.NoError(t, l.SetDeadline(time.Now().Add(timeout)))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func accept(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	require.NoError(t, err, "waiting for QEMU")
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// expect reads the console until the pattern matches, and returns the match
// and its groups.
func (m *machine) expect(pattern string) []string {
	m.t.Helper()
	re := regexp.MustCompile(pattern)
	require.NoError(m.t, m.console.SetReadDeadline(time.Now().Add(timeout)))
	chunk := make([]byte, 4096)
	for {
		if at := re.FindSubmatchIndex(m.said); at != nil {
			var groups []string
			for i := 0; i < len(at); i += 2 {
				groups = append(groups, string(m.said[at[i]:at[i+1]]))
			}
			m.said = m.said[at[1]:]
			return groups
		}
		n, err := m.console.Read(chunk)
		m.said = append(m.said, chunk[:n]...)
		require.NoError(m.t, err, "waiting for %q, the console said %q", pattern, m.said)
	}
}

// expectLine waits for one of the guest's own lines; it must be a whole line.
func (m *machine) expectLine(text string) {
	m.t.Helper()
	m.expect(`(?m)^nephos-guest: ` + regexp.QuoteMeta(text) + `\r?\n`)
}

// enter types a line at the console.
func (m *machine) enter(line string) {
	m.t.Helper()
	_, err := fmt.Fprintf(m.console, "%s\n", line)
	require.NoError(m.t, err)
}

// execute runs a QMP command.
func (m *machine) execute(command string, arguments any) {
	m.t.Helper()
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	require.NoError(m.t, m.qmp.SetDeadline(time.Now().Add(timeout)))
	require.NoError(m.t, json.NewEncoder(m.qmp).Encode(request))
	for {
		var reply struct {
			Return json.RawMessage
			Error  struct{ Desc string }
		}
		require.NoError(m.t, m.replies.Decode(&reply), "executing %s", command)
		require.Empty(m.t, reply.Error.Desc, "executing %s", command)
		if reply.Return != nil {
			return
		}
	}
}

// expectOff waits for QEMU to end, as it does when the guest powers off.
func (m *machine) expectOff() {
	m.t.Helper()
	killer := time.AfterFunc(timeout, func() { _ = m.cmd.Process.Kill() })
	defer killer.Stop()
	require.NoError(m.t, m.cmd.Wait(), "the guest did not power off")
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
}
