package compute_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

func TestQuotas(t *testing.T) {
	eachCatalog(t, func(t *testing.T, c catalog) {
		set, err := c.Quotas(c.user(), project, "", false)
		require.NoError(t, err)
		for name, limit := range map[string]int{
			"instances": 10, "cores": 20, "ram": 51200, "metadata_items": 128, "injected_files": 5, "injected_file_content_bytes": 10240,
			"injected_file_path_bytes": 255, "key_pairs": 100, "server_groups": 10, "server_group_members": 10,
			"fixed_ips": -1, "floating_ips": -1, "security_groups": -1, "security_group_rules": -1,
		} {
			require.Equal(t, limit, set[name].Limit, name)
		}
		set, err = c.UpdateQuotas(c.admin(), project, "", map[string]int{"instances": 3, "cores": -1}, false)
		require.NoError(t, err)
		require.Equal(t, 3, set["instances"].Limit)
		require.Equal(t, 51200, set["ram"].Limit)
		_, err = c.UpdateQuotaClass(c.admin(), "default", map[string]int{"instances": 7, "ram": 100})
		require.NoError(t, err)
		set, err = c.Quotas(c.user(), project, "", true)
		require.NoError(t, err)
		require.Equal(t, 3, set["instances"].Limit)
		require.Equal(t, -1, set["cores"].Limit)
		require.Equal(t, 100, set["ram"].Limit)
		set, err = c.DefaultQuotas(c.user(), project)
		require.NoError(t, err)
		require.Equal(t, 7, set["instances"].Limit)
		set, err = c.QuotaClass(c.admin(), "default")
		require.NoError(t, err)
		require.Equal(t, 7, set["instances"].Limit)
		set, err = c.QuotaClass(c.admin(), "other")
		require.NoError(t, err)
		require.Equal(t, 10, set["instances"].Limit)
		require.NoError(t, c.DeleteQuotas(c.admin(), project, ""))
		set, err = c.Quotas(c.user(), project, "", false)
		require.NoError(t, err)
		require.Equal(t, 7, set["instances"].Limit)

		_, err = c.UpdateQuotas(c.admin(), project, "somebody", map[string]int{"instances": 1}, false)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		for _, bad := range []map[string]int{{"instances": -2}, {"nosuch": 1}, {"ram": 1 << 31}} {
			_, err = c.UpdateQuotas(c.admin(), project, "", bad, false)
			require.ErrorIs(t, err, nephos.ErrInvalid)
		}
	})
}

// projects knows one project.
type projects struct{}

func (projects) ProjectExists(_ context.Context, id string) (bool, error) { return id == project, nil }

func TestQuotasAreOfProjectsThatExist(t *testing.T) {
	c := sqliteCatalog(t, func(cfg *compute.Config) { cfg.Projects = projects{} })
	_, err := c.Quotas(c.admin(), project, "", false)
	require.NoError(t, err)
	_, err = c.UpdateQuotas(c.admin(), "nosuch", "", nil, false)
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.EqualError(t, err, "Project ID nosuch is not a valid project.")
}

