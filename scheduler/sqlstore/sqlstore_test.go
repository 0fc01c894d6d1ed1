package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// clock is a time that only the test moves.
type clock = nephos.VirtualClock

func newClock() *clock { return nephos.NewVirtualClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)) }

func each(t *testing.T, f func(t *testing.T, db *store.DB, c *clock)) {
	t.Helper()
	c := newClock()
	storetest.Each(t, c, []store.Migrations{sqlstore.Migrations()}, func(t *testing.T, db *store.DB) { f(t, db, c) })
}

func newStore(t testing.TB, db *store.DB, c nephos.Clock) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(sqlstore.Config{Store: db, Clock: c, Ratios: map[string]float64{}})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func testHost(id string, vcpus, mem int64) scheduler.Host {
	return scheduler.Host{
		ID: id, Zone: "nova", Enabled: true, Up: true,
		Inventory: map[string]scheduler.Inventory{
			scheduler.VCPU: {Total: vcpus}, scheduler.MemoryMB: {Total: mem}, scheduler.DiskGB: {Total: 100_000},
		},
	}
}

func small() scheduler.Resources {
	return scheduler.Resources{scheduler.VCPU: 1, scheduler.MemoryMB: 512, scheduler.DiskGB: 10}
}

func schedule(ctx context.Context, s *sqlstore.Store, id string) (scheduler.Decision, error) {
	return s.Schedule(ctx, scheduler.Request{ID: id, Resources: small()},
		sqlstore.Options{Consumer: sqlstore.Consumer{ID: id, ProjectID: "p", UserID: "u", Type: "INSTANCE"}}, nil)
}

// sums asks the database for the use per host and class, by the sums and by the
// allocations themselves.
func sums(t testing.TB, db *store.DB) map[string][3]int64 {
	t.Helper()
	var rows []struct {
		UUID, Class             string
		Capacity, Used, Claimed int64
	}
	err := db.Reader().NewRaw(`SELECT i.provider_uuid AS uuid, i.class, i.capacity, i.used,
		CAST(COALESCE((SELECT SUM(a.used) FROM placement_allocations a WHERE a.provider_uuid = i.provider_uuid AND a.class = i.class), 0) AS BIGINT) AS claimed
		FROM placement_inventories i`).Scan(t.Context(), &rows)
	require.NoError(t, err)
	out := map[string][3]int64{}
	for _, r := range rows {
		out[r.UUID+" "+r.Class] = [3]int64{r.Capacity, r.Used, r.Claimed}
	}
	return out
}

func requireSound(t testing.TB, db *store.DB) (used int64) {
	t.Helper()
	for key, v := range sums(t, db) {
		require.Equal(t, v[1], v[2], "%s: the sum is not that of the allocations", key)
		require.LessOrEqual(t, v[1], v[0], "%s: over capacity", key)
		if key[len(key)-4:] == "VCPU" {
			used += v[1]
		}
	}
	return used
}

func TestScheduleClaimsAndReleaseGivesBack(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		s := newStore(t, db, c)
		require.NoError(t, s.PutHost(t.Context(), testHost("h1", 2, 4096)))
		d, err := schedule(t.Context(), s, "a")
		require.NoError(t, err)
		require.Equal(t, "h1", d.Choices[0].Host.ID)
		claim, err := s.ClaimOf(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, sqlstore.Claim{Consumer: sqlstore.Consumer{ID: "a", ProjectID: "p", UserID: "u", Type: "INSTANCE"}, HostID: "h1", Resources: small()}, claim)
		h, err := s.Host(t.Context(), "h1")
		require.NoError(t, err)
		require.Equal(t, small(), h.Used)
		require.Equal(t, 1, h.NumInstances)

		_, err = schedule(t.Context(), s, "b")
		require.NoError(t, err)
		d, err = schedule(t.Context(), s, "c")
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		require.NotNil(t, d.Explanation.Nearest)
		e, err := s.Explanation(t.Context(), "c")
		require.NoError(t, err)
		require.Equal(t, d.Explanation.Nearest, e.Nearest)
		e, err = s.Explanation(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 1, e.Placed)

		// A full cloud still finds the claim that is there.
		ran := ""
		d, err = s.Schedule(t.Context(), scheduler.Request{ID: "a", Resources: small()}, sqlstore.Options{Consumer: sqlstore.Consumer{ID: "a"}},
			func(_ context.Context, _ *store.Tx, h scheduler.HostRef) error { ran = h.ID; return nil })
		require.NoError(t, err)
		require.Equal(t, "h1", d.Choices[0].Host.ID)
		require.Equal(t, "h1", ran)

		require.ErrorIs(t, s.RemoveHost(t.Context(), "h1"), nephos.ErrConflict)
		for range 2 {
			require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return s.Release(ctx, tx, "a") }))
		}
		require.EqualValues(t, 1, requireSound(t, db))
		_, err = schedule(t.Context(), s, "c")
		require.NoError(t, err)
		require.EqualValues(t, 2, requireSound(t, db))
	})
}

