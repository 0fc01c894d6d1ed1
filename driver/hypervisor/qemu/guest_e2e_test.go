package qemu_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/hypervisor/qemu"
)

// TestLivingGuest runs the suite with an operating system in the guests, so
// that a request to power off or to let go of a device is answered. The image
// is the one that examples/guest makes.
func TestLivingGuest(t *testing.T) {
	e2e(t)
	image := os.Getenv("NEPHOS_GUEST_IMAGE")
	if image == "" {
		t.Skip("NEPHOS_GUEST_IMAGE names no guest image: the suite runs without an operating system only")
	}
	dir := t.TempDir()
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := qemu.Open(t.Context(), qemu.Config{CloudID: "test", Dir: dir, UID: 65534, GID: 65534, Accel: "tcg"})
		require.NoError(t, err)
		return d
	}, hypervisortest.Options{
		CloudID: "test", Guests: 2, BootText: "nephos-guest: ready", Alive: true,
		Wait: 4 * time.Minute, Grace: 2 * time.Minute,
		Spec: func(_ drivertest.T, s *hypervisor.Spec) {
			s.MemoryMiB = 96
			s.Disks[0].Base = &driver.Image{Path: image, Format: "qcow2", Digest: "1"}
			s.Disks[0].SizeBytes = 256 << 20
		},
	})
}
