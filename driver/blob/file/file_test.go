package file_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/blob/file"
	"github.com/nephos-cloud/nephos/driver/drivertest"
)

func open(t drivertest.T, dir string) *file.Driver {
	t.Helper()
	d, err := file.Open(file.Config{Dir: dir})
	require.NoError(t, err)
	return d
}

func TestConformance(t *testing.T) {
	blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver { return open(t, dir) }, blobtest.Options{})
}

func TestNoDirectory(t *testing.T) {
	_, err := file.Open(file.Config{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestGetIsAFile(t *testing.T) {
	d := open(t, t.TempDir())
	_, err := d.Put(t.Context(), "o", bytes.NewReader([]byte("0123456789")), 10)
	require.NoError(t, err)
	r, err := d.Get(t.Context(), "o", 3, 4)
	require.NoError(t, err)
	defer r.Close()
	f, ok := r.(*blob.File)
	require.True(t, ok)
	require.EqualValues(t, 4, f.Len())
	at, err := f.OSFile().Seek(0, io.SeekCurrent)
	require.NoError(t, err)
	require.EqualValues(t, 3, at)
}

func TestOpenCleansUpAndSparesStrangers(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	left := filepath.Join(dir, "tmp", "LEFTBYADEADPROCESS")
	require.NoError(t, os.WriteFile(left, []byte("half"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "objects", "lost+found"), 0o700))
	d := open(t, dir)
	require.NoFileExists(t, left)
	require.NoError(t, d.List(t.Context(), func(o blob.Object) bool { t.Errorf("listed %v", o); return true }))
}

func TestHintFarTooLarge(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	for _, hint := range []int64{1<<63 - 1, 64 << 20} {
		n, err := d.Put(t.Context(), "o", bytes.NewReader([]byte("x")), hint)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	}
	info, err := os.Stat(filepath.Join(dir, "objects", "o"))
	require.NoError(t, err)
	require.EqualValues(t, 1, info.Size())
}
