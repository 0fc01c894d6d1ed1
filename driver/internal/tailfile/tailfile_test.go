package tailfile_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/internal/tailfile"
)

func TestBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	old := path + ".old"
	last, err := tailfile.Last(path, 10)
	require.NoError(t, err, "a log that is not there is empty")
	require.Empty(t, last)
	require.ErrorIs(t, tailfile.Bound(path, old, 8, 4), os.ErrNotExist)

	writer, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(t, err)
	defer writer.Close()
	_, err = writer.WriteString("12345678")
	require.NoError(t, err)
	require.NoError(t, tailfile.Bound(path, old, 8, 4))
	require.NoFileExists(t, old, "it is not too large")
	_, err = writer.WriteString("9")
	require.NoError(t, err)
	require.NoError(t, tailfile.Bound(path, old, 8, 4))
	_, err = writer.WriteString("ab")
	require.NoError(t, err)
	for name, want := range map[string]string{old: "6789", path: "ab"} {
		last, err = tailfile.Last(name, 100)
		require.NoError(t, err)
		require.Equal(t, want, string(last))
	}
	last, err = tailfile.Last(path, 1)
	require.NoError(t, err)
	require.Equal(t, "b", string(last))
}