func TestCommitFailsTogetherWithTheClaim(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		s := newStore(t, db, c)
		require.NoError(t, s.PutHost(t.Context(), testHost("h1", 1, 4096)))
		broken := errors.New("broken")
		_, err := s.Schedule(t.Context(), scheduler.Request{Resources: small()}, sqlstore.Options{Consumer: sqlstore.Consumer{ID: "a"}},
			func(context.Context, *store.Tx, scheduler.HostRef) error { return broken })
		require.ErrorIs(t, err, broken)
		require.Zero(t, requireSound(t, db))
		_, err = s.ClaimOf(t.Context(), "a")
		require.ErrorIs(t, err, nephos.ErrNotFound)
		// The room that the failure held is free again.
		_, err = schedule(t.Context(), s, "b")
		require.NoError(t, err)
	})
}

func TestARaceNeverOvercommitsNorLosesRoom(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		// Two stores on one PostgreSQL database, as two processes have them: their snapshots
		// know nothing of one another's claims.
		stores := []*sqlstore.Store{newStore(t, db, c), newStore(t, db, c)}
		if !db.Postgres() {
			stores[1] = stores[0]
		}
		const hosts, room, extra = 4, 10, 20
		for i := range hosts {
			require.NoError(t, stores[0].PutHost(t.Context(), testHost(fmt.Sprintf("h%d", i), room, 1<<20)))
		}
		var placed, refused atomic.Int64
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < hosts*room+extra; i += 8 {
					_, err := schedule(t.Context(), stores[w%2], fmt.Sprint("c", i))
					switch {
					case err == nil:
						placed.Add(1)
					case errors.Is(err, nephos.ErrNoCapacity):
						refused.Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, hosts*room, placed.Load())
		require.EqualValues(t, extra, refused.Load())
		require.EqualValues(t, hosts*room, requireSound(t, db))

		// Claims and releases at the same time end with all the room there is.
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < hosts*room+extra; i += 8 {
					if err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return stores[w%2].Release(ctx, tx, fmt.Sprint("c", i)) }); err != nil {
						t.Error(err)
					}
					id := fmt.Sprint("d", i)
					if _, err := schedule(t.Context(), stores[w%2], id); err == nil {
						if err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return stores[(w+1)%2].Release(ctx, tx, id) }); err != nil {
							t.Error(err)
						}
					} else if !errors.Is(err, nephos.ErrNoCapacity) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.Zero(t, requireSound(t, db))
		// The snapshots have come to the same view.
		c.Advance(time.Second)
		for _, s := range stores {
			all, err := s.Hosts(t.Context())
			require.NoError(t, err)
			for _, h := range all {
				require.Zero(t, h.NumInstances, h.ID)
				for class, n := range h.Used {
					require.Zero(t, n, "%s %s", h.ID, class)
				}
			}
		}
	})
}

