package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

// partsHost is a host with two cells of eight dedicated CPUs each, two to a core,
// and four devices.
func partsHost(id string) scheduler.Host {
	h := testHost(id, 4, 65536)
	for c := range 2 {
		cell := scheduler.NUMACell{ID: c, PCPUs: 8, MemoryMB: 32768, Cores: map[int]int{}}
		for i := range 8 {
			cpu := 4 + 8*c + i
			cell.Dedicated = append(cell.Dedicated, cpu)
			cell.Cores[cpu] = cpu / 2
		}
		h.NUMA = append(h.NUMA, cell)
	}
	pool := scheduler.PCIPool{VendorID: "10de", ProductID: "1eb8", Count: 4}
	for i := range 4 {
		pool.Addresses = append(pool.Addresses, fmt.Sprintf("0000:8%d:00.0", i))
	}
	h.PCI = []scheduler.PCIPool{pool}
	h.Inventory[scheduler.PCPU] = scheduler.Inventory{Total: 16}
	h.Traits = []string{"HW_CPU_HYPERTHREADING"}
	return h
}

func newPartsStore(t *testing.T, db *store.DB, c nephos.Clock) *sqlstore.Store {
	gpu := scheduler.PCIAlias{Name: "gpu", Specs: []scheduler.PCISpec{{VendorID: "10de"}}, NUMA: "preferred"}
	sched, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{scheduler.PciPassthroughFilter{Aliases: []scheduler.PCIAlias{gpu}}}})
	require.NoError(t, err)
	s, err := sqlstore.New(sqlstore.Config{Store: db, Clock: c, Scheduler: sched})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func partsRequest(id string, vcpus int64, specs map[string]string) scheduler.Request {
	r := scheduler.Resources{scheduler.VCPU: vcpus, scheduler.MemoryMB: 512}
	if err := r.Pin(specs, nil, vcpus, 512); err != nil {
		panic(err)
	}
	return scheduler.Request{ID: id, Resources: r, VCPUs: vcpus, MemoryMB: 512, ExtraSpecs: specs}
}

// distinct asks the database that no part is given twice, and that what consumers
// are told is what is kept for them. It returns how many parts are given.
func distinct(t *testing.T, s *sqlstore.Store, db *store.DB, hosts ...string) int {
	t.Helper()
	total := 0
	for _, host := range hosts {
		claims, err := s.Claims(t.Context(), host)
		require.NoError(t, err)
		owner := map[string]string{}
		for _, c := range claims {
			a, err := s.Assignment(t.Context(), c.Consumer.ID)
			if errors.Is(err, nephos.ErrNotFound) {
				continue
			}
			require.NoError(t, err)
			for _, p := range a.Parts() {
				require.Empty(t, owner[p], "%s of %s is %s's too", p, host, c.Consumer.ID)
				owner[p] = c.Consumer.ID
			}
		}
		var rows []struct{ Part, ConsumerUUID string }
		require.NoError(t, db.Reader().NewRaw("SELECT part, consumer_uuid FROM placement_parts WHERE provider_uuid = ?", sqlstore.ProviderID(host)).Scan(t.Context(), &rows))
		kept := map[string]string{}
		for _, r := range rows {
			kept[r.Part] = r.ConsumerUUID
		}
		require.Equal(t, kept, owner)
		total += len(kept)
	}
	return total
}

