package compute_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// together boots n servers of one request.
func (c *testCloud) together(n int, req compute.BootRequest) []compute.Server {
	c.t.Helper()
	req.Name, req.ImageID, req.MinCount = "many", c.images.id, n
	if req.FlavorID == "" {
		req.FlavorID = c.flavor(1, 512, 1)
	}
	made, err := c.service.Boot(c.user(), req)
	require.NoError(c.t, err)
	require.Len(c.t, made, n)
	return made
}

func (c *testCloud) apart() compute.BootRequest {
	c.t.Helper()
	g, err := c.service.CreateGroup(c.user(), compute.GroupSpec{Name: "apart", Policy: scheduler.AntiAffinity})
	require.NoError(c.t, err)
	return compute.BootRequest{Hints: map[string][]string{"group": {g.ID}}}
}

func (c *testCloud) used() (sum int64) {
	c.t.Helper()
	hosts, err := c.claims.Hosts(c.t.Context())
	require.NoError(c.t, err)
	for _, h := range hosts {
		sum += h.Used[scheduler.MemoryMB]
	}
	return sum
}

// Nova places all servers of one request, or none.
func TestServersOfOneRequestArePlacedTogether(t *testing.T) {
	clock := newClock()
	storetest.Each(t, clock, migrations(), func(t *testing.T, db *store.DB) {
		c := newCloudOn(t, db, clock, 3, nil)
		made := c.together(3, c.apart())
		c.settle()
		hosts := map[string]bool{}
		for _, s := range made {
			s = c.server(s.ID)
			require.Equal(t, compute.Active, s.VMState, "%+v", s.Fault)
			hosts[s.Host] = true
		}
		require.Len(t, hosts, 3)
		require.Equal(t, int64(3*512), c.used())

		late := c.together(4, c.apart())
		c.settle()
		for _, s := range late {
			s = c.server(s.ID)
			require.Equal(t, compute.Errored, s.VMState)
			require.Empty(t, s.Host)
			require.Equal(t, "No valid host was found. There are not enough hosts available. "+
				"No valid host: 3 hosts with room for 3 of 4 servers, 3 already have enough of the server group.", s.Fault.Message)
			why, err := c.claims.Explanation(t.Context(), s.ID)
			require.NoError(t, err)
			require.Equal(t, 4, why.Wanted)
			require.Empty(t, c.guests(s.ID))
		}
		require.Equal(t, int64(3*512), c.used(), "nothing of it is held")
	})
}

func TestAffinityHoldsWithinOneRequest(t *testing.T) {
	c := newCloud(t, 3, nil)
	g, err := c.service.CreateGroup(c.user(), compute.GroupSpec{Name: "near", Policy: scheduler.Affinity})
	require.NoError(t, err)
	req := compute.BootRequest{Hints: map[string][]string{"group": {g.ID}}, FlavorID: c.flavor(1, 5120, 1)}
	made := c.together(3, req)
	c.settle()
	for _, s := range made {
		require.Equal(t, c.server(made[0].ID).Host, c.server(s.ID).Host)
		require.Equal(t, compute.Active, c.server(s.ID).VMState)
	}
}

// waitingWork counts the servers that have work to do, now or later.
func (c *testCloud) waitingWork() int64 {
	c.t.Helper()
	n, err := c.db.Reader().NewSelect().Table("work").Where("kind = 'compute.server'").Count(c.t.Context())
	require.NoError(c.t, err)
	return int64(n)
}

func TestOnlyTheFirstOfSeveralHasWork(t *testing.T) {
	c := newCloud(t, 3, nil)
	made := c.together(3, c.apart())
	require.EqualValues(t, 1, c.waitingWork())
	require.NoError(t, c.service.DeleteServer(c.user(), made[2].ID, false))
	require.EqualValues(t, 2, c.waitingWork(), "who goes has work of its own")
	require.NoError(t, c.service.DeleteServer(c.user(), made[0].ID, false))
	require.EqualValues(t, 3, c.waitingWork(), "the next is woken")
	c.settle()
	require.Equal(t, compute.Active, c.server(made[1].ID).VMState)
	require.Zero(t, c.waitingWork())
}

// The server whose turn it is may go, and the others are placed all the same, at
// once and in the name of who wanted them.
func TestTheFirstOfSeveralIsDeletedMeanwhile(t *testing.T) {
	clock := newClock()
	storetest.Each(t, clock, migrations(), func(t *testing.T, db *store.DB) {
		c := newCloudOn(t, db, clock, 3, nil)
		made := c.together(3, c.apart())
		require.NoError(t, c.service.DeleteServer(c.admin(), made[0].ID, false))
		var owners []struct{ ProjectID, UserID string }
		require.NoError(t, db.Reader().NewSelect().Table("work").Column("project_id", "user_id").Where("id = ?", made[1].ID).Scan(t.Context(), &owners))
		require.Equal(t, []struct{ ProjectID, UserID string }{{project, user}}, owners)
		c.settle()
		require.NotEqual(t, c.server(made[1].ID).Host, c.server(made[2].ID).Host)
		for _, s := range made[1:] {
			require.Equal(t, compute.Active, c.server(s.ID).VMState)
		}
		require.Equal(t, int64(2*512), c.used())
	})
}

// Whoever of them are deleted at the same time, the rest are placed.
func TestSeveralOfOneRequestAreDeletedAtOnce(t *testing.T) {
	clock := newClock()
	storetest.Each(t, clock, migrations(), func(t *testing.T, db *store.DB) {
		c := newCloudOn(t, db, clock, 3, nil)
		made := c.together(6, compute.BootRequest{})
		var wg sync.WaitGroup
		errs := make([]error, 5)
		for i := range errs {
			wg.Go(func() { errs[i] = c.service.DeleteServer(c.user(), made[i].ID, false) })
		}
		wg.Wait()
		require.NoError(t, errors.Join(errs...))
		c.settle()
		require.Equal(t, compute.Active, c.server(made[5].ID).VMState)
		require.Equal(t, int64(512), c.used())
	})
}

