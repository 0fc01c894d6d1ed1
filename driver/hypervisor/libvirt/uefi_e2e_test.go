//go:build libvirt

package libvirt_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// A guest with UEFI starts its firmware, which says so on the serial port, and
// leaves no variables behind.
func TestUEFI(t *testing.T) {
	b := newBench(t, "one")
	host, err := b.d.Info(t.Context())
	require.NoError(t, err)
	if !slices.Contains(host.Traits, "COMPUTE_FIRMWARE_UEFI") {
		t.Skip("libvirt finds no UEFI firmware (Debian: ovmf)")
	}
	for _, machine := range []string{"", "q35"} {
		spec := b.spec()
		spec.Firmware, spec.Machine, spec.MemoryMiB = "uefi", machine, 256
		b.run("g", spec)
		require.Eventually(t, func() bool {
			log, err := b.d.ConsoleLog(t.Context(), "g", 1<<16)
			return err == nil && bytes.Contains(log, []byte("BdsDxe"))
		}, 2*time.Minute, 50*time.Millisecond)
		variables, err := filepath.Glob(filepath.Join(b.host.dir, "lib", "qemu", "nvram", "*"))
		require.NoError(t, err)
		require.Len(t, variables, 1)
		require.NoError(t, b.d.Ensure(t.Context(), "g", spec))
		require.NoError(t, b.d.Stop(t.Context(), "g", hypervisor.StopOptions{}))
		require.NoError(t, b.d.Start(t.Context(), "g"))
		require.NoError(t, b.d.Destroy(t.Context(), "g"))
		_, err = os.Stat(variables[0])
		require.ErrorIs(t, err, os.ErrNotExist)
	}
}
