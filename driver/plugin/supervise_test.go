package plugin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// waits is a clock whose waiters the test wakes one by one.
type waits struct {
	mu   sync.Mutex
	now  time.Time
	asks chan wait
}

type wait struct {
	d    time.Duration
	wake chan time.Time
}

func newWaits() *waits { return &waits{now: time.Unix(1000, 0), asks: make(chan wait)} }

func (w *waits) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *waits) After(d time.Duration) <-chan time.Time {
	wake := make(chan time.Time, 1)
	w.asks <- wait{d, wake}
	return wake
}

// pass lets the wait end.
func (w *waits) pass(a wait) {
	w.mu.Lock()
	w.now = w.now.Add(a.d)
	now := w.now
	w.mu.Unlock()
	a.wake <- now
}

func TestAPluginThatDiesIsStartedAgainWithBackOff(t *testing.T) {
	defer goleak.VerifyNone(t)
	clock, changes := newWaits(), make(chan Change, 10)
	d, err := Launch[volume.Driver](t.Context(), self(t), LaunchOptions{
		Args: []string{"play=volume"}, Env: prompt, Dir: filepath.Join(t.TempDir(), "pool"), Clock: clock,
		HealthEvery: time.Hour, RestartAfter: time.Second, RestartMost: 3 * time.Second,
		Observe: func(c Change) { changes <- c },
	})
	require.NoError(t, err)
	p, _ := Of(d)
	require.True(t, (<-changes).Running)
	require.Equal(t, time.Hour, (<-clock.asks).d, "waiting to ask for its health")
	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))

	for _, want := range []time.Duration{time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
		first := p.PID()
		require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
		end := <-changes
		require.False(t, end.Running)
		require.ErrorContains(t, end.Err, "killed")
		_, err = d.Get(t.Context(), "v")
		require.ErrorIs(t, err, nephos.ErrUnavailable, "until it is started again")
		require.ErrorContains(t, err, "being started again")
		_, err = d.(volume.Abilitier).Abilities(t.Context())
		require.ErrorIs(t, err, nephos.ErrUnavailable)

		again := <-clock.asks
		require.Equal(t, want, again.d)
		clock.pass(again)
		require.True(t, (<-changes).Running)
		require.NotEqual(t, first, p.PID())
		v, err := d.Get(t.Context(), "v")
		require.NoError(t, err)
		require.Equal(t, 1, v.SizeGiB, "and nothing is lost")
		abilities, err := d.(volume.Abilitier).Abilities(t.Context())
		require.NoError(t, err)
		require.Contains(t, abilities, volume.AbilityExtender, "abilities are asked for again")
		require.Equal(t, time.Hour, (<-clock.asks).d)
	}
	require.Equal(t, 5, p.Starts())
	require.NoError(t, d.Close())
	require.NoError(t, d.Close(), "twice is success")
	_, err = d.Get(t.Context(), "v")
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.ErrorContains(t, err, "was closed")
}

func TestAPluginThatNoLongerStartsIsTriedAgain(t *testing.T) {
	clock, changes := newWaits(), make(chan Change, 10)
	dir := t.TempDir()
	path, flag := filepath.Join(dir, "driver"), filepath.Join(dir, "broken")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "#!/bin/sh\n[ -e %s ] && echo out of order >&2 && exit 1\nexec %s play=odd\n", flag, self(t)), 0o700))
	d, err := Launch[volume.Driver](t.Context(), path, LaunchOptions{Clock: clock, RestartAfter: time.Second, Observe: func(c Change) { changes <- c }})
	require.NoError(t, err)
	<-changes
	<-clock.asks
	require.NoError(t, os.WriteFile(flag, nil, 0o600))
	p, _ := Of(d)
	p.Kill()
	<-changes
	clock.pass(<-clock.asks)
	require.ErrorContains(t, (<-changes).Err, "out of order")
	_, err = d.Get(t.Context(), "v")
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.ErrorContains(t, err, "does not start")
	require.NoError(t, os.Remove(flag))
	clock.pass(<-clock.asks)
	require.True(t, (<-changes).Running)
	_, err = d.Get(t.Context(), "v")
	require.NoError(t, err)
	<-clock.asks
	require.NoError(t, d.Close())
}

func TestAPluginThatHangsIsKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	clock, changes := newWaits(), make(chan Change, 10)
	d, err := Launch[volume.Driver](t.Context(), self(t), LaunchOptions{
		Args: []string{"play=odd"}, Env: prompt, Clock: clock, HealthEvery: time.Minute, HealthTimeout: time.Second,
		Observe: func(c Change) { changes <- c },
	})
	require.NoError(t, err)
	<-changes
	p, _ := Of(d)
	stuck := make(chan error)
	health := <-clock.asks
	require.Equal(t, time.Minute, health.d)
	go func() {
		_, err := d.Get(context.Background(), "stop") // the process stops, as one that swaps to death
		stuck <- err
	}()
	require.Eventually(t, func() bool { return stopped(p.PID()) }, 10*time.Second, time.Millisecond)
	clock.pass(health)
	limit := <-clock.asks
	require.Equal(t, time.Second, limit.d)
	clock.pass(limit)
	require.ErrorIs(t, <-stuck, nephos.ErrUnavailable, "its calls end")
	require.ErrorContains(t, (<-changes).Err, "it hangs")
	clock.pass(<-clock.asks)
	require.True(t, (<-changes).Running)
	_, err = d.Get(t.Context(), "v")
	require.NoError(t, err)
	<-clock.asks
	require.NoError(t, d.Close())
}

// stopped tells whether a process is stopped by a signal.
func stopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(stat), ") T ")
}

func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestAPluginThatHangsIsClosedNevertheless(t *testing.T) {
	t.Parallel()
	d, err := Launch[volume.Driver](t.Context(), self(t), LaunchOptions{Args: []string{"play=odd"}, Env: prompt})
	require.NoError(t, err)
	p, _ := Of(d)
	pid := p.PID()
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	require.NoError(t, d.Close())
	require.True(t, gone(pid))
}

func TestACallThatKillsThePluginHarmsItself(t *testing.T) {
	t.Parallel()
	d := play[volume.Driver](t, "odd", LaunchOptions{})
	p, _ := Of(d)
	for n, id := range []string{"exit", "panic"} {
		other := make(chan error)
		go func() {
			_, err := d.Get(context.Background(), "hang")
			other <- err
		}()
		_, err := d.Get(t.Context(), id)
		require.ErrorIs(t, err, nephos.ErrUnavailable)
		require.ErrorContains(t, err, "before it had answered; it is started again")
		require.ErrorIs(t, <-other, nephos.ErrUnavailable)
		require.NoError(t, p.Await(t.Context()))
		require.Eventually(t, func() bool { _, err = d.Get(t.Context(), "v"); return err == nil }, 10*time.Second, time.Millisecond)
		require.Equal(t, n+2, p.Starts())
	}
}

func TestAPluginThatDiesInTheMiddleOfAStream(t *testing.T) {
	t.Parallel()
	d := play[volume.Driver](t, "odd", LaunchOptions{})
	p, _ := Of(d)
	endless := io.MultiReader(strings.NewReader("an image"), neverEnding{})
	err := d.(volume.ImageWriter).CreateFromImage(t.Context(), "v", volume.Spec{SizeGiB: 1}, volume.Image{Body: endless, Format: volume.FormatRaw, Size: -1})
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	require.Eventually(t, func() bool { return p.Starts() == 2 }, 10*time.Second, time.Millisecond)

	r, err := d.(volume.ImageReader).Read(t.Context(), "v")
	require.NoError(t, err)
	defer r.Close()
	half := make([]byte, len("half of it"))
	_, err = io.ReadFull(r, half)
	require.NoError(t, err)
	p.Kill()
	_, err = r.Read(half)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "half of it is not taken for all of it")
}

type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return copy(p, "more of it"), nil }

func TestEventsBreakOffWithThePluginAndCanBeHadAgain(t *testing.T) {
	d := play[hypervisor.Driver](t, "hypervisor", LaunchOptions{})
	p, _ := Of(d)
	events, err := d.(hypervisor.Eventer).Events(t.Context())
	require.NoError(t, err)
	p.Kill()
	_, open := <-events
	require.False(t, open)
	_, err = d.(hypervisor.Eventer).Events(t.Context())
	require.NoError(t, err, "once the channel is closed the plugin runs again")
}

