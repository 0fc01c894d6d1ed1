package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

// books are what the operations so far should have come to: who uses how much of
// which host.
type books map[string]map[string]scheduler.Resources // consumer, host

func (b books) used(host string) scheduler.Resources {
	sum := scheduler.Resources{scheduler.VCPU: 0, scheduler.MemoryMB: 0, scheduler.DiskGB: 0}
	for _, of := range b {
		sum = sum.Add(of[host])
	}
	return sum
}

// TestCapacityIsConserved runs random operations one after the other. What is
// used is, after each, the sum of what was claimed and not given back, in the
// rows, in the scheduler's snapshot and in what allocation candidates are sought
// in; no operation that failed changed anything.
func TestCapacityIsConserved(t *testing.T) {
	round := 0
	each(t, func(t *testing.T, db *store.DB, c *clock) {
		s := newStore(t, db, c)
		rapid.Check(t, func(rt *rapid.T) {
			round++
			name := func(kind string, i int) string { return fmt.Sprintf("%s-%d-%d", kind, round, i) }
			const hosts = 3
			total := map[string]scheduler.Resources{} // capacity by host
			kept := books{}
			// The last round's hosts are not to be chosen.
			old, err := s.Hosts(t.Context())
			require.NoError(rt, err)
			for _, h := range old {
				h.Enabled = false
				require.NoError(rt, s.PutHost(t.Context(), h))
			}
			for i := range hosts {
				h := testHost(name("host", i), int64(1+i), 4096)
				require.NoError(rt, s.PutHost(t.Context(), h))
				total[h.ID] = scheduler.Resources{scheduler.VCPU: int64(1 + i), scheduler.MemoryMB: 4096, scheduler.DiskGB: 100_000}
			}
			host := rapid.Custom(func(rt *rapid.T) string { return name("host", rapid.IntRange(0, hosts-1).Draw(rt, "host")) })
			consumer := rapid.Custom(func(rt *rapid.T) string { return name("consumer", rapid.IntRange(0, 4).Draw(rt, "consumer")) })
			amounts := rapid.Custom(func(rt *rapid.T) scheduler.Resources {
				return scheduler.Resources{scheduler.VCPU: rapid.Int64Range(1, 3).Draw(rt, "vcpus"), scheduler.MemoryMB: rapid.Int64Range(1, 3000).Draw(rt, "memory")}
			})
			fits := func(without, host string, want scheduler.Resources) bool {
				sum := want
				for who, of := range kept {
					if who != without {
						sum = sum.Add(of[host])
					}
				}
				for class, n := range want {
					// What does not grow is never refused, also where a host shrank.
					if n > kept[without][host][class] && sum[class] > total[host][class] {
						return false
					}
				}
				return true
			}
			tx := func(f func(ctx context.Context, tx *store.Tx) error) error { return db.Tx(t.Context(), f) }
			rt.Repeat(map[string]func(*rapid.T){
				"schedule": func(rt *rapid.T) {
					who, want := consumer.Draw(rt, "who"), amounts.Draw(rt, "amounts")
					d, err := s.Schedule(t.Context(), scheduler.Request{ID: who, Resources: want}, sqlstore.Options{Consumer: sqlstore.Consumer{ID: who}}, nil)
					if _, has := kept[who]; has {
						require.NoError(rt, err)
						require.Contains(rt, kept[who], d.Choices[0].Host.ID)
						return
					}
					if errors.Is(err, nephos.ErrNoCapacity) {
						for h := range total {
							require.False(rt, fits(who, h, want), "%s has room for %v", h, want)
						}
						return
					}
					require.NoError(rt, err)
					require.True(rt, fits(who, d.Choices[0].Host.ID, want))
					kept[who] = map[string]scheduler.Resources{d.Choices[0].Host.ID: want}
				},
				"claim": func(rt *rapid.T) {
					who, at, want := consumer.Draw(rt, "who"), host.Draw(rt, "at"), amounts.Draw(rt, "amounts")
					err := tx(func(ctx context.Context, tx *store.Tx) error {
						return s.Claim(ctx, tx, sqlstore.Consumer{ID: who}, at, want)
					})
					switch has := kept[who]; {
					case len(has) == 1 && maps.Equal(has[at], want):
						require.NoError(rt, err)
					case len(has) > 0:
						require.ErrorIs(rt, err, nephos.ErrConflict)
					case !fits(who, at, want):
						require.ErrorIs(rt, err, nephos.ErrNoCapacity)
					default:
						require.NoError(rt, err)
						kept[who] = map[string]scheduler.Resources{at: want}
					}
				},
				"release": func(rt *rapid.T) {
					who := consumer.Draw(rt, "who")
					require.NoError(rt, tx(func(ctx context.Context, tx *store.Tx) error { return s.Release(ctx, tx, who) }))
					delete(kept, who)
				},
				"transfer": func(rt *rapid.T) {
					from, to := consumer.Draw(rt, "from"), consumer.Draw(rt, "to")
					if from == to {
						return
					}
					err := tx(func(ctx context.Context, tx *store.Tx) error {
						return s.Transfer(ctx, tx, from, sqlstore.Consumer{ID: to})
					})
					switch {
					case kept[from] == nil && kept[to] == nil:
						require.ErrorIs(rt, err, nephos.ErrNotFound)
					case kept[from] == nil:
						require.NoError(rt, err)
					case kept[to] != nil:
						require.ErrorIs(rt, err, nephos.ErrConflict)
					default:
						require.NoError(rt, err)
						kept[to] = kept[from]
						delete(kept, from)
					}
				},
				"allocate": func(rt *rapid.T) { // several hosts at once
					who := consumer.Draw(rt, "who")
					spec := sqlstore.AllocationSpec{Consumer: sqlstore.Consumer{ID: who}, Of: map[string]scheduler.Resources{}}
					of, ok := map[string]scheduler.Resources{}, true
					for _, at := range rapid.SliceOfNDistinct(host, 0, 2, rapid.ID).Draw(rt, "at") {
						of[at] = amounts.Draw(rt, "amounts")
						spec.Of[sqlstore.ProviderID(at)] = of[at]
						ok = ok && fits(who, at, of[at])
					}
					err := s.SetAllocations(t.Context(), []sqlstore.AllocationSpec{spec})
					if !ok {
						require.ErrorIs(rt, err, nephos.ErrConflict)
						return
					}
					require.NoError(rt, err)
					if delete(kept, who); len(of) > 0 {
						kept[who] = of
					}
				},
				"resize": func(rt *rapid.T) { // what a host has changes under its claims
					at, vcpus := host.Draw(rt, "at"), rapid.Int64Range(1, 5).Draw(rt, "vcpus")
					_, err := s.UpdateInventory(t.Context(), sqlstore.ProviderID(at), nil, sqlstore.Inventory{Class: scheduler.VCPU, Total: vcpus, MinUnit: 1, StepSize: 1, Ratio: 1})
					require.NoError(rt, err)
					total[at][scheduler.VCPU] = vcpus
				},
				"drop": func(rt *rapid.T) { // not while it is used
					at := host.Draw(rt, "at")
					_, err := s.SetInventories(t.Context(), sqlstore.ProviderID(at), nil, []sqlstore.Inventory{
						{Class: scheduler.MemoryMB, Total: 4096, MinUnit: 1, StepSize: 1, Ratio: 1}, {Class: scheduler.DiskGB, Total: 100_000, MinUnit: 1, StepSize: 1, Ratio: 1},
					})
					if kept.used(at)[scheduler.VCPU] > 0 {
						require.ErrorIs(rt, err, nephos.ErrConflict)
						return
					}
					require.NoError(rt, err)
					_, err = s.AddInventory(t.Context(), sqlstore.ProviderID(at), sqlstore.Inventory{Class: scheduler.VCPU, Total: total[at][scheduler.VCPU], MinUnit: 1, StepSize: 1, Ratio: 1})
					require.NoError(rt, err)
				},
				"break": func(rt *rapid.T) { // an error of the caller's undoes everything
					who, at := consumer.Draw(rt, "who"), host.Draw(rt, "at")
					mine := errors.New("mine")
					err := tx(func(ctx context.Context, tx *store.Tx) error {
						if err := s.Release(ctx, tx, who); err != nil {
							return err
						}
						_ = s.Claim(ctx, tx, sqlstore.Consumer{ID: who}, at, scheduler.Resources{scheduler.MemoryMB: 1})
						return mine
					})
					require.ErrorIs(rt, err, mine)
				},
				"": func(rt *rapid.T) { requireBooks(rt, s, total, kept) },
			})
		})
	})
}

