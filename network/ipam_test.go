package network

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nephos-cloud/nephos/store"
)

// TestFreeAddressesAreExactlyThoseNotTaken drives the free ranges with random
// takes, returns and changes of pools, and compares them with a set.
func TestFreeAddressesAreExactlyThoseNotTaken(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(t.TempDir(), "ipam.db"), store.Options{NoSync: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.NoError(t, db.Migrate(ctx, Migrations()))
	base := netip.MustParseAddr("10.0.0.0")
	at := func(n int) netip.Addr {
		a := base
		for range n {
			a = a.Next()
		}
		return a
	}
	subnets := 0
	rapid.Check(t, func(rt *rapid.T) {
		subnets++
		id := "subnet-" + string(rune('a'+subnets%26)) + netip.AddrFrom4([4]byte{0, 0, byte(subnets >> 8), byte(subnets)}).String()
		pools := func() []Pool {
			cut := rapid.IntRange(4, 12).Draw(rt, "cut")
			return []Pool{{at(2), at(cut)}, {at(cut + rapid.IntRange(1, 3).Draw(rt, "gap")), at(18)}}
		}
		now := pools()
		taken := map[netip.Addr]bool{}
		lowest := func() (netip.Addr, bool) {
			for n := range 24 {
				for _, p := range now {
					if p.contains(at(n)) && !taken[at(n)] {
						return at(n), true
					}
				}
			}
			return netip.Addr{}, false
		}
		tx := func(f func(ctx context.Context, tx *store.Tx) error) {
			if err := db.Tx(ctx, f); err != nil {
				rt.Fatal(err)
			}
		}
		keep := func(ctx context.Context, tx *store.Tx, a netip.Addr) error {
			taken[a] = true
			_, err := tx.NewInsert().Model(&allocationRow{SubnetID: id, Addr: addrKey(a), IP: a, PortID: "p"}).Exec(ctx)
			return err
		}
		tx(func(ctx context.Context, tx *store.Tx) error { return resetFree(ctx, tx, id, now) })
		rt.Repeat(map[string]func(*rapid.T){
			"lowest": func(rt *rapid.T) {
				want, some := lowest()
				tx(func(ctx context.Context, tx *store.Tx) error {
					got, ok, err := takeLowest(ctx, tx, id)
					if err != nil || ok != some || ok && got != want {
						rt.Fatalf("took %s %v, want %s %v (%v)", got, ok, want, some, err)
					}
					if !ok {
						return nil
					}
					return keep(ctx, tx, got)
				})
			},
			"given": func(rt *rapid.T) {
				a := at(rapid.IntRange(0, 22).Draw(rt, "n"))
				if taken[a] {
					return
				}
				tx(func(ctx context.Context, tx *store.Tx) error {
					if err := takeGiven(ctx, tx, id, a); err != nil {
						return err
					}
					return keep(ctx, tx, a)
				})
			},
			"back": func(rt *rapid.T) {
				a := at(rapid.IntRange(0, 22).Draw(rt, "n"))
				if !taken[a] {
					return
				}
				delete(taken, a)
				tx(func(ctx context.Context, tx *store.Tx) error {
					if _, err := tx.NewRaw("DELETE FROM network_allocations WHERE subnet_id = ? AND addr = ?", id, addrKey(a)).Exec(ctx); err != nil {
						return err
					}
					return giveBack(ctx, tx, id, now, a)
				})
			},
			"pools": func(rt *rapid.T) {
				now = pools()
				tx(func(ctx context.Context, tx *store.Tx) error { return resetFree(ctx, tx, id, now) })
			},
			"": func(rt *rapid.T) {
				free := map[netip.Addr]bool{}
				var rows []freeRow
				if err := db.Reader().NewSelect().Model(&rows).Where("free.subnet_id = ?", id).Scan(ctx); err != nil {
					rt.Fatal(err)
				}
				for _, r := range rows {
					for a := addrOf(r.First); ; a = a.Next() {
						if free[a] {
							rt.Fatalf("%s is free twice", a)
						}
						free[a] = true
						if addrKey(a) >= r.Last {
							break
						}
					}
				}
				for n := range 24 {
					in := false
					for _, p := range now {
						in = in || p.contains(at(n))
					}
					if free[at(n)] != (in && !taken[at(n)]) {
						rt.Fatalf("%s: free %v, in a pool %v, taken %v", at(n), free[at(n)], in, taken[at(n)])
					}
				}
			},
		})
	})
}

func TestDefaultPools(t *testing.T) {
	for cidr, want := range map[string]string{
		"10.0.0.0/24": "10.0.0.2-10.0.0.254", "10.0.0.0/30": "10.0.0.2-10.0.0.2", "fd00::/64": "fd00::1-fd00::ffff:ffff:ffff:ffff",
	} {
		spec := SubnetSpec{CIDR: netip.MustParsePrefix(cidr), IPVersion: 4}
		if spec.CIDR.Addr().Is6() {
			spec.IPVersion = 6
		}
		require.NoError(t, checkSubnetSpec(&spec))
		require.Len(t, spec.Pools, 1)
		require.Equal(t, want, spec.Pools[0].String())
	}
	spec := SubnetSpec{CIDR: netip.MustParsePrefix("10.0.0.0/24"), IPVersion: 4, Gateway: &[]netip.Addr{netip.MustParseAddr("10.0.0.9")}[0]}
	require.NoError(t, checkSubnetSpec(&spec))
	require.Equal(t, []Pool{
		{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.8")}, {netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("10.0.0.254")},
	}, spec.Pools)
}

func FuzzRule(f *testing.F) {
	f.Add("ingress", "IPv4", "tcp", 1, 2, "10.0.0.0/8")
	f.Add("egress", "ipv6", "58", 1, 0, "::/0")
	f.Fuzz(func(t *testing.T, direction, ethertype, protocol string, lo, hi int, prefix string) {
		r, err := ruleOf(RuleSpec{Direction: direction, Ethertype: ethertype, Protocol: protocol, PortMin: &lo, PortMax: &hi, RemotePrefix: prefix})
		if err != nil {
			return
		}
		// What was accepted is accepted again as it was written down.
		again, err := ruleOf(RuleSpec{Direction: r.Direction, Ethertype: r.Ethertype, Protocol: r.Protocol, PortMin: &lo, PortMax: &hi, RemotePrefix: r.RemotePrefix})
		require.NoError(t, err)
		require.Equal(t, r.Sameness, again.Sameness)
	})
}
