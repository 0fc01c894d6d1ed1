//go:build ceph

package rbd

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/internal/cephtest"
)

// TestCeph is all that needs a cluster: one is enough.
func TestCeph(t *testing.T) {
	c := cephtest.Start(t)
	c.Pool(t, "images")
	t.Run("Conformance", func(t *testing.T) {
		blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver {
			sum := sha256.Sum256([]byte(dir))
			return openIn(t, c, hex.EncodeToString(sum[:8]))
		}, blobtest.Options{})
	})
}

func openIn(t drivertest.T, c *cephtest.Cluster, namespace string) *Driver {
	t.Helper()
	d, err := Open(t.Context(), Config{Monitors: []string{c.Monitors}, User: c.User, Key: c.Key, Pool: "images", Namespace: namespace})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}
