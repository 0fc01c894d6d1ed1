package compute_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func TestAServerGroupLivesAndDies(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		made, err := c.CreateGroup(c.user(), compute.GroupSpec{Name: "g", Policy: scheduler.AntiAffinity, MaxServerPerHost: ref(2)})
		require.NoError(t, err)
		require.Equal(t, project, made.ProjectID)
		require.Equal(t, user, made.UserID)
		require.Equal(t, []string{}, made.Members)
		got, err := c.Group(c.user(), made.ID)
		require.NoError(t, err)
		require.True(t, made.CreatedAt.Equal(got.CreatedAt))
		got.CreatedAt = made.CreatedAt // databases disagree about the name of UTC
		require.Equal(t, made, got)
		_, err = c.Group(c.admin(), made.ID)
		require.NoError(t, err)
		_, err = c.Group(c.stranger(), made.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		require.EqualError(t, err, "Instance group "+made.ID+" could not be found.")
		require.ErrorIs(t, c.DeleteGroup(c.stranger(), made.ID), nephos.ErrNotFound)
		require.ErrorIs(t, c.DeleteGroup(c.as("u", project, "reader"), made.ID), nephos.ErrForbidden)
		require.NoError(t, c.DeleteGroup(c.user(), made.ID))
		require.ErrorIs(t, c.DeleteGroup(c.user(), made.ID), nephos.ErrNotFound)
	})
}

func TestServerGroupsAreListed(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		names := func(f compute.GroupFilter, p nephos.Page, admin bool) string {
			ctx := c.user()
			if admin {
				ctx = c.admin()
			}
			ctx, queries := store.CountQueries(ctx)
			list, _, err := c.ListGroups(ctx, f, p)
			require.NoError(t, err)
			require.LessOrEqual(t, queries.Load(), int64(2))
			out := ""
			for _, g := range list {
				out += g.Name
			}
			return out
		}
		for _, n := range []string{"c", "a", "b"} {
			_, err := c.CreateGroup(c.user(), compute.GroupSpec{Name: n, Policy: scheduler.Affinity})
			require.NoError(t, err)
		}
		_, err := c.CreateGroup(c.stranger(), compute.GroupSpec{Name: "x", Policy: scheduler.SoftAffinity})
		require.NoError(t, err)
		require.Equal(t, "cab", names(compute.GroupFilter{}, nephos.Page{}, false))
		require.Equal(t, "ab", names(compute.GroupFilter{Offset: 1}, nephos.Page{}, false))
		require.Equal(t, "a", names(compute.GroupFilter{Offset: 1}, nephos.Page{Limit: 1}, false))
		require.Equal(t, "cab", names(compute.GroupFilter{AllProjects: true}, nephos.Page{}, false))
		require.Equal(t, "cabx", names(compute.GroupFilter{AllProjects: true}, nephos.Page{}, true))
		require.Equal(t, "", names(compute.GroupFilter{}, nephos.Page{}, true))
	})
}

func TestBadServerGroups(t *testing.T) {
	c := sqliteCatalog(t, nil)
	for _, spec := range []compute.GroupSpec{
		{Policy: scheduler.Affinity},
		{Name: "g", Policy: "friendship"},
		{Name: "g"},
		{Name: "g", Policy: scheduler.Affinity, MaxServerPerHost: ref(1)},
		{Name: "g", Policy: scheduler.AntiAffinity, MaxServerPerHost: ref(0)},
	} {
		_, err := c.CreateGroup(c.user(), spec)
		require.ErrorIs(t, err, nephos.ErrInvalid, "%+v", spec)
	}
}

// Eight at once want the last two places.
func TestTheServerGroupQuotaHoldsInARace(t *testing.T) {
	clock := newClock()
	storetest.Each(t, clock, []store.Migrations{compute.Migrations()}, func(t *testing.T, db *store.DB) {
		c := newCatalog(t, db, clock, func(cfg *compute.Config) { cfg.Quotas = map[string]int{"server_groups": 2} })
		errs := make([]error, 8)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = c.CreateGroup(c.user(), compute.GroupSpec{Name: "g", Policy: scheduler.Affinity})
			})
		}
		wg.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
				continue
			}
			require.EqualError(t, err, "Quota exceeded, too many server groups.")
			require.ErrorIs(t, err, nephos.ErrQuota)
		}
		require.Equal(t, 2, made)
	})
}

func TestServersJoinGroups(t *testing.T) {
	c := newCloud(t, 2, func(cfg *compute.Config) { cfg.Quotas = map[string]int{"server_group_members": 2} })
	g, err := c.service.CreateGroup(c.user(), compute.GroupSpec{Name: "apart", Policy: scheduler.AntiAffinity})
	require.NoError(t, err)
	hints := map[string][]string{"group": {g.ID}}
	one := c.boot(compute.BootRequest{Hints: hints})
	two := c.boot(compute.BootRequest{Hints: hints})
	c.settle()
	require.NotEqual(t, c.server(one.ID).Host, c.server(two.ID).Host)
	g, err = c.service.Group(c.user(), g.ID)
	require.NoError(t, err)
	require.Equal(t, []string{one.ID, two.ID}, g.Members)

	_, err = c.service.Boot(c.user(), compute.BootRequest{Name: "x", ImageID: c.images.id, FlavorID: c.flavor(1, 1, 1), Hints: hints})
	require.ErrorIs(t, err, nephos.ErrQuota)
	require.EqualError(t, err, "Quota exceeded, too many servers in group")
	hints["group"][0] = "1c6a4a6e-0000-0000-0000-000000000000"
	_, err = c.service.Boot(c.user(), compute.BootRequest{Name: "x", ImageID: c.images.id, FlavorID: c.flavor(1, 1, 1), Hints: hints})
	require.EqualError(t, err, "Instance group 1c6a4a6e-0000-0000-0000-000000000000 could not be found.")

	require.NoError(t, c.service.DeleteGroup(c.user(), g.ID))
	require.Empty(t, c.server(one.ID).GroupID)
}
