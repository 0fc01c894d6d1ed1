package network

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

// maxFixedIPs bounds the addresses of a port.
const maxFixedIPs = 16

// allocate gives the port the addresses wanted, or without wants one of each
// family, and writes them down after the addresses that it has.
func (s *Service) allocate(ctx context.Context, tx *store.Tx, p *Port, subnets []Subnet, wants *[]FixedIP) error {
	var got []FixedIP
	var err error
	if wants == nil {
		got, err = pickAny(ctx, tx, p, subnets)
	} else {
		if len(*wants) > maxFixedIPs {
			return invalidInput("fixed_ips", "Exceeded maximum amount of fixed ips per port")
		}
		for _, w := range *wants {
			var a FixedIP
			if a, err = pick(ctx, tx, p, subnets, w); err != nil {
				break
			}
			if slices.Contains(got, a) {
				return badAttribute("fixed_ips", "Duplicate IP address '%s'", a.IP)
			}
			got = append(got, a)
		}
	}
	if err != nil || len(got) == 0 {
		return err
	}
	rows := make([]allocationRow, len(got))
	for i, a := range got {
		rows[i] = allocationRow{SubnetID: a.SubnetID, Addr: addrKey(a.IP), IP: a.IP, PortID: p.ID, NetworkID: p.NetworkID, Ordinal: len(p.FixedIPs) + i}
	}
	if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
		if store.UniqueViolation(err) {
			return addressTaken(got[0])
		}
		return err
	}
	p.FixedIPs = append(p.FixedIPs, got...)
	return nil
}

func addressTaken(a FixedIP) error {
	return conflict("IpAddressAlreadyAllocated", "IP address %s already allocated in subnet %s", a.IP, a.SubnetID)
}

func noMoreAddresses(networkID string) error {
	return conflict("IpAddressGenerationFailure", "No more IP addresses available on network %s.", networkID)
}

// pickAny takes the lowest free address of the first subnet of each family that
// has one, and an address on every subnet where ports make their own.
func pickAny(ctx context.Context, tx *store.Tx, p *Port, subnets []Subnet) ([]FixedIP, error) {
	var got []FixedIP
	for _, version := range []int{4, 6} {
		tried, found := false, false
		for _, sub := range subnets {
			switch {
			case sub.IPVersion != version:
			case sub.auto():
				a, err := eui64(sub.CIDR, p.MAC)
				if err != nil {
					return nil, err
				}
				got = append(got, FixedIP{sub.ID, a})
			case !found:
				tried = true
				a, ok, err := takeLowest(ctx, tx, sub.ID)
				if err != nil {
					return nil, err
				}
				if found = ok; ok {
					got = append(got, FixedIP{sub.ID, a})
				}
			}
		}
		if tried && !found {
			return nil, noMoreAddresses(p.NetworkID)
		}
	}
	return got, nil
}

// pick takes the address wanted, or one of the subnet wanted.
func pick(ctx context.Context, tx *store.Tx, p *Port, subnets []Subnet, want FixedIP) (FixedIP, error) {
	var sub Subnet
	switch {
	case want.SubnetID != "":
		i := slices.IndexFunc(subnets, func(s Subnet) bool { return s.ID == want.SubnetID })
		if i < 0 {
			if n, err := tx.NewSelect().Table("network_subnets").Where("id = ?", want.SubnetID).Count(ctx); err != nil || n == 0 {
				return want, cmp.Or(err, subnetNotFound(want.SubnetID))
			}
			return want, invalidInput("fixed_ips", "Failed to create port on network %s, because fixed_ips included invalid subnet %s", p.NetworkID, want.SubnetID)
		}
		sub = subnets[i]
		if want.IP.IsValid() && !usable(sub, want.IP) {
			return want, invalid("InvalidIpForSubnet", "IP address %s is not a valid IP for the specified subnet.", want.IP)
		}
	case want.IP.IsValid():
		i := slices.IndexFunc(subnets, func(s Subnet) bool { return usable(s, want.IP) })
		if i < 0 {
			return want, invalid("InvalidIpForNetwork", "IP address %s is not a valid IP for any of the subnets on the specified network.", want.IP)
		}
		sub = subnets[i]
	default:
		return want, invalidInput("fixed_ips", "IP allocation requires subnet_id or ip_address")
	}
	if sub.auto() {
		a, err := eui64(sub.CIDR, p.MAC)
		if err != nil {
			return want, err
		}
		if want.IP.IsValid() && want.IP != a && p.DeviceOwner != OwnerRouterInterface {
			return want, invalidInput("fixed_ips", "IPv6 address %s can not be directly assigned to a port on subnet %s as the subnet is configured for automatic addresses", want.IP, sub.ID)
		}
		if want.IP.IsValid() {
			a = want.IP
		}
		return FixedIP{sub.ID, a}, addressFree(ctx, tx, FixedIP{sub.ID, a})
	}
	if !want.IP.IsValid() {
		a, ok, err := takeLowest(ctx, tx, sub.ID)
		if err == nil && !ok {
			err = noMoreAddresses(p.NetworkID)
		}
		return FixedIP{sub.ID, a}, err
	}
	got := FixedIP{sub.ID, want.IP}
	if err := addressFree(ctx, tx, got); err != nil {
		return got, err
	}
	return got, takeGiven(ctx, tx, sub.ID, want.IP)
}

