package network

import (
	"context"
	"net/netip"

	"github.com/nephos-cloud/nephos"
)

// ExternalSpec describes the external network of a new cloud.
type ExternalSpec struct {
	Name            string // empty: public
	PhysicalNetwork string // flat on this one; empty: a network of the default type
	CIDR            netip.Prefix
	Gateway         *netip.Addr // nil: the first address
	Pools           []Pool      // nil: all but the gateway
}

// Bootstrap makes the cloud's external network, the default for those who name
// none, and its subnet, unless an external network of that name is there. The
// caller in the context must be an admin; the network is of their project.
func (s *Service) Bootstrap(ctx context.Context, spec ExternalSpec) (Network, error) {
	if spec.Name == "" {
		spec.Name = "public"
	}
	nets, _, err := s.ListNetworks(ctx, Filter{"name": {spec.Name}, "router:external": {"true"}}, nephos.Page{Limit: 1})
	if err != nil || len(nets) > 0 {
		if err == nil {
			return nets[0], s.bootstrapSubnet(ctx, nets[0], spec)
		}
		return Network{}, err
	}
	yes := true
	n := NetworkSpec{Name: spec.Name, External: &yes, IsDefault: &yes}
	if spec.PhysicalNetwork != "" {
		n.Provider = &Provider{Type: TypeFlat, PhysicalNetwork: spec.PhysicalNetwork}
	}
	nets, err = s.CreateNetworks(ctx, []NetworkSpec{n})
	if err != nil {
		return Network{}, err
	}
	return nets[0], s.bootstrapSubnet(ctx, nets[0], spec)
}

// bootstrapSubnet makes the external network's subnet unless it has one.
func (s *Service) bootstrapSubnet(ctx context.Context, n Network, spec ExternalSpec) error {
	if len(n.SubnetIDs) > 0 {
		return nil
	}
	version := 4
	if spec.CIDR.Addr().Is6() {
		version = 6
	}
	no := false
	_, err := s.CreateSubnets(ctx, []SubnetSpec{{
		NetworkID: n.ID, Name: spec.Name + "-subnet", IPVersion: version, CIDR: spec.CIDR, Gateway: spec.Gateway, Pools: spec.Pools, DHCP: &no,
	}})
	return err
}
