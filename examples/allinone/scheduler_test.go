package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASchedulerOfAFile(t *testing.T) {
	s, _, err := openScheduler(t.Context(), "", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, schedulers{}, s)
	file := filepath.Join(t.TempDir(), "scheduler.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"filters": [{"name": "Idle", "cel": "host.num_io_ops < 3"}]}`), 0o600))
	s, _, err = openScheduler(t.Context(), file, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NotNil(t, s.hosts)
	require.Nil(t, s.pools)
	require.NoError(t, os.WriteFile(file, []byte(`{"filters": ["NoSuchFilter"]}`), 0o600))
	_, _, err = openScheduler(t.Context(), file, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "NoSuchFilter")
	require.NoError(t, os.WriteFile(file, []byte(`{"extensions": [{"name": "Acme", "path": "/no/such/program"}]}`), 0o600))
	_, _, err = openScheduler(t.Context(), file, slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "extensions[0]")
	_, _, err = openScheduler(t.Context(), "/nowhere", slog.New(slog.DiscardHandler))
	require.ErrorContains(t, err, "-scheduler")
}
