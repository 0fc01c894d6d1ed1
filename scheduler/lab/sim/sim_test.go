package sim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/lab/sim"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/scheduler/trace"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func workload(t *testing.T, hosts, servers int) []trace.Event {
	t.Helper()
	events, err := trace.Generate(trace.Spec{Hosts: hosts, Servers: servers, Zones: min(3, hosts), Seed: 3})
	require.NoError(t, err)
	return slices.Collect(events)
}

func TestWhatFitsIsWhatCanBePlaced(t *testing.T) {
	s, err := sim.New(sim.Config{Seed: 1})
	require.NoError(t, err)
	out, err := s.Run(t.Context(), workload(t, 12, 400))
	require.NoError(t, err)
	require.Equal(t, 400, out.Boots)
	require.Equal(t, out.Boots, out.Placed+out.Refused)
	sched, err := scheduler.New(scheduler.Config{})
	require.NoError(t, err)
	for name, req := range map[string]scheduler.Request{
		"plain":         {Resources: scheduler.Resources{scheduler.VCPU: 7, scheduler.MemoryMB: 30_000, scheduler.DiskGB: 33}},
		"zone":          {Resources: scheduler.Resources{scheduler.VCPU: 3, scheduler.MemoryMB: 9000}, Zone: "az2"},
		"trait":         {Resources: scheduler.Resources{scheduler.MemoryMB: 50_000}, ExtraSpecs: map[string]string{"trait:HW_CPU_X86_AVX512F": "required"}},
		"too big":       {Resources: scheduler.Resources{scheduler.VCPU: 1 << 20}},
		"anti-affinity": {Resources: scheduler.Resources{scheduler.VCPU: 1}, Group: &scheduler.Group{ID: "g", Policy: scheduler.AntiAffinity, MaxServerPerHost: 2}},
	} {
		c, err := sim.Fit(sched, s.Snapshot(), req)
		require.NoError(t, err)
		var placed int64
		members := map[string]int{}
		claimed := []string{}
		for {
			req.ID = fmt.Sprint("more-", placed)
			if req.Group != nil {
				req.Group.MembersByHost = members
			}
			d, err := sched.Select(s.Snapshot(), req, scheduler.Options{})
			if errors.Is(err, nephos.ErrNoCapacity) {
				break
			}
			require.NoError(t, err)
			host := d.Choices[0].Host.ID
			require.NoError(t, s.Snapshot().Claim(host, req.Resources))
			members[host]++
			claimed = append(claimed, host)
			placed++
		}
		require.Equal(t, placed, c.Total, name)
		for _, host := range claimed {
			require.NoError(t, s.Snapshot().Release(host, req.Resources))
		}
	}
	_, err = sim.Fit(sched, s.Snapshot(), scheduler.Request{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestServersThatGoGiveBackAllTheyHad(t *testing.T) {
	events := workload(t, 5, 120)
	var ids []string
	for _, e := range events {
		if e.Boot != nil {
			ids = append(ids, e.Boot.ID)
		}
	}
	at := events[len(events)-1].At
	for _, id := range ids {
		events = append(events, trace.Event{At: at + 1, Delete: id})
	}
	s, err := sim.New(sim.Config{})
	require.NoError(t, err)
	out, err := s.Run(t.Context(), events)
	require.NoError(t, err)
	last := out.Samples[len(out.Samples)-1]
	require.Zero(t, last.Servers)
	require.Equal(t, last.Hosts, last.Empty)
	for h := range sim.Hosts(s.Snapshot()) {
		require.Empty(t, h.Used)
	}
	// Groups were heeded: replaying makes the same.
	_, err = s.Run(t.Context(), []trace.Event{{Boot: &scheduler.Request{ID: "x", Resources: scheduler.Resources{scheduler.VCPU: 1}}}, {Boot: &scheduler.Request{ID: "x"}}})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

func TestPoliciesPackAndSpread(t *testing.T) {
	empty := map[string]int{}
	for _, name := range []string{scheduler.PresetPack, scheduler.PresetSpread} {
		c, err := scheduler.Preset(name)
		require.NoError(t, err)
		sched, err := scheduler.New(c)
		require.NoError(t, err)
		s, err := sim.New(sim.Config{Scheduler: sched})
		require.NoError(t, err)
		out, err := s.Run(t.Context(), workload(t, 30, 200))
		require.NoError(t, err)
		empty[name] = out.Samples[len(out.Samples)-1].Empty
	}
	require.Greater(t, empty[scheduler.PresetPack], empty[scheduler.PresetSpread])
}

// lines is a file that many may append to.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// What a store of claims records while many schedule, give back and change hosts
// at the same time is replayed to the same decisions, one by one.
func TestYesterdayIsReplayedExactly(t *testing.T) {
	db := storetest.Open(t, nil, sqlstore.Migrations())
	var file lines
	s, err := sqlstore.New(sqlstore.Config{Store: db, Record: &file})
	require.NoError(t, err)
	defer s.Close()
	spec := trace.Spec{Hosts: 8, Zones: 2}
	for i := range spec.Hosts {
		h := spec.Host(i)
		h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: 6, Ratio: 1}
		require.NoError(t, s.PutHost(t.Context(), h))
	}
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			for i := range 20 {
				id := fmt.Sprintf("s-%d-%d", w, i)
				_, err := s.Schedule(t.Context(), scheduler.Request{ID: id, Resources: scheduler.Resources{scheduler.VCPU: int64(1 + i%2), scheduler.MemoryMB: 512}},
					sqlstore.Options{Consumer: sqlstore.Consumer{ID: id}, Seed: uint64(i)}, nil)
				if err != nil && !errors.Is(err, nephos.ErrNoCapacity) {
					t.Error(err)
				}
				if i%3 == 2 {
					gone := fmt.Sprintf("s-%d-%d", w, i-1)
					if err := db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return s.Release(ctx, tx, gone) }); err != nil {
						t.Error(err)
					}
				}
				if w == 0 && i%5 == 0 {
					h := spec.Host(i % spec.Hosts)
					h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: int64(4 + i%5), Ratio: 1}
					if err := s.PutHost(t.Context(), h); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	events, err := trace.ReadAll(&file.b)
	require.NoError(t, err)
	sched, err := scheduler.New(scheduler.Config{})
	require.NoError(t, err)
	n, differ, err := sim.Replay(t.Context(), sched, events, nil)
	require.NoError(t, err)
	require.Empty(t, differ)
	require.GreaterOrEqual(t, n, 120)
	// A file to which a second process went on writing is two recordings.
	twice, differ, err := sim.Replay(t.Context(), sched, slices.Concat(events, events), nil)
	require.NoError(t, err)
	require.Empty(t, differ)
	require.Equal(t, 2*n, twice)
}
