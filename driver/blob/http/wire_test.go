package http_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	bhttp "github.com/nephos-cloud/nephos/driver/blob/http"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

// TestConformanceOverTheWire is what a plugin's host sees.
func TestConformanceOverTheWire(t *testing.T) {
	blobtest.Run(t, func(t drivertest.T, dir string) blob.Driver {
		srv := httptest.NewServer(http.FileServer(http.Dir(dir)))
		t.Cleanup(srv.Close)
		d, err := plugin.Loop[blob.Driver](t.Context(), open(t, bhttp.Config{Base: srv.URL + "/"}), plugin.LoopOptions{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, d.Close()) })
		return d
	}, blobtest.Options{Fill: fill})
}
