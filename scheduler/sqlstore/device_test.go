package sqlstore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

// What a server takes of NUMA cells and devices is claimed with all else, and
// given back with it.
func TestCellsAndDevicesAreClaimed(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		ctx := t.Context()
		gpu := []scheduler.PCISpec{{VendorID: "10de"}}
		sched, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{
			scheduler.NUMATopologyFilter{}, scheduler.PciPassthroughFilter{Aliases: []scheduler.PCIAlias{{Name: "gpu", Specs: gpu}}},
		}})
		require.NoError(t, err)
		s, err := sqlstore.New(sqlstore.Config{Store: db, Clock: c, Scheduler: sched})
		require.NoError(t, err)
		t.Cleanup(s.Close)
		for i := range 2 {
			h := testHost(fmt.Sprint("h", i), 16, 16384)
			h.NUMA = []scheduler.NUMACell{{ID: 0, PCPUs: 4, MemoryMB: 8192}, {ID: 1, PCPUs: 4, MemoryMB: 8192}}
			h.PCI = []scheduler.PCIPool{{VendorID: "10de", ProductID: "1eb8", Count: 3}}
			require.NoError(t, s.PutHost(ctx, h))
		}
		boot := func(id string) (scheduler.Decision, error) {
			return s.Schedule(ctx, scheduler.Request{
				ID: id, Resources: small().Add(scheduler.Resources{scheduler.VCPU: 1}),
				ExtraSpecs: map[string]string{"hw:cpu_policy": "dedicated", "pci_passthrough:alias": "gpu:1"},
			}, sqlstore.Options{Consumer: sqlstore.Consumer{ID: id, ProjectID: "p", UserID: "u"}}, nil)
		}
		for i := range 6 {
			_, err := boot(fmt.Sprint("s", i))
			require.NoError(t, err)
		}
		_, err = boot("late")
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		require.ErrorContains(t, err, "2 lack PCI devices")
		for i := range 2 {
			h, err := s.Host(ctx, fmt.Sprint("h", i))
			require.NoError(t, err)
			require.Equal(t, int64(3), h.Used["CUSTOM_PCI_10DE_1EB8"])
			require.Equal(t, int64(6), h.Used["CUSTOM_NUMA0_PCPU"]+h.Used["CUSTOM_NUMA1_PCPU"])
		}
		require.NoError(t, db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.Release(ctx, tx, "s3") }))
		_, err = boot("late")
		require.NoError(t, err)
	})
}
