package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASchedulerOfAFile(t *testing.T) {
	s, err := openScheduler("")
	require.NoError(t, err)
	require.Nil(t, s)
	file := filepath.Join(t.TempDir(), "scheduler.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"filters": [{"name": "Idle", "cel": "host.num_io_ops < 3"}]}`), 0o600))
	s, err = openScheduler(file)
	require.NoError(t, err)
	require.NotNil(t, s)
	require.NoError(t, os.WriteFile(file, []byte(`{"filters": ["NoSuchFilter"]}`), 0o600))
	_, err = openScheduler(file)
	require.ErrorContains(t, err, "NoSuchFilter")
	_, err = openScheduler("/nowhere")
	require.ErrorContains(t, err, "-scheduler")
}
