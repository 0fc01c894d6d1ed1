package network

import (
	"context"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// vlanMax is the highest VLAN id.
const vlanMax = 4094

// segmentMTU is what a network of a type can carry.
func (s *Service) segmentMTU(networkType string) int {
	if networkType == TypeVXLAN {
		return s.cfg.MTU - 50
	}
	return s.cfg.MTU
}

// takeSegment gives the network the segment asked for, or a free one. The
// table's primary key keeps two networks from getting the same.
func (s *Service) takeSegment(ctx context.Context, tx *store.Tx, n *Network, p *Provider) error {
	if p == nil {
		p = &Provider{}
	}
	n.NetworkType, n.PhysicalNetwork = p.Type, p.PhysicalNetwork
	if n.NetworkType == "" {
		if p.PhysicalNetwork != "" || p.SegmentationID != nil {
			return invalidInput("provider:network_type", "network_type required")
		}
		n.NetworkType = s.cfg.TenantNetworkType
	}
	if p.SegmentationID != nil {
		n.SegmentationID = *p.SegmentationID
	}
	switch n.NetworkType {
	case TypeLocal:
		if p.PhysicalNetwork != "" {
			return invalidInput("provider:physical_network", "physical_network prohibited for local provider network")
		}
		if p.SegmentationID != nil {
			return invalidInput("provider:segmentation_id", "segmentation_id prohibited for local provider network")
		}
		return nil
	case TypeFlat:
		return s.takeFlat(ctx, tx, n, p)
	case TypeVLAN:
		return s.takeVLAN(ctx, tx, n, p)
	case TypeVXLAN:
		return s.takeVXLAN(ctx, tx, n, p)
	}
	return invalidInput("provider:network_type", "network_type value '%s' not supported", n.NetworkType)
}

func (s *Service) takeFlat(ctx context.Context, tx *store.Tx, n *Network, p *Provider) error {
	if p.PhysicalNetwork == "" {
		return invalidInput("provider:physical_network", "physical_network required for flat provider network")
	}
	if p.SegmentationID != nil {
		return invalidInput("provider:segmentation_id", "segmentation_id prohibited for flat provider network")
	}
	if phys, ok := s.physical(p.PhysicalNetwork); !ok || !phys.Flat {
		return invalidInput("provider:physical_network", "physical_network '%s' unknown for flat provider network", p.PhysicalNetwork)
	}
	taken, err := s.insertSegment(ctx, tx, n)
	if taken {
		return conflict("FlatNetworkInUse", "Unable to create the flat network. Physical network %s is in use.", n.PhysicalNetwork)
	}
	return err
}

func (s *Service) takeVLAN(ctx context.Context, tx *store.Tx, n *Network, p *Provider) error {
	if p.SegmentationID != nil {
		if p.PhysicalNetwork == "" {
			return invalidInput("provider:physical_network", "segmentation_id requires physical_network for VLAN provider network")
		}
		if *p.SegmentationID < 1 || *p.SegmentationID > vlanMax {
			return invalidInput("provider:segmentation_id", "segmentation_id out of range (1 through %d)", vlanMax)
		}
		if _, ok := s.physical(p.PhysicalNetwork); !ok {
			return invalidInput("provider:physical_network", "physical_network '%s' unknown for VLAN provider network", p.PhysicalNetwork)
		}
		taken, err := s.insertSegment(ctx, tx, n)
		if taken {
			return conflict("VlanIdInUse", "Unable to create the network. The VLAN %d on physical network %s is in use.", n.SegmentationID, n.PhysicalNetwork)
		}
		return err
	}
	if p.PhysicalNetwork != "" {
		if _, ok := s.physical(p.PhysicalNetwork); !ok {
			return invalidInput("provider:physical_network", "physical_network '%s' unknown for VLAN provider network", p.PhysicalNetwork)
		}
	}
	for _, phys := range s.cfg.PhysicalNetworks {
		if phys.VLANs.Min == 0 || p.PhysicalNetwork != "" && p.PhysicalNetwork != phys.Name {
			continue
		}
		n.PhysicalNetwork = phys.Name
		id, ok, err := lowestSegment(ctx, tx, TypeVLAN, phys.Name, phys.VLANs)
		if err != nil {
			return err
		}
		if ok {
			n.SegmentationID = id
			taken, err := s.insertSegment(ctx, tx, n)
			if taken {
				return noNetworkAvailable()
			}
			return err
		}
	}
	return noNetworkAvailable()
}

func (s *Service) takeVXLAN(ctx context.Context, tx *store.Tx, n *Network, p *Provider) error {
	if p.PhysicalNetwork != "" {
		return invalidInput("provider:physical_network", "provider:physical_network specified for vxlan network")
	}
	if p.SegmentationID == nil {
		id, ok, err := lowestSegment(ctx, tx, TypeVXLAN, "", s.cfg.VXLAN)
		if err != nil {
			return err
		}
		if !ok {
			return noNetworkAvailable()
		}
		n.SegmentationID = id
		taken, err := s.insertSegment(ctx, tx, n)
		if taken {
			return noNetworkAvailable()
		}
		return err
	}
	if n.SegmentationID < 1 || n.SegmentationID > 1<<24-1 {
		return invalidInput("provider:segmentation_id", "segmentation_id out of range (1 through %d)", 1<<24-1)
	}
	taken, err := s.insertSegment(ctx, tx, n)
	if taken {
		return conflict("TunnelIdInUse", "Unable to create the network. The tunnel ID %d is in use.", n.SegmentationID)
	}
	return err
}

func (s *Service) physical(name string) (PhysicalNetwork, bool) {
	for _, p := range s.cfg.PhysicalNetworks {
		if p.Name == name {
			return p, true
		}
	}
	return PhysicalNetwork{}, false
}

// lowestSegment returns an id of the range that no network has: the one after
// the highest in use, or where that is the end, the lowest gap.
func lowestSegment(ctx context.Context, tx *store.Tx, kind, physical string, r Range) (int64, bool, error) {
	var next []int64
	err := tx.NewRaw(`SELECT COALESCE(MAX(segmentation_id), ?) + 1 FROM network_segments
		WHERE network_type = ? AND physical_network = ? AND segmentation_id >= ? AND segmentation_id <= ?`,
		r.Min-1, kind, physical, r.Min, r.Max).Scan(ctx, &next)
	if err != nil {
		return 0, false, err
	}
	if next[0] <= r.Max {
		return next[0], true, nil
	}
	var used []int64
	err = tx.NewRaw(`SELECT segmentation_id FROM network_segments
		WHERE network_type = ? AND physical_network = ? AND segmentation_id >= ? AND segmentation_id <= ? ORDER BY segmentation_id`,
		kind, physical, r.Min, r.Max).Scan(ctx, &used)
	want := r.Min
	for _, u := range used {
		if u != want {
			break
		}
		want++
	}
	return want, want <= r.Max, err
}

// insertSegment writes the network's segment down, unless another has it.
func (s *Service) insertSegment(ctx context.Context, tx *store.Tx, n *Network) (taken bool, err error) {
	res, err := tx.NewRaw(`INSERT INTO network_segments (network_type, physical_network, segmentation_id, network_id)
		VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, n.NetworkType, n.PhysicalNetwork, n.SegmentationID, n.ID).Exec(ctx)
	if err != nil {
		return false, err
	}
	rows, err := res.RowsAffected()
	return rows == 0, err
}

// moveSegment changes a network's segment, which is only done while it has no
// ports.
func (s *Service) moveSegment(ctx context.Context, tx *store.Tx, n *Network, p Provider) error {
	same := (p.Type == "" || p.Type == n.NetworkType) && (p.PhysicalNetwork == "" || p.PhysicalNetwork == n.PhysicalNetwork) &&
		(p.SegmentationID == nil || *p.SegmentationID == n.SegmentationID)
	if same {
		return nil
	}
	if p.Type != "" && p.Type != n.NetworkType || p.PhysicalNetwork != "" && p.PhysicalNetwork != n.PhysicalNetwork {
		return invalidInput("provider:network_type", "Plugin does not support updating the following provider network attributes: provider:network_type, provider:physical_network")
	}
	if n.NetworkType != TypeVLAN {
		return invalidInput("provider:segmentation_id", "Only VLAN type networks can be updated.")
	}
	ports, err := tx.NewSelect().Table("network_ports").Where("network_id = ? AND host <> ''", n.ID).Count(ctx)
	if err != nil {
		return err
	}
	if ports > 0 {
		return invalidInput("provider:segmentation_id", "Provider network attributes cannot be updated while ports of network %s are bound", n.ID)
	}
	if _, err := tx.NewRaw("DELETE FROM network_segments WHERE network_id = ?", n.ID).Exec(ctx); err != nil {
		return err
	}
	p.Type, p.PhysicalNetwork = n.NetworkType, n.PhysicalNetwork
	return s.takeSegment(ctx, tx, n, &p)
}

func noNetworkAvailable() error {
	return nephos.Errorf(nephos.ErrUnavailable, "Unable to create the network. No tenant network is available for allocation.").WithReason("NoNetworkAvailable")
}