// A server that cannot be placed for a reason of its own ends in error by itself.
func TestTheFirstOfSeveralEndsInError(t *testing.T) {
	c := newCloud(t, 3, nil)
	made := c.together(3, c.apart())
	p, err := c.claims.CreateProvider(t.Context(), sqlstore.Provider{Name: "shared"})
	require.NoError(t, err)
	_, err = c.claims.SetInventories(t.Context(), p.UUID, &p.Generation, []sqlstore.Inventory{{Class: "DISK_GB", Total: 10, MinUnit: 1, MaxUnit: 10, StepSize: 1, Ratio: 1}})
	require.NoError(t, err)
	require.NoError(t, c.claims.SetAllocations(t.Context(), []sqlstore.AllocationSpec{{
		Consumer: sqlstore.Consumer{ID: made[0].ID, ProjectID: project, UserID: user, Type: "INSTANCE"},
		Of:       map[string]scheduler.Resources{p.UUID: {"DISK_GB": 1}},
	}}))
	c.settle()
	first := c.server(made[0].ID)
	require.Equal(t, compute.Errored, first.VMState)
	require.Contains(t, first.Fault.Message, "uses resources that are not a host's")
	for _, s := range made[1:] {
		require.Equal(t, compute.Active, c.server(s.ID).VMState)
	}
	require.Equal(t, int64(2*512), c.used())
}

// What keeps the first from a decision would keep the others, too: none waits
// for each of them to fail as often.
func TestTheFirstOfSeveralGivesUpForAll(t *testing.T) {
	broken := &brokenClaims{}
	c := newCloud(t, 3, func(cfg *compute.Config) {
		broken.Claims = cfg.Claims
		cfg.Claims = broken
	})
	broken.err = errors.New("the scheduler is out of order")
	made := c.together(3, c.apart())
	for range 12 {
		c.pass(time.Minute)
	}
	require.Equal(t, 10, broken.asked)
	broken.err = nil
	for _, s := range made {
		s = c.server(s.ID)
		require.Equal(t, compute.Errored, s.VMState)
		require.Equal(t, "Build of the instances of request "+s.ReservationID+" aborted: the scheduler is out of order", s.Fault.Message)
		actions, _, err := c.service.ListActions(c.user(), s.ID, compute.ActionFilter{}, page())
		require.NoError(t, err)
		require.Equal(t, "Error", *actions[0].Message)
		require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	}
	c.settle()
	c.empty()
}

// brokenClaims is claims whose decisions fail.
type brokenClaims struct {
	compute.Claims
	err   error
	asked int
}

func (b *brokenClaims) ScheduleTogether(ctx context.Context, req scheduler.Request, consumers []sqlstore.Consumer, o sqlstore.Options,
	commit func(ctx context.Context, tx *store.Tx, hosts []scheduler.HostRef) error,
) (scheduler.Decision, error) {
	if b.asked++; b.err != nil {
		return scheduler.Decision{}, b.err
	}
	return b.Claims.ScheduleTogether(ctx, req, consumers, o, commit)
}

// A controller that dies when it has decided, or failed to, has woken the others.
func TestACrashAfterTheDecisionLeavesNobodyWaiting(t *testing.T) {
	for name, hosts := range map[string]int{"with room": 3, "without": 2} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			storetest.Each(t, clock, migrations(), func(t *testing.T, db *store.DB) {
				c := newCloudOn(t, db, clock, hosts, nil)
				made := c.together(3, c.apart())
				point := "compute after schedule" // the commit is done, nothing else is
				if hosts < 3 {
					point = "after compute.server"
				}
				c.crash = func(at string) {
					if at == point {
						panic(reconcile.Crash{At: at})
					}
				}
				require.PanicsWithValue(t, reconcile.Crash{At: point}, c.settle)
				c.crash = nil
				c.startController()
				for _, s := range made[1:] {
					require.NotEqual(t, compute.TaskScheduling, c.server(s.ID).TaskState)
				}
				c.settle() // all but the one whose lease the dead process had
				want := compute.Active
				if hosts < 3 {
					want = compute.Errored
				}
				for _, s := range made[1:] {
					require.Equal(t, want, c.server(s.ID).VMState)
				}
				c.pass(time.Minute)
				require.Equal(t, want, c.server(made[0].ID).VMState)
				require.Zero(t, c.waitingWork())
			})
		})
	}
}

// A decision for many servers asks the database no more often than one for few on
// as many hosts.
func TestADecisionForSeveralTakesAConstantNumberOfQueries(t *testing.T) {
	for _, room := range []bool{true, false} {
		var before int64
		for _, n := range []int{3, 7} {
			c := newCloud(t, 3, nil)
			req := compute.BootRequest{Name: "many", ImageID: c.images.id, MinCount: n, FlavorID: c.flavor(1, 64, 1)}
			if !room {
				req.FlavorID = c.flavor(1, 64, 600)
				req.MinCount++ // more than fit
			}
			ctx, booting := store.CountQueries(c.user())
			_, err := c.service.Boot(ctx, req)
			require.NoError(t, err)
			ctx, deciding := store.CountQueries(t.Context())
			ran, err := c.queue.Step(ctx)
			require.NoError(t, err)
			require.True(t, ran)
			sum := booting.Load() + deciding.Load()
			require.Greater(t, deciding.Load(), int64(10))
			if before > 0 {
				require.Equal(t, before, sum, "%d servers, room: %t", n, room)
			}
			before = sum
		}
	}
}
