package process

import (
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

// folder makes a folder with files as the kernel makes in a control group's.
func folder(t *testing.T, controllers, handed string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte(controllers+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(handed), 0o600))
	return dir
}

// What the kernel does with the settings is tested in package plugin, where
// there is one that keeps them.
func TestControllersAreHandedOn(t *testing.T) {
	all := Limits{Memory: 1 << 20, Processes: 30, CPUs: 0.5}.settings()
	dir := folder(t, "cpuset cpu memory pids", "memory\n")
	require.NoError(t, handOn(dir, Limits{Memory: 1}.settings()))
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	require.NoError(t, err)
	require.Equal(t, "memory\n", string(text), "that was there")
	require.NoError(t, handOn(dir, Limits{CPUs: 1}.settings()))
	text, err = os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	require.NoError(t, err)
	require.Contains(t, string(text), "+cpu")

	err = handOn(folder(t, "memory cpu", ""), all)
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.ErrorContains(t, err, `it has not the controller pids, but ["memory" "cpu"]`)
	require.ErrorContains(t, handOn(t.TempDir(), all), "name a folder of cgroup2")
}

func TestAGroupThatCannotBeMadeLeavesNothing(t *testing.T) {
	dir := folder(t, "memory", "memory")
	_, err := newCgroup(Limits{Memory: 1 << 20, Cgroup: dir}, "driver", &syscall.SysProcAttr{})
	require.ErrorContains(t, err, "setting memory.max to 1048576", "there are no such files here")
	left, err := filepath.Glob(filepath.Join(dir, "driver-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestGroupsThatAreInUseAreNotSwept(t *testing.T) {
	dir := folder(t, "", "")
	first, err := newCgroup(Limits{Cgroup: dir}, "driver", &syscall.SysProcAttr{})
	require.NoError(t, err)
	old := filepath.Join(dir, "driver-old")
	require.NoError(t, os.Mkdir(old, 0o700))
	second, err := newCgroup(Limits{Cgroup: dir}, "driver", &syscall.SysProcAttr{})
	require.NoError(t, err)
	require.DirExists(t, first.path, "its process is about to be born")
	require.NoDirExists(t, old)
	for _, g := range []*cgroup{first, second} {
		path := g.path
		g.remove()
		g.remove()
		require.NoDirExists(t, path)
	}
}

func TestLimitsThatCannotBeKept(t *testing.T) {
	for _, cpus := range []float64{-1, 0.001, math.NaN(), math.Inf(1)} {
		require.ErrorIs(t, Limits{CPUs: cpus, Cgroup: "/x"}.check(), nephos.ErrInvalid, "%v", cpus)
	}
	require.ErrorContains(t, Limits{CPUs: 0.5}.check(), "takes a control group")
	require.NoError(t, Limits{CPUs: 0.01, Cgroup: "/x"}.check())
	require.NoError(t, Limits{Memory: 1}.check())
}
