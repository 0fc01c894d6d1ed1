package cloud

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/identity"
	networking "github.com/nephos-cloud/nephos/network"
)

// bootstrap makes what a new cloud begins with. Done again it only brings the
// catalog up to date.
func (c *Cloud) bootstrap(ctx context.Context) (err error) {
	c.Bootstrapped, err = c.Identity.Bootstrap(ctx, identity.BootstrapConfig{
		AdminPassword: c.cfg.AdminPassword, Generated: c.cfg.Generated, Region: c.cfg.Region, Catalog: c.catalog(),
	})
	if err != nil {
		return err
	}
	ctx = nephos.WithCaller(ctx, c.Admin())
	// Together, so that they share commits.
	var wg sync.WaitGroup
	var network, flavors error
	if c.cfg.External != nil {
		wg.Go(func() { network = c.makeExternal(ctx, *c.cfg.External) })
	}
	if c.cfg.Flavors {
		wg.Go(func() { flavors = c.makeFlavors(ctx) })
	}
	wg.Wait()
	return errors.Join(network, flavors)
}

// Admin is the cloud's first admin in the project admin, as a caller.
func (c *Cloud) Admin() nephos.Caller {
	return nephos.Caller{
		UserID: c.Bootstrapped.UserID, UserName: "admin", UserDomainID: c.Bootstrapped.DomainID, UserDomainName: "Default",
		ProjectID: c.Bootstrapped.ProjectID, ProjectName: "admin", ProjectDomainID: c.Bootstrapped.DomainID, ProjectDomainName: "Default",
		Roles: []string{"admin", "manager", "member", "reader"},
	}
}

func (c *Cloud) makeExternal(ctx context.Context, e External) error {
	found, _, err := c.Network.ListNetworks(ctx, networking.Filter{"router:external": {"true"}}, nephos.Page{Limit: 1})
	if err != nil || len(found) > 0 {
		return err
	}
	yes, no := true, false
	made, err := c.Network.CreateNetworks(ctx, []networking.NetworkSpec{{
		Name: e.Name, External: &yes, Provider: &networking.Provider{Type: "flat", PhysicalNetwork: e.Physical},
	}})
	if err != nil {
		return err
	}
	_, err = c.Network.CreateSubnets(ctx, []networking.SubnetSpec{{
		NetworkID: made[0].ID, Name: e.Name, CIDR: e.CIDR, IPVersion: 4, DHCP: &no,
		Gateway: &e.Gateway, Pools: []networking.Pool{{Start: e.First, End: e.Last}},
	}})
	return err
}

// NewExternal describes an external network by this machine's address on it:
// the address is the gateway, and addresses from the tenth on are given out.
func NewExternal(name, physical string, host netip.Prefix) *External {
	cidr := host.Masked()
	first := cidr.Addr()
	for range 10 {
		first = first.Next()
	}
	last := cidr.Addr().As4()
	for i := range 32 - cidr.Bits() {
		last[3-i/8] |= 1 << (i % 8)
	}
	return &External{
		Name: name, Physical: physical, CIDR: cidr, Gateway: host.Addr(), First: first, Last: netip.AddrFrom4(last).Prev(),
	}
}

// customary are the flavors that people expect to find.
var customary = []compute.FlavorSpec{
	{ID: "42", Name: "m1.nano", VCPUs: 1, MemoryMiB: 192, DiskGiB: 1},
	{ID: "1", Name: "m1.tiny", VCPUs: 1, MemoryMiB: 512, DiskGiB: 1},
	{ID: "2", Name: "m1.small", VCPUs: 1, MemoryMiB: 2048, DiskGiB: 20},
	{ID: "3", Name: "m1.medium", VCPUs: 2, MemoryMiB: 4096, DiskGiB: 40},
	{ID: "4", Name: "m1.large", VCPUs: 4, MemoryMiB: 8192, DiskGiB: 80},
	{ID: "5", Name: "m1.xlarge", VCPUs: 8, MemoryMiB: 16384, DiskGiB: 160},
}

func (c *Cloud) makeFlavors(ctx context.Context) error {
	found, _, err := c.Compute.ListFlavors(ctx, compute.FlavorFilter{}, nephos.Page{})
	if err != nil || len(found) > 0 {
		return err
	}
	errs := make([]error, len(customary))
	var wg sync.WaitGroup
	for i, f := range customary {
		wg.Go(func() { _, errs[i] = c.Compute.CreateFlavor(ctx, f) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
