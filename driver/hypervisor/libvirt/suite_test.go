//go:build libvirt

package libvirt_test

import (
	"errors"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

// TestImaginedHost runs the suite on libvirt's test driver, which keeps its
// guests in this process: on a connection of our own, so that they outlive the
// driver.
func TestImaginedHost(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed (Debian: qemu-utils)")
	}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	held, err := virt.NewConnect("test:///default")
	require.NoError(t, err)
	defer held.Close()
	dir := t.TempDir()
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := libvirt.Open(t.Context(), libvirt.Config{CloudID: "test", URI: "test:///default", Dir: dir})
		require.NoError(t, err)
		return d
	}, hypervisortest.Options{CloudID: "test", Guests: 4})
	_, err = libvirt.Open(t.Context(), libvirt.Config{CloudID: "test", URI: "test:///default", Dir: dir, Dedicated: []int{0}})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	d, err := libvirt.Open(t.Context(), libvirt.Config{CloudID: "test", URI: "test:///default", Dir: dir})
	require.NoError(t, err)
	host, err := d.Info(t.Context())
	require.NoError(t, err)
	require.NoError(t, host.Validate())
	require.Len(t, host.NUMA, 2, "as libvirt imagines it")
	require.NoError(t, d.Close())
	doms, err := held.ListAllDomains(0)
	require.NoError(t, err)
	for i := range doms {
		name, err := doms[i].GetName()
		require.NoError(t, err)
		require.Equal(t, "test", name, "only the driver's own guest is left")
		require.NoError(t, doms[i].Free())
	}
}

// TestImaginedHostOverTheWire runs the same through the plugin's protocol.
func TestImaginedHostOverTheWire(t *testing.T) {
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Skip("qemu-img is not installed (Debian: qemu-utils)")
	}
	held, err := virt.NewConnect("test:///default")
	require.NoError(t, err)
	defer held.Close()
	dir := t.TempDir()
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := libvirt.Open(t.Context(), libvirt.Config{CloudID: "test", URI: "test:///default", Dir: dir})
		require.NoError(t, err)
		over, err := plugin.Loop[hypervisor.Driver](t.Context(), d, plugin.LoopOptions{})
		require.NoError(t, err)
		return over
	}, hypervisortest.Options{CloudID: "test", Guests: 4})
}