// A host that is killed leaves no plugin behind.
func TestNoPluginOutlivesItsHost(t *testing.T) {
	t.Parallel()
	sockets, err := os.MkdirTemp("", "s")
	require.NoError(t, err)
	defer os.RemoveAll(sockets)
	host := exec.Command(self(t), "play=launchhost")
	host.Env = []string{"TMPDIR=" + sockets}
	out, err := host.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, host.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err)
	require.False(t, gone(pid))
	require.NoError(t, host.Process.Kill())
	_ = host.Wait()
	require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, time.Millisecond)

	left, err := filepath.Glob(filepath.Join(sockets, "nephos-*"))
	require.NoError(t, err)
	require.Len(t, left, 1)
	used := play[volume.Driver](t, "odd", LaunchOptions{SocketDir: sockets})
	play[volume.Driver](t, "odd", LaunchOptions{SocketDir: sockets})
	require.NoDirExists(t, left[0], "what it left is swept away")
	_, err = used.Get(t.Context(), "v")
	require.NoError(t, err, "what is in use is not")
	now, err := filepath.Glob(filepath.Join(sockets, "nephos-*"))
	require.NoError(t, err)
	require.Len(t, now, 2)
}

// Where the kernel does not end a plugin with its host, the pipe does.
func TestAPluginEndsWithItsStandardInput(t *testing.T) {
	t.Parallel()
	for _, held := range []bool{true, false} {
		cmd := exec.Command(self(t), "play=odd")
		cmd.Env = []string{
			prompt[0],
			handshake.MagicCookieKey + "=" + handshake.MagicCookieValue, "PLUGIN_PROTOCOL_VERSIONS=1", "PLUGIN_UNIX_SOCKET_DIR=" + os.TempDir(),
		}
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		if held { // it serves until its host is gone
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(line, "1|1|unix|"), line)
		}
		require.NoError(t, stdin.Close())
		_ = cmd.Wait() // hangs if it does not end
	}
}

func TestDeadlinesAndCancellationTravel(t *testing.T) {
	d := play[volume.Driver](t, "odd", LaunchOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	v, err := d.Get(ctx, "v")
	require.NoError(t, err)
	require.InDelta(t, time.Hour.Seconds(), v.SizeGiB, 60)

	for _, id := range []string{"hang", "stubborn"} {
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		_, err = d.Get(ctx, id)
		require.ErrorIs(t, err, context.Canceled, id)
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Millisecond)
		_, err = d.Get(ctx, id)
		require.ErrorIs(t, err, context.DeadlineExceeded, id)
		cancel()
	}
}

func TestAMessageThatIsTooLarge(t *testing.T) {
	d := play[volume.Driver](t, "odd", LaunchOptions{})
	_, err := d.Get(t.Context(), "huge")
	require.ErrorContains(t, err, "the message is too large")
	require.False(t, errors.Is(err, nephos.ErrNoCapacity), "that is not the pool's size")
	_, err = d.Get(t.Context(), "v")
	require.NoError(t, err)
}

func TestAPluginWithLimits(t *testing.T) {
	d := play[volume.Driver](t, "odd", LaunchOptions{Limits: Limits{Files: 512, Memory: 2 << 30}})
	p, _ := Of(d)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.PID()))
	require.NoError(t, err)
	require.Regexp(t, `Max open files +512 +512`, string(limits))
	require.Regexp(t, `Max data size +2147483648 +2147483648`, string(limits))
	require.Regexp(t, `Max core file size +0 +0`, string(limits))

	_, err = Launch[volume.Driver](t.Context(), self(t), LaunchOptions{Limits: Limits{CPUs: 1, Cgroup: "/proc"}})
	require.ErrorContains(t, err, "name a folder of cgroup2 that is delegated")
	_, err = Launch[volume.Driver](t.Context(), self(t), LaunchOptions{Limits: Limits{CPUs: 1}})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.ErrorContains(t, err, "takes a control group")
}

func TestAPluginOfAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("running a plugin as another user needs root")
	}
	dir, err := os.MkdirTemp("", "nephos-user") // which that user can reach
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o755))
	d := play[volume.Driver](t, "volume", LaunchOptions{
		SHA256: checksum(t, self(t)), // the copy in memory can be reached by anybody
		Dir:    filepath.Join(dir, "pool"), User: &User{UID: 65534, GID: 65534},
	})
	p, _ := Of(d)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	require.NoError(t, err)
	require.Contains(t, string(status), "Uid:\t65534\t65534\t65534\t65534")
	require.Contains(t, string(status), "Gid:\t65534\t65534\t65534\t65534")

	require.NoError(t, d.Create(t.Context(), "v", volume.Spec{SizeGiB: 1}))
	r, err := d.(volume.ImageReader).Read(t.Context(), "v")
	require.NoError(t, err, "streams have sockets that the user can reach")
	require.NoError(t, r.Close())
	_, err = d.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a"})
	require.NoError(t, err)
}