// addressFree refuses an address that a port has.
func addressFree(ctx context.Context, tx *store.Tx, a FixedIP) error {
	n, err := tx.NewSelect().Table("network_allocations").Where("subnet_id = ? AND addr = ?", a.SubnetID, addrKey(a.IP)).Count(ctx)
	if err == nil && n > 0 {
		err = addressTaken(a)
	}
	return err
}

// usable reports whether a port can have the address on the subnet.
func usable(s Subnet, a netip.Addr) bool {
	if a.Zone() != "" || !s.CIDR.Contains(a) {
		return false
	}
	if a.Is4() && s.CIDR.Bits() < 31 {
		return a != s.CIDR.Addr() && a != lastAddr(s.CIDR)
	}
	// The router anycast address is its router's only.
	return a.Is4() || s.CIDR.Bits() >= 127 || a != s.CIDR.Addr() || a == s.Gateway
}

// eui64 is the address that a card makes for itself on a /64, RFC 4291.
func eui64(cidr netip.Prefix, mac string) (netip.Addr, error) {
	m, err := net.ParseMAC(mac)
	if err != nil || len(m) != 6 {
		return netip.Addr{}, badAttribute("mac_address", "'%s' is not a valid MAC address", mac)
	}
	b := cidr.Addr().As16()
	copy(b[8:], []byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]})
	return netip.AddrFrom16(b), nil
}

// release frees addresses.
func (s *Service) release(ctx context.Context, tx *store.Tx, addresses []FixedIP) error {
	if len(addresses) == 0 {
		return nil
	}
	ids := make([]string, len(addresses))
	for i, a := range addresses {
		ids[i] = a.SubnetID
	}
	subnets, err := scanSubnets(ctx, tx.NewSelect().Where("subnet.id IN (?)", bun.List(ids)))
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if _, err := tx.NewRaw("DELETE FROM network_allocations WHERE subnet_id = ? AND addr = ?", a.SubnetID, addrKey(a.IP)).Exec(ctx); err != nil {
			return err
		}
		i := slices.IndexFunc(subnets, func(s Subnet) bool { return s.ID == a.SubnetID })
		if i < 0 || subnets[i].auto() {
			continue
		}
		if err := giveBack(ctx, tx, a.SubnetID, subnets[i].Pools, a.IP); err != nil {
			return err
		}
	}
	return nil
}

// readdress gives the port the addresses wanted, keeping those it has already.
func (s *Service) readdress(ctx context.Context, tx *store.Tx, p *Port, subnets []Subnet, wants []FixedIP) error {
	if len(wants) > maxFixedIPs {
		return invalidInput("fixed_ips", "Exceeded maximum amount of fixed ips per port")
	}
	left := slices.Clone(p.FixedIPs)
	var kept []FixedIP
	var missing []FixedIP
	// Those named by address first, so that a bare subnet does not take them.
	keep := func(match func(FixedIP) bool) bool {
		i := slices.IndexFunc(left, match)
		if i >= 0 {
			kept = append(kept, left[i])
			left = slices.Delete(left, i, i+1)
		}
		return i >= 0
	}
	var bare []FixedIP
	for _, w := range wants {
		if !w.IP.IsValid() {
			bare = append(bare, w)
			continue
		}
		if !keep(func(a FixedIP) bool { return a.IP == w.IP && (w.SubnetID == "" || w.SubnetID == a.SubnetID) }) {
			missing = append(missing, w)
		}
	}
	for _, w := range bare {
		if !keep(func(a FixedIP) bool { return a.SubnetID == w.SubnetID }) {
			missing = append(missing, w)
		}
	}
	if err := s.release(ctx, tx, left); err != nil {
		return err
	}
	if len(left) > 0 {
		if err := s.detachFloatingIPs(ctx, tx, p.ID, left); err != nil {
			return err
		}
	}
	p.FixedIPs = kept
	for i, a := range kept {
		if _, err := tx.NewRaw("UPDATE network_allocations SET ordinal = ? WHERE subnet_id = ? AND addr = ?", i, a.SubnetID, addrKey(a.IP)).Exec(ctx); err != nil {
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return s.allocate(ctx, tx, p, subnets, &missing)
}