func TestBootsAreHeldAgainstTheQuota(t *testing.T) {
	c := newCloud(t, 2, nil)
	_, err := c.service.UpdateQuotas(c.admin(), project, "", map[string]int{"instances": 3, "cores": 4, "ram": -1}, false)
	require.NoError(t, err)
	small, large := c.flavor(1, 512, 1), c.flavor(3, 512, 1)
	boot := func(flavor string, lo, hi int) (int, error) {
		servers, err := c.service.Boot(c.user(), compute.BootRequest{Name: "s", ImageID: c.images.id, FlavorID: flavor, MinCount: lo, MaxCount: hi})
		return len(servers), err
	}
	n, err := boot(small, 1, 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = boot(large, 2, 2)
	require.ErrorIs(t, err, nephos.ErrQuota)
	require.EqualError(t, err, "Quota exceeded for cores: Requested 6, but already used 1 of 4 cores")
	_, err = boot(large, 4, 5)
	require.EqualError(t, err, "Quota exceeded for cores, instances: Requested 15, 4-5, but already used 1, 1 of 4, 3 cores, instances")
	n, err = boot(small, 1, 5)
	require.NoError(t, err)
	require.Equal(t, 2, n, "as many as fit")
	_, err = boot(small, 1, 1)
	require.EqualError(t, err, "Quota exceeded for instances: Requested 1, but already used 3 of 3 instances")

	set, err := c.service.Limits(c.user(), "")
	require.NoError(t, err)
	require.Equal(t, compute.Quota{Limit: 3, InUse: 3}, set["instances"])
	require.Equal(t, compute.Quota{Limit: 4, InUse: 3}, set["cores"])
	require.Equal(t, compute.Quota{Limit: -1, InUse: 1536}, set["ram"])
	set, err = c.service.Quotas(c.admin(), project, "somebody", true)
	require.NoError(t, err)
	require.Zero(t, set["instances"].InUse)

	_, err = c.service.UpdateQuotas(c.admin(), project, "", map[string]int{"cores": 2}, false)
	require.EqualError(t, err, "Quota limit 2 for cores must be greater than or equal to already used and reserved 3.")
	_, err = c.service.UpdateQuotas(c.admin(), project, "", map[string]int{"cores": 2}, true)
	require.NoError(t, err)
}

// Twelve at once want the last five places.
func TestTheServerQuotaHoldsInARace(t *testing.T) {
	clock := newClock()
	storetest.Each(t, clock, migrations(), func(t *testing.T, db *store.DB) {
		c := newCloudOn(t, db, clock, 1, func(cfg *compute.Config) { cfg.Quotas = map[string]int{"instances": 5, "cores": -1, "ram": -1} })
		req := compute.BootRequest{Name: "s", ImageID: c.images.id, FlavorID: c.flavor(1, 512, 1)}
		errs := make([]error, 12)
		var wg sync.WaitGroup
		for i := range errs {
			ctx := c.user()
			wg.Go(func() { _, errs[i] = c.service.Boot(ctx, req) })
		}
		wg.Wait()
		made := 0
		for _, err := range errs {
			if err == nil {
				made++
				continue
			}
			require.ErrorIs(t, err, nephos.ErrQuota)
		}
		require.Equal(t, 5, made)
	})
}

func TestUsage(t *testing.T) {
	c := newCloud(t, 1, nil)
	start := c.clock.Now()
	first := c.running()
	second := c.running()
	c.pass(30 * time.Minute)
	require.NoError(t, c.service.DeleteServer(c.user(), first.ID, false))
	c.settle()
	c.pass(30 * time.Minute)
	list, more, err := c.service.ListUsage(c.user(), compute.UsageFilter{ProjectID: project, Start: start, Stop: c.clock.Now()}, nephos.Page{})
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, list, 2)
	by := map[string]compute.ServerUsage{list[0].ServerID: list[0], list[1].ServerID: list[1]}
	require.InDelta(t, 0.5, by[first.ID].Hours, 0.01)
	require.Equal(t, "terminated", by[first.ID].State)
	require.InDelta(t, 1, by[second.ID].Hours, 0.01)
	require.Equal(t, "active", by[second.ID].State)
	require.Equal(t, 512, by[second.ID].MemoryMiB)

	page, more, err := c.service.ListUsage(c.admin(), compute.UsageFilter{Start: start, Stop: c.clock.Now()}, nephos.Page{Limit: 1})
	require.NoError(t, err)
	require.True(t, more)
	rest, more, err := c.service.ListUsage(c.admin(), compute.UsageFilter{Start: start, Stop: c.clock.Now()}, nephos.Page{Limit: 1, Marker: page[0].ServerID})
	require.NoError(t, err)
	require.False(t, more)
	require.NotEqual(t, page[0].ServerID, rest[0].ServerID)
	list, _, err = c.service.ListUsage(c.admin(), compute.UsageFilter{Start: start.Add(-2 * time.Hour), Stop: start.Add(-time.Hour)}, nephos.Page{})
	require.NoError(t, err)
	require.Empty(t, list)
	_, _, err = c.service.ListUsage(c.stranger(), compute.UsageFilter{ProjectID: project}, nephos.Page{})
	require.ErrorIs(t, err, nephos.ErrForbidden)
}