func TestOneConsumerRacingItselfGetsOneClaim(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		s := newStore(t, db, c)
		for i := range 4 {
			require.NoError(t, s.PutHost(t.Context(), testHost(fmt.Sprintf("h%d", i), 10, 1<<20)))
		}
		var wg sync.WaitGroup
		chosen := make([]string, 8)
		for w := range chosen {
			wg.Go(func() {
				d, err := schedule(t.Context(), s, "same")
				if err != nil {
					t.Error(err)
					return
				}
				chosen[w] = d.Choices[0].Host.ID
			})
		}
		wg.Wait()
		for _, id := range chosen {
			require.Equal(t, chosen[0], id)
		}
		require.EqualValues(t, 1, requireSound(t, db))
	})
}

func TestACrashKeepsTheClaimOrNone(t *testing.T) {
	path := "sqlite:" + filepath.Join(t.TempDir(), "crash.db")
	open := func() (*store.DB, *sqlstore.Store) {
		db, err := store.Open(t.Context(), path, store.Options{Clock: newClock()})
		require.NoError(t, err)
		t.Cleanup(func() { db.Close() })
		require.NoError(t, db.Migrate(t.Context(), sqlstore.Migrations()))
		return db, newStore(t, db, newClock())
	}
	db, s := open()
	require.NoError(t, s.PutHost(t.Context(), testHost("h1", 2, 4096)))
	_, err := schedule(t.Context(), s, "kept")
	require.NoError(t, err)
	// The process dies in the middle of a claim: the database goes away under it.
	require.Panics(t, func() {
		_, _ = s.Schedule(t.Context(), scheduler.Request{Resources: small()}, sqlstore.Options{Consumer: sqlstore.Consumer{ID: "lost"}},
			func(context.Context, *store.Tx, scheduler.HostRef) error { panic("killed") })
	})
	require.NoError(t, db.Close())
	db, s = open()
	require.EqualValues(t, 1, requireSound(t, db))
	d, err := schedule(t.Context(), s, "kept")
	require.NoError(t, err)
	require.Contains(t, d.Explanation.Notes[0], "had a claim")
	_, err = schedule(t.Context(), s, "lost")
	require.NoError(t, err)
	_, err = schedule(t.Context(), s, "third")
	require.ErrorIs(t, err, nephos.ErrNoCapacity)
}

func TestHostsChangeAndOtherProcessesSeeIt(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		a := newStore(t, db, c)
		h := testHost("h1", 4, 4096)
		h.Traits = []string{"CUSTOM_GOLD", "HW_CPU_X86_AVX2"}
		require.NoError(t, a.PutHost(t.Context(), h))
		b := newStore(t, db, c)
		got, err := b.Host(t.Context(), "h1")
		require.NoError(t, err)
		require.ElementsMatch(t, h.Traits, got.Traits)
		_, err = schedule(t.Context(), b, "x")
		require.NoError(t, err)

		// The same again costs nothing.
		ctx, n := store.CountQueries(t.Context())
		require.NoError(t, b.PutHost(ctx, h))
		require.Zero(t, n.Load())

		h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: 1}
		delete(h.Inventory, scheduler.DiskGB)
		h.Up = true
		require.NoError(t, a.PutHost(t.Context(), h))
		_, err = schedule(t.Context(), a, "y")
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		h.Enabled, h.Inventory[scheduler.VCPU] = false, scheduler.Inventory{Total: 8}
		h.Inventory[scheduler.DiskGB] = scheduler.Inventory{Total: 100}
		require.NoError(t, a.PutHost(t.Context(), h))
		_, err = schedule(t.Context(), a, "y")
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		h.Enabled = true
		require.NoError(t, a.PutHost(t.Context(), h))
		_, err = schedule(t.Context(), a, "y")
		require.NoError(t, err)
		if db.Postgres() {
			c.Advance(time.Second)
			got, err = b.Host(t.Context(), "h1")
			require.NoError(t, err)
			require.EqualValues(t, 8, got.Inventory[scheduler.VCPU].Total)
			require.EqualValues(t, 2, got.Used[scheduler.VCPU])
		}
		for _, id := range []string{"x", "y"} {
			require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return a.Release(ctx, tx, id) }))
		}
		require.NoError(t, a.RemoveHost(t.Context(), "h1"))
		require.NoError(t, a.RemoveHost(t.Context(), "h1"))
		_, err = a.Host(t.Context(), "h1")
		require.ErrorIs(t, err, nephos.ErrNotFound)
		c.Advance(time.Second)
		if db.Postgres() {
			_, err = schedule(t.Context(), b, "z")
			require.ErrorIs(t, err, nephos.ErrNoCapacity)
		}
		require.NoError(t, a.PutHost(t.Context(), h))
		_, err = schedule(t.Context(), a, "z")
		require.NoError(t, err)
	})
}

