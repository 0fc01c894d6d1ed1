package s3_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

// TestConformanceOverTheWire is what a plugin's host sees.
func TestConformanceOverTheWire(t *testing.T) {
	if os.Getenv("NEPHOS_E2E") == "" {
		t.Skip("NEPHOS_E2E is not set: the suite runs in process only")
	}
	s := serve(t)
	blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver {
		d, err := plugin.Loop[blob.Driver](t.Context(), open(t, s.config(dir[1:]+"/")), plugin.LoopOptions{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, d.Close()) })
		return d
	}, blobtest.Options{})
}