// requireBooks compares the books with everything that knows of use.
func requireBooks(rt *rapid.T, s *sqlstore.Store, total map[string]scheduler.Resources, kept books) {
	ctx := context.Background()
	_, summaries, err := s.Candidates(ctx, sqlstore.CandidatesRequest{Groups: []sqlstore.RequestGroup{{Resources: scheduler.Resources{scheduler.DiskGB: 1}}}})
	require.NoError(rt, err)
	for _, at := range slices.Sorted(maps.Keys(total)) {
		want := kept.used(at)
		_, rows, err := s.ProviderUsages(ctx, sqlstore.ProviderID(at))
		require.NoError(rt, err)
		require.Equal(rt, want, rows, "the rows of %s", at)
		h, err := s.Host(ctx, at)
		require.NoError(rt, err)
		consumers := 0
		for _, of := range kept {
			if of[at] != nil {
				consumers++
			}
		}
		require.Equal(rt, consumers, h.NumInstances, at)
		for class, n := range want {
			require.Equal(rt, n, h.Used[class], "%s in the snapshot of %s", class, at)
		}
		found := slices.IndexFunc(summaries, func(p sqlstore.ProviderSummary) bool { return p.UUID == sqlstore.ProviderID(at) })
		require.GreaterOrEqual(rt, found, 0)
		for _, inv := range summaries[found].Inventories {
			require.Equal(rt, want[inv.Class], inv.Used, "%s in the candidates of %s", inv.Class, at)
			require.Equal(rt, total[at][inv.Class], inv.Capacity, "%s in the candidates of %s", inv.Class, at)
		}
		_, all, err := s.ProviderAllocations(ctx, sqlstore.ProviderID(at))
		require.NoError(rt, err)
		require.Len(rt, all, consumers)
	}
}