func TestClaimTransferAndUnits(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		s := newStore(t, db, c)
		h1, h2 := testHost("h1", 2, 4096), testHost("h2", 2, 4096)
		h2.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: 8, MinUnit: 2, MaxUnit: 4, StepSize: 2}
		h2.Up = false
		require.NoError(t, s.PutHost(t.Context(), h1))
		require.NoError(t, s.PutHost(t.Context(), h2))
		tx := func(f func(ctx context.Context, tx *store.Tx) error) error { return db.Tx(t.Context(), f) }
		server, migration := sqlstore.Consumer{ID: "server", ProjectID: "p"}, sqlstore.Consumer{ID: "migration", ProjectID: "p", Type: "MIGRATION"}
		claim := func(who sqlstore.Consumer, host string, want scheduler.Resources) error {
			return tx(func(ctx context.Context, tx *store.Tx) error { return s.Claim(ctx, tx, who, host, want) })
		}
		require.NoError(t, claim(server, "h1", small()))
		require.NoError(t, claim(server, "h1", small()))
		require.ErrorIs(t, claim(server, "h2", small()), nephos.ErrConflict)
		require.ErrorIs(t, claim(server, "h9", small()), nephos.ErrNotFound)
		require.ErrorIs(t, claim(sqlstore.Consumer{ID: "big"}, "h1", scheduler.Resources{scheduler.VCPU: 2}), nephos.ErrNoCapacity)
		require.ErrorIs(t, claim(sqlstore.Consumer{ID: "odd"}, "h2", scheduler.Resources{scheduler.VCPU: 3}), nephos.ErrNoCapacity)
		require.ErrorIs(t, claim(sqlstore.Consumer{ID: "none"}, "h2", nil), nephos.ErrInvalid)
		require.ErrorIs(t, claim(sqlstore.Consumer{ID: "neg"}, "h2", scheduler.Resources{scheduler.VCPU: -3}), nephos.ErrInvalid)
		for range 2 {
			require.NoError(t, tx(func(ctx context.Context, tx *store.Tx) error { return s.Transfer(ctx, tx, "server", migration) }))
		}
		require.NoError(t, claim(server, "h2", scheduler.Resources{scheduler.VCPU: 4}))
		require.ErrorIs(t, tx(func(ctx context.Context, tx *store.Tx) error { return s.Transfer(ctx, tx, "server", migration) }), nephos.ErrConflict)
		claims, err := s.Claims(t.Context(), "h1")
		require.NoError(t, err)
		require.Equal(t, []sqlstore.Claim{{Consumer: migration, HostID: "h1", Resources: small()}}, claims)
		require.EqualValues(t, 5, requireSound(t, db))
	})
}