func TestPartsAreGivenWithTheClaimAndGoWithIt(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		ctx := t.Context()
		s := newPartsStore(t, db, c)
		require.NoError(t, s.PutHost(ctx, partsHost("h0")))
		specs := map[string]string{"hw:cpu_policy": "dedicated", "pci_passthrough:alias": "gpu:1", "hw:cpu_thread_policy": "require"}
		boot := func(id string, vcpus int64, specs map[string]string) error {
			_, err := s.Schedule(ctx, partsRequest(id, vcpus, specs), sqlstore.Options{Consumer: sqlstore.Consumer{ID: id, ProjectID: "p", UserID: "u"}}, nil)
			return err
		}
		require.NoError(t, boot("a", 4, specs))
		want := scheduler.Assignment{
			Cells: []scheduler.AssignedCell{{Host: 0, MemoryMB: 512, CPUs: []scheduler.AssignedCPU{
				{Guest: 0, Host: []int{4}, Own: true}, {Guest: 1, Host: []int{5}, Own: true}, {Guest: 2, Host: []int{6}, Own: true}, {Guest: 3, Host: []int{7}, Own: true},
			}}},
			Threads: 2, PCI: []string{"0000:80:00.0"},
		}
		got, err := s.Assignment(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NoError(t, boot("a", 4, specs), "the claim that there is")
		require.Equal(t, 5, distinct(t, s, db, "h0"))

		s.Close()
		s = newPartsStore(t, db, c)
		got, err = s.Assignment(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, want, got, "after a restart")

		// A commit that fails leaves nothing, and a migration keeps all.
		_, err = s.Schedule(ctx, partsRequest("b", 2, specs), sqlstore.Options{Consumer: sqlstore.Consumer{ID: "b"}},
			func(context.Context, *store.Tx, scheduler.HostRef) error { return errors.New("no") })
		require.ErrorContains(t, err, "no")
		require.Equal(t, 5, distinct(t, s, db, "h0"))
		require.NoError(t, db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			return s.Transfer(ctx, tx, "a", sqlstore.Consumer{ID: "migration", Type: "MIGRATION"})
		}))
		got, err = s.Assignment(ctx, "migration")
		require.NoError(t, err)
		require.Equal(t, want, got)
		_, err = s.Assignment(ctx, "a")
		require.ErrorIs(t, err, nephos.ErrNotFound)
		for range 2 {
			require.NoError(t, db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.Release(ctx, tx, "migration") }))
			require.Zero(t, distinct(t, s, db, "h0"))
		}
		_, err = s.Assignment(ctx, "migration")
		require.ErrorIs(t, err, nephos.ErrNotFound)

		// A server that asks for nothing of its host is given nothing.
		require.NoError(t, boot("plain", 1, nil))
		_, err = s.Assignment(ctx, "plain")
		require.ErrorIs(t, err, nephos.ErrNotFound)

		// By the amounts there is room, but only for CPUs that are alone on their core.
		h := partsHost("h0")
		h.NUMA[0].Cores, h.NUMA[1].Cores = nil, nil
		require.NoError(t, s.PutHost(ctx, h))
		err = boot("alone", 2, map[string]string{"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "require"})
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		require.ErrorContains(t, err, "1 have no CPUs or devices left that go together")
		require.Zero(t, distinct(t, s, db, "h0"))
		left, err := s.Host(ctx, "h0")
		require.NoError(t, err)
		require.Zero(t, left.Used[scheduler.PCPU])
	})
}

// Many decide at once, here and in another process, come and go, together and each
// for itself: never do two have the same CPU or device, and none is lost.
func TestPartsUnderContention(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		ctx := t.Context()
		stores := []*sqlstore.Store{newPartsStore(t, db, c)}
		if db.Postgres() {
			stores = append(stores, newPartsStore(t, db, c))
		}
		for i := range 2 {
			require.NoError(t, stores[0].PutHost(ctx, partsHost(fmt.Sprint("h", i))))
		}
		specs := map[string]string{"hw:cpu_policy": "dedicated", "pci_passthrough:alias": "gpu:1"}
		var wg sync.WaitGroup
		boots := func(id string, s *sqlstore.Store) error {
			_, err := s.Schedule(ctx, partsRequest(id, 2, specs), sqlstore.Options{Consumer: sqlstore.Consumer{ID: id, ProjectID: "p", UserID: "u"}}, nil)
			return err
		}
		refused := func(err error) bool {
			return errors.Is(err, nephos.ErrNoCapacity) || errors.Is(err, nephos.ErrUnavailable)
		}
		for w := range 6 {
			wg.Go(func() {
				s := stores[w%len(stores)]
				for round := range 4 {
					id := fmt.Sprintf("s%d.%d", w, round)
					if err := boots(id, s); err != nil {
						if !refused(err) {
							t.Errorf("boot %s: %v", id, err)
						}
						continue
					}
					if round%2 == 0 {
						if err := db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.Release(ctx, tx, id) }); err != nil {
							t.Errorf("release %s: %v", id, err)
						}
					}
				}
			})
		}
		wg.Go(func() {
			_, err := stores[0].ScheduleTogether(ctx, partsRequest("", 2, specs), gangOf("g", 3), sqlstore.Options{}, nil)
			if err != nil && !refused(err) {
				t.Errorf("boot three together: %v", err)
			}
		})
		wg.Wait()
		parts := distinct(t, stores[0], db, "h0", "h1")
		require.Positive(t, parts)
		// What is left is given to the last device, and no further.
		for i := parts / 3; i < 8; i++ {
			require.NoError(t, boots(fmt.Sprint("late", i), stores[0]))
		}
		require.Equal(t, 8*3, distinct(t, stores[0], db, "h0", "h1"))
		require.ErrorIs(t, boots("too late", stores[0]), nephos.ErrNoCapacity)
	})
}
