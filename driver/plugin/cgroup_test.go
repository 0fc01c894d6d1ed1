package plugin

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// cgroupEnv names a folder of cgroup2 that has no processes, and whose
// controllers memory, pids and cpu are delegated to the tests.
const cgroupEnv = "NEPHOS_CGROUP"

// TestControlGroup needs a kernel that keeps the limits.
// TestControlGroupInAGuest brings one along.
func TestControlGroup(t *testing.T) {
	parent := os.Getenv(cgroupEnv)
	if parent == "" {
		t.Skip(cgroupEnv + " names no folder of cgroup2 that is delegated; NEPHOS_E2E=1 runs the test in a guest that has one")
	}
	t.Run("Limits", func(t *testing.T) { testGroupLimits(t, parent) })
	t.Run("Memory", func(t *testing.T) { testGroupMemory(t, parent) })
	t.Run("Leftovers", func(t *testing.T) { testGroupLeftovers(t, parent) })
	t.Run("NotDelegated", func(t *testing.T) { testGroupNotDelegated(t, parent) })
}

const groupMemory = 192 << 20

// limited launches the driver odd in a group below parent. Time is generous: the
// processor may be an emulated one.
func limited(t *testing.T, parent string, o LaunchOptions) (volume.Driver, *Plugin) {
	t.Helper()
	o.Limits.Cgroup, o.StartTimeout, o.HealthTimeout = parent, time.Minute, time.Minute
	d := play[volume.Driver](t, "odd", o)
	p, _ := Of(d)
	return d, p
}

// groupOf is the folder of the control group that a process is in.
func groupOf(t *testing.T, parent string, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return filepath.Join(parent, filepath.Base(strings.TrimSpace(path)))
		}
	}
	require.Fail(t, "no control group", "process %d: %s", pid, text)
	return ""
}

// groups are the folders of groups that there are.
func groups(t *testing.T, parent string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(parent, "*", "cgroup.procs"))
	require.NoError(t, err)
	return all
}

