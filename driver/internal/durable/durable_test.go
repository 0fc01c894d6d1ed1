package durable

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestCommitAndAbort(t *testing.T) {
	tmp, dir := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "a")
	require.NoError(t, WriteFile(tmp, path, []byte("one"), 0o600))
	require.NoError(t, WriteFile(tmp, path, []byte("two"), 0o600))

	f, err := Create(tmp, 0o600)
	require.NoError(t, err)
	require.Len(t, names(t, tmp), 1)
	f.Abort()
	f.Abort()

	f, err = Create(tmp, 0o600)
	require.NoError(t, err)
	require.Error(t, f.Commit(filepath.Join(dir, "none", "a")))

	require.Empty(t, names(t, tmp))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "two", string(got))
	require.NoError(t, Remove(path))
	require.NoError(t, Remove(path))
	require.Empty(t, names(t, dir))
}

func TestCleanSparesTheLiving(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("temporary files are locked on Linux only")
	}
	tmp := t.TempDir()
	living, err := Create(tmp, 0o600)
	require.NoError(t, err)
	dead, err := Create(tmp, 0o600)
	require.NoError(t, err)
	require.NoError(t, dead.Close())
	n, err := Clean(tmp)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Equal(t, []string{filepath.Base(living.Name())}, names(t, tmp))
	living.Abort()
}

func TestMkdirAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, MkdirAll(dir, 0o700))
	require.NoError(t, MkdirAll(dir, 0o700))
	require.DirExists(t, dir)
	file := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Error(t, MkdirAll(filepath.Join(file, "x"), 0o700))
}
