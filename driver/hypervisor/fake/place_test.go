package fake_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

// Two guests that are on never have one dedicated processor, and a guest keeps what
// its host does not tell of any more.
func TestGuestsKeepTheirPlace(t *testing.T) {
	ctx, state := t.Context(), fake.NewState()
	host := hypervisor.Host{
		NUMA: []driver.NUMACell{{ID: 0, CPUs: []int{0}, Dedicated: []int{1, 2}, MemoryMiB: 4096}},
		PCI:  []driver.PCIDevice{{Address: "0000:81:00.0", VendorID: "10de", ProductID: "1eb8"}},
	}
	open := func(h hypervisor.Host) *fake.Driver {
		d, err := fake.Open(fake.Config{State: state, Host: h})
		require.NoError(t, err)
		return d
	}
	d := open(host)
	spec := hypervisor.Spec{
		VCPUs: 1, MemoryMiB: 64, PCI: []string{"0000:81:00.0"},
		NUMA: []hypervisor.Cell{{MemoryMiB: 64, Pins: []hypervisor.Pin{{CPUs: []int{1}}}}},
	}
	require.NoError(t, d.Ensure(ctx, "a", spec))
	require.NoError(t, d.Start(ctx, "a"))
	twin := spec
	twin.PCI = nil
	require.NoError(t, d.Ensure(ctx, "b", twin))
	require.ErrorIs(t, d.Start(ctx, "b"), nephos.ErrConflict)
	require.NoError(t, d.Destroy(ctx, "b"))

	d = open(hypervisor.Host{})
	spec.Revision++
	require.NoError(t, d.Ensure(ctx, "a", spec))
	require.NoError(t, d.Stop(ctx, "a", hypervisor.StopOptions{}))
	require.NoError(t, d.Start(ctx, "a"))
	list, err := d.Devices(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, spec.PCI, list)
	require.ErrorIs(t, d.Ensure(ctx, "b", twin), nephos.ErrInvalid, "nobody else gets it")
}
