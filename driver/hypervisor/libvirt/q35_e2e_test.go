//go:build libvirt

package libvirt_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// A machine of type q35 takes about as many disks while it is on as one of type
// pc, and says when it is full.
func TestPlugsIntoQ35(t *testing.T) {
	b := newBench(t, "one")
	spec := b.spec()
	spec.Machine = "q35"
	b.run("g", spec)
	b.awaitBoot("g")
	full := func(i int) bool {
		id := fmt.Sprintf("more%d", i)
		path := filepath.Join(b.dir, id)
		require.NoError(t, os.WriteFile(path, make([]byte, 1<<20), 0o644))
		spec.Disks = append(spec.Disks, driver.Disk{ID: id, Source: driver.Connection{Type: "file", Path: path}, Format: "raw", BootIndex: -1})
		err := b.d.Ensure(t.Context(), "g", spec)
		if i >= 20 && err != nil {
			require.ErrorIs(t, err, nephos.ErrNoCapacity)
			require.NotErrorIs(t, err, nephos.ErrUnavailable, "to try again is no use")
			return true
		}
		require.NoError(t, err, id)
		return false
	}
	n := 0
	for ; !full(n); n++ {
		require.Less(t, n, 30)
	}
	// With what fitted it starts again.
	spec.Disks = spec.Disks[:len(spec.Disks)-1]
	require.NoError(t, b.d.Ensure(t.Context(), "g", spec))
	require.NoError(t, b.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
	require.NoError(t, b.d.Start(t.Context(), "g"))
	b.awaitBoot("g")
}
