package fake_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
)

func TestSuite(t *testing.T) {
	defer goleak.VerifyNone(t)
	state, wires, peer := fake.NewState(), fake.NewWires(), fake.NewState()
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := fake.Open(fake.Config{CloudID: "cloud", Name: "host1", State: state, Wires: wires, Host: hypervisor.Host{
			NUMA: []driver.NUMACell{
				{ID: 0, CPUs: []int{0, 1}, Dedicated: []int{2, 3}, MemoryMiB: 4096},
				{ID: 3, CPUs: []int{4, 5}, MemoryMiB: 4096, Pages: map[int64]int64{2048: 64}},
			},
			PCI: []driver.PCIDevice{{Address: "0000:81:00.0", VendorID: "10de", ProductID: "1eb8"}},
		}})
		require.NoError(t, err)
		return d
	}, hypervisortest.Options{
		CloudID: "cloud", BootText: "nephos-guest: ready", Alive: true, Guests: 100, GuestAgent: true,
		Peer: func(t drivertest.T) hypervisor.Driver {
			d, err := fake.Open(fake.Config{CloudID: "cloud", Name: "host2", State: peer, Wires: wires})
			require.NoError(t, err)
			return d
		},
		NIC: func(_ drivertest.T, n int) driver.NIC {
			return driver.NIC{ID: "port", MAC: "02:00:00:00:00:01", Device: "tap0"}
		},
		PowerOff: func(t drivertest.T, id string) { require.NoError(t, state.PowerOff(id)) },
		Crash:    func(t drivertest.T, id string) { require.NoError(t, state.Crash(id)) },
	})
}