func TestWhatAnOperatorSetsHolds(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		s := newStore(t, db, c)
		good, odd := testHost("good", 1, 4096), testHost("odd", 64, 1<<20)
		odd.Aggregates = []scheduler.Aggregate{{ID: "1", Metadata: map[string]string{"cpu_allocation_ratio": "16"}}}
		for _, h := range []scheduler.Host{good, odd} {
			require.NoError(t, s.PutHost(t.Context(), h))
		}
		_, list, err := s.Inventories(t.Context(), sqlstore.ProviderID("odd"))
		require.NoError(t, err)
		require.EqualValues(t, 16*64, list[2].Capacity)

		set := func(inv sqlstore.Inventory) {
			inv.Class, inv.MinUnit, inv.StepSize = scheduler.VCPU, 1, 1
			_, err := s.UpdateInventory(t.Context(), sqlstore.ProviderID("odd"), nil, inv)
			require.NoError(t, err)
		}
		// The aggregate's ratio no longer counts; neither does the class's default.
		set(sqlstore.Inventory{Total: 1, Ratio: 0})
		_, err = schedule(t.Context(), s, "a")
		require.NoError(t, err)
		_, err = schedule(t.Context(), s, "b")
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		// The owner's next word is about something else and changes nothing here.
		odd.FailedBuilds = 1
		require.NoError(t, s.PutHost(t.Context(), odd))
		_, err = schedule(t.Context(), s, "b")
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		// A number that the scheduler would refuse does not stop it.
		set(sqlstore.Inventory{Total: 1, Ratio: 1e9})
		_, err = schedule(t.Context(), s, "b")
		require.NoError(t, err)
		many := []sqlstore.Inventory{{Class: scheduler.VCPU, Total: 1, Ratio: 1e9}}
		require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
			for i := range 300 {
				many = append(many, sqlstore.Inventory{Class: fmt.Sprintf("CUSTOM_%d", i), Total: 1, Ratio: 1})
				if _, err := tx.ExecContext(ctx, "INSERT INTO placement_classes (name, created_at) VALUES (?, ?)", many[i+1].Class, tx.Now()); err != nil {
					return err
				}
			}
			return nil
		}))
		for _, class := range []string{scheduler.MemoryMB, scheduler.DiskGB} {
			many = append(many, sqlstore.Inventory{Class: class, Total: 1 << 20, Ratio: 1})
		}
		_, err = s.SetInventories(t.Context(), sqlstore.ProviderID("odd"), nil, many)
		require.NoError(t, err)
		_, err = schedule(t.Context(), s, "c")
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		require.NoError(t, db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return s.Release(ctx, tx, "a") }))
		_, err = schedule(t.Context(), s, "c")
		require.NoError(t, err)
	})
}

// Operators add traits to a host, and may replace them all; the owner's come back.
func TestTheOwnersTraitsComeBack(t *testing.T) {
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		s := newStore(t, db, c)
		h := testHost("h", 4, 4096)
		h.Traits = []string{"COMPUTE_NODE", "HW_CPU_X86_AVX2"}
		uuid := sqlstore.ProviderID("h")
		traits := func() ([]string, int64) {
			p, list, err := s.ProviderTraits(t.Context(), uuid)
			require.NoError(t, err)
			return list, p.Generation
		}
		require.NoError(t, s.PutHost(t.Context(), h))
		_, err := s.CreateTrait(t.Context(), "CUSTOM_GOLD")
		require.NoError(t, err)
		_, err = s.SetProviderTraits(t.Context(), uuid, nil, []string{"CUSTOM_GOLD"})
		require.NoError(t, err)
		require.NoError(t, s.PutHost(t.Context(), h))
		list, generation := traits()
		require.Equal(t, []string{"COMPUTE_NODE", "CUSTOM_GOLD", "HW_CPU_X86_AVX2"}, list)
		require.NoError(t, s.PutHost(t.Context(), h))
		_, same := traits()
		require.Equal(t, generation, same, "nothing to do")
		h.Traits = h.Traits[:1]
		require.NoError(t, s.PutHost(t.Context(), h))
		list, _ = traits()
		require.Equal(t, []string{"COMPUTE_NODE", "CUSTOM_GOLD"}, list)
		got, err := s.Host(t.Context(), "h")
		require.NoError(t, err)
		require.ElementsMatch(t, list, got.Traits)
	})
}

func TestExplanationsAreBounded(t *testing.T) {
	db := storetest.Open(t, newClock(), sqlstore.Migrations())
	s, err := sqlstore.New(sqlstore.Config{Store: db, Clock: newClock(), Explanations: 10})
	require.NoError(t, err)
	defer s.Close()
	for i := range 200 {
		_, err := schedule(t.Context(), s, fmt.Sprint(i))
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
	}
	var n int64
	require.NoError(t, db.Reader().NewRaw("SELECT COUNT(*) FROM placement_explanations").Scan(t.Context(), &n))
	require.Less(t, n, int64(100))
	_, err = s.Explanation(t.Context(), "0")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	_, err = s.Explanation(t.Context(), "199")
	require.NoError(t, err)
}
