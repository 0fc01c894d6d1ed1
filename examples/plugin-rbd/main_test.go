//go:build ceph

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddresses(t *testing.T) {
	require.Equal(t, []string{"a", "b:1", "[v2:c:2,v1:c:3]", "d"}, addresses("a,b:1 [v2:c:2,v1:c:3],d"))
	require.Empty(t, addresses(""))
}

func TestReadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(path, []byte("AQ==\n"), 0o600))
	key, err := readKey(path, "other")
	require.NoError(t, err)
	require.Equal(t, "AQ==", key)
	key, err = readKey("", "other")
	require.NoError(t, err)
	require.Equal(t, "other", key)
	_, err = readKey(path+"-not-there", "other")
	require.ErrorContains(t, err, "reading the key")
}