func content(t *testing.T, dir, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, file))
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// field is a line of one of the kernel's tables, such as oom_kill 1.
func field(t *testing.T, dir, file, name string) string {
	t.Helper()
	for line := range strings.Lines(content(t, dir, file)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	require.Fail(t, "no such field", "%s in %s", name, file)
	return ""
}

func testGroupLimits(t *testing.T, parent string) {
	for name, user := range map[string]*User{"Root": nil, "Nobody": {UID: 65534, GID: 65534}} {
		t.Run(name, func(t *testing.T) {
			o := LaunchOptions{User: user, Limits: Limits{Memory: groupMemory, Processes: 64, CPUs: 0.8, Files: 512}}
			if user != nil {
				o.SHA256 = checksum(t, self(t)) // the copy in memory can be reached by anybody
			}
			d, p := limited(t, parent, o)
			group := groupOf(t, parent, p.PID())
			require.Equal(t, fmt.Sprint(groupMemory), content(t, group, "memory.max"))
			require.Equal(t, "64", content(t, group, "pids.max"))
			require.Equal(t, "80000 100000", content(t, group, "cpu.max"))
			if _, err := os.Stat(filepath.Join(group, "memory.swap.max")); err == nil {
				require.Equal(t, "0", content(t, group, "memory.swap.max"))
			}
			limits := content(t, fmt.Sprintf("/proc/%d", p.PID()), "limits")
			require.Regexp(t, `Max open files +512 +512`, limits)
			require.Regexp(t, `Max data size +unlimited +unlimited`, limits, "the group counts, not the addresses")
			_, err := d.Get(t.Context(), "v")
			require.NoError(t, err)
			if user == nil { // once is enough
				hitsProcesses(t, d, p, group)
				hitsCPUs(t, d, group)
			}
			require.NoError(t, d.Close())
			require.Empty(t, groups(t, parent), "its group ends with it")
		})
	}
}

// testGroupMemory: a plugin that eats memory is killed by the kernel, alone, and
// started again.
func testGroupMemory(t *testing.T, parent string) {
	changes := make(chan Change, 10)
	d, p := limited(t, parent, LaunchOptions{Limits: Limits{Memory: groupMemory}, Observe: func(c Change) { changes <- c }})
	_, n := limited(t, parent, LaunchOptions{Limits: Limits{Memory: groupMemory}})
	require.True(t, (<-changes).Running)
	before := p.PID()
	_, err := d.Get(t.Context(), "memory")
	require.ErrorIs(t, err, nephos.ErrUnavailable)
	end := <-changes
	require.Equal(t, before, end.PID)
	require.ErrorContains(t, end.Err, "signal: killed: it wanted more than the 201326592 bytes of memory that its limits allow")
	require.True(t, (<-changes).Running)
	_, err = d.Get(t.Context(), "v")
	require.NoError(t, err)
	require.NotEqual(t, before, p.PID())
	require.Equal(t, fmt.Sprint(groupMemory), content(t, groupOf(t, parent, p.PID()), "memory.max"), "so is the next")
	require.Equal(t, 1, n.Starts(), "its neighbour lives on")
	require.Len(t, groups(t, parent), 2, "the group of the first is gone")
	require.Equal(t, "0", field(t, groupOf(t, parent, n.PID()), "memory.events", "oom_kill"))
}

// hitsProcesses has a plugin want more processes than it may have.
func hitsProcesses(t *testing.T, d volume.Driver, p *Plugin, group string) {
	v, err := d.Get(t.Context(), "processes")
	require.NoError(t, err)
	require.Len(t, v.Snapshots, 2)
	require.Contains(t, v.Snapshots[1], "fork", "it could not have as many as it wanted")
	require.Greater(t, v.SizeGiB, 5)
	require.Less(t, v.SizeGiB, 64)
	require.NotEqual(t, "0", field(t, group, "pids.events", "max"))
	require.Equal(t, 1, p.Starts(), "it lives")
	require.NoError(t, exec.Command("true").Run(), "and we have processes as before")
}

// hitsCPUs has a plugin want more of the processors than it may have.
func hitsCPUs(t *testing.T, d volume.Driver, group string) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	before := field(t, group, "cpu.stat", "nr_throttled")
	go func() {
		_, err := d.Get(ctx, "cpu")
		done <- err
	}()
	require.Eventually(t, func() bool { return field(t, group, "cpu.stat", "nr_throttled") != before }, time.Minute, 10*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// testGroupLeftovers: groups that former processes left go, once they are empty.
func testGroupLeftovers(t *testing.T, parent string) {
	name := filepath.Base(self(t))
	empty, busy, other := filepath.Join(parent, name+"-1"), filepath.Join(parent, name+"-2"), filepath.Join(parent, "other-1")
	for _, dir := range []string{empty, busy, other} {
		require.NoError(t, os.Mkdir(dir, 0o755))
		t.Cleanup(func() { _ = os.Remove(dir) })
	}
	guest := exec.Command("sleep", "1000")
	require.NoError(t, guest.Start())
	t.Cleanup(func() {
		_ = guest.Process.Kill()
		_ = guest.Wait()
	})
	require.NoError(t, os.WriteFile(filepath.Join(busy, "cgroup.procs"), fmt.Append(nil, guest.Process.Pid), 0o600))
	d, _ := limited(t, parent, LaunchOptions{})
	require.NoDirExists(t, empty)
	require.DirExists(t, busy)
	require.DirExists(t, other)
	require.Len(t, groups(t, parent), 3)
	_, err := d.Get(t.Context(), "v")
	require.NoError(t, err)
}

func testGroupNotDelegated(t *testing.T, parent string) {
	none := filepath.Join(parent, "none")
	deep := filepath.Join(none, "deep")
	require.NoError(t, os.MkdirAll(deep, 0o755))
	t.Cleanup(func() {
		_ = os.Remove(deep)
		_ = os.Remove(none)
	})
	refused := func(cgroup, text string) {
		t.Helper()
		_, err := Launch[volume.Driver](t.Context(), self(t), LaunchOptions{Args: []string{"play=odd"}, Limits: Limits{Memory: 1 << 30, Cgroup: cgroup}})
		require.ErrorContains(t, err, text)
		left, err := filepath.Glob(filepath.Join(cgroup, filepath.Base(self(t))+"-*"))
		require.NoError(t, err)
		require.Empty(t, left)
	}
	refused(deep, "it has not the controller memory")
	require.NoError(t, os.Remove(deep))
	guest := exec.Command("sleep", "1000")
	require.NoError(t, guest.Start())
	require.NoError(t, os.WriteFile(filepath.Join(none, "cgroup.procs"), fmt.Append(nil, guest.Process.Pid), 0o600))
	refused(none, "processes are in it")
	require.NoError(t, guest.Process.Kill())
	_ = guest.Wait()
}

// greedy is what the driver odd does in the limits' tests.
func greedy(ctx context.Context, what string) (volume.Volume, error) {
	v := volume.Volume{ID: what, Format: "raw"}
	switch what {
	case "memory":
		var all [][]byte
		for ctx.Err() == nil {
			b := make([]byte, 8<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
		}
		runtime.KeepAlive(all)
	case "cpu":
		for ctx.Err() == nil {
		}
	case "processes":
		// The Go runtime ends a program that gets no thread when it wants one, so it
		// has some in store.
		var ready, end sync.WaitGroup
		ready.Add(16)
		for range 16 {
			end.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				ready.Done()
				ready.Wait()
			})
		}
		end.Wait()
		cmd := exec.Command("/bin/sh", "-c", `n=0; while [ $n -lt 200 ]; do sleep 1000 >/dev/null 2>&1 & n=$((n+1)); echo $n; done`)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		out, err := cmd.CombinedOutput()
		if cmd.Process != nil {
			for ctx.Err() == nil && syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) == nil { // until all are gone
				runtime.Gosched()
			}
		}
		v.Snapshots = []string{fmt.Sprint(err), string(out)}
		for line := range strings.Lines(string(out)) {
			_, _ = fmt.Sscan(line, &v.SizeGiB)
		}
	}
	return v, ctx.Err()
}
