package placement_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/allocationcandidates"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/allocations"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceclasses"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/traits"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/usages"
	"github.com/gophercloud/gophercloud/v2/pagination"
	"github.com/stretchr/testify/require"
)

func TestGophercloud(t *testing.T) {
	f := newFixture(t)
	c := &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: "admin", HTTPClient: *http.DefaultClient},
		Endpoint:       f.URL + "/", Type: "placement", Microversion: newest,
	}
	ctx := t.Context()
	p, err := resourceproviders.Create(ctx, c, resourceproviders.CreateOpts{Name: "one", UUID: rp1}).Extract()
	require.NoError(t, err)
	require.Equal(t, rp1, p.RootProviderUUID)
	p, err = resourceproviders.Get(ctx, c, rp1).Extract()
	require.NoError(t, err)
	inv, err := resourceproviders.UpdateInventories(ctx, c, rp1, resourceproviders.UpdateInventoriesOpts{
		ResourceProviderGeneration: p.Generation,
		Inventories:                map[string]resourceproviders.Inventory{"VCPU": {Total: 8, AllocationRatio: 2, MinUnit: 1, MaxUnit: 8, StepSize: 1}},
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, 8, inv.Inventories["VCPU"].Total)

	require.NoError(t, traits.Create(ctx, c, "CUSTOM_GOLD").ExtractErr())
	require.NoError(t, traits.Get(ctx, c, "CUSTOM_GOLD").ExtractErr())
	set, err := resourceproviders.UpdateTraits(ctx, c, rp1, resourceproviders.UpdateTraitsOpts{ResourceProviderGeneration: inv.ResourceProviderGeneration, Traits: []string{"CUSTOM_GOLD"}}).Extract()
	require.NoError(t, err)
	require.Equal(t, []string{"CUSTOM_GOLD"}, set.Traits)
	require.NoError(t, resourceclasses.Create(ctx, c, resourceclasses.CreateOpts{Name: "CUSTOM_FPGA"}).ExtractErr())
	classes := 0
	require.NoError(t, resourceclasses.List(c).EachPage(ctx, func(_ context.Context, page pagination.Page) (bool, error) {
		list, err := resourceclasses.ExtractResourceClasses(page)
		classes += len(list)
		return true, err
	}))
	require.Greater(t, classes, 20)

	page, err := allocationcandidates.List(c, allocationcandidates.ListOpts{Resources: "VCPU:2", Required: []string{"CUSTOM_GOLD"}}).AllPages(ctx)
	require.NoError(t, err)
	found, err := allocationcandidates.ExtractAllocationCandidates(page)
	require.NoError(t, err)
	require.Len(t, found.AllocationRequests, 1)

	kind := "INSTANCE"
	require.NoError(t, allocations.Update(ctx, c, consumer, allocations.UpdateOpts{
		Allocations: map[string]allocations.ProviderAllocationsOpts{rp1: {Resources: map[string]int{"VCPU": 2}}},
		ProjectID:   "p", UserID: "u", ConsumerType: kind,
	}).ExtractErr())
	got, err := allocations.Get(ctx, c, consumer).Extract()
	require.NoError(t, err)
	require.Equal(t, 2, got.Allocations[rp1].Resources["VCPU"])
	used, err := resourceproviders.GetUsages(ctx, c, rp1).Extract()
	require.NoError(t, err)
	require.Equal(t, 2, used.Usages["VCPU"])
	_, err = usages.Get(ctx, c, usages.GetOpts{ProjectID: "p"}).Extract()
	require.NoError(t, err)
	require.NoError(t, allocations.Delete(ctx, c, consumer).ExtractErr())
	require.NoError(t, resourceproviders.Delete(ctx, c, rp1).ExtractErr())
}
