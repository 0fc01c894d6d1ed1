package filelock_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/filelock"
)

func TestTake(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	lock, err := filelock.Take(path)
	require.NoError(t, err)
	_, err = filelock.Take(path)
	require.ErrorIs(t, err, nephos.ErrConflict)
	require.NoError(t, lock.Close())
	lock, err = filelock.Take(path)
	require.NoError(t, err, "it is free again")
	require.NoError(t, lock.Close())
	_, err = filelock.Take(filepath.Join(path, "below"))
	require.Error(t, err)
	require.NotErrorIs(t, err, nephos.ErrConflict)
	require.NoError(t, os.Remove(path))
}
