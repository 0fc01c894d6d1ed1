package network

import (
	"context"
	"encoding/hex"
	"net/netip"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

// Pool is a range of addresses that ports may get, both ends included.
type Pool struct{ Start, End netip.Addr }

func (p Pool) contains(a netip.Addr) bool { return !a.Less(p.Start) && !p.End.Less(a) }

// String writes the pool as "start-end".
func (p Pool) String() string { return p.Start.String() + "-" + p.End.String() }

// freeRow is a range of addresses of a subnet's pools that nobody has. The rows
// of a subnet do not overlap, and no two of them touch within one pool.
type freeRow struct {
	bun.BaseModel `bun:"table:network_free,alias:free"`

	SubnetID string `bun:",pk"`
	First    string `bun:",pk"`
	Last     string
}

// allocationRow says that a port has an address.
type allocationRow struct {
	bun.BaseModel `bun:"table:network_allocations,alias:alloc"`

	SubnetID  string `bun:",pk"`
	Addr      string `bun:",pk"`
	IP        netip.Addr
	PortID    string
	NetworkID string
	Ordinal   int
}

// addrKey writes an address so that text sorts as the addresses do.
func addrKey(a netip.Addr) string {
	b := a.AsSlice()
	return hex.EncodeToString(b)
}

func addrOf(key string) netip.Addr {
	b, err := hex.DecodeString(key)
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// takeLowest takes the lowest free address of the subnet's pools; false when
// there is none.
func takeLowest(ctx context.Context, tx *store.Tx, subnetID string) (netip.Addr, bool, error) {
	var r freeRow
	ok, err := one(ctx, tx.NewSelect().Model(&r).Where("free.subnet_id = ?", subnetID).OrderExpr("free.first"))
	if err != nil || !ok {
		return netip.Addr{}, false, err
	}
	a := addrOf(r.First)
	return a, true, cutFirst(ctx, tx, r, a)
}

// cutFirst takes the first address off a range.
func cutFirst(ctx context.Context, tx *store.Tx, r freeRow, a netip.Addr) error {
	if r.First == r.Last {
		_, err := tx.NewRaw("DELETE FROM network_free WHERE subnet_id = ? AND first = ?", r.SubnetID, r.First).Exec(ctx)
		return err
	}
	_, err := tx.NewRaw("UPDATE network_free SET first = ? WHERE subnet_id = ? AND first = ?", addrKey(a.Next()), r.SubnetID, r.First).Exec(ctx)
	return err
}

// takeGiven takes a certain address out of the free ranges, if it is in one.
// Whether somebody has it already is for the allocations to say.
func takeGiven(ctx context.Context, tx *store.Tx, subnetID string, a netip.Addr) error {
	k := addrKey(a)
	var r freeRow
	ok, err := one(ctx, tx.NewSelect().Model(&r).Where("free.subnet_id = ? AND free.first <= ?", subnetID, k).OrderExpr("free.first DESC"))
	if err != nil || !ok || r.Last < k {
		return err
	}
	if r.First == k {
		return cutFirst(ctx, tx, r, a)
	}
	if _, err := tx.NewRaw("UPDATE network_free SET last = ? WHERE subnet_id = ? AND first = ?", addrKey(a.Prev()), subnetID, r.First).Exec(ctx); err != nil {
		return err
	}
	if r.Last == k {
		return nil
	}
	_, err = tx.NewInsert().Model(&freeRow{SubnetID: subnetID, First: addrKey(a.Next()), Last: r.Last}).Exec(ctx)
	return err
}

// giveBack returns an address to the pool that it is in, if it is in one,
// joining it to the free ranges beside it.
func giveBack(ctx context.Context, tx *store.Tx, subnetID string, pools []Pool, a netip.Addr) error {
	i := slices.IndexFunc(pools, func(p Pool) bool { return p.contains(a) })
	if i < 0 {
		return nil
	}
	pool, k := pools[i], addrKey(a)
	var near []freeRow
	keys := []string{k}
	if a != pool.Start {
		keys = append(keys, addrKey(a.Prev()))
	}
	next := ""
	if a != pool.End {
		next = addrKey(a.Next())
	}
	if err := tx.NewSelect().Model(&near).Where("free.subnet_id = ? AND (free.last IN (?) OR free.first = ?)", subnetID, bun.List(keys[1:]), next).Scan(ctx); err != nil {
		return err
	}
	r := freeRow{SubnetID: subnetID, First: k, Last: k}
	for _, n := range near {
		if n.First == next {
			r.Last = n.Last
		} else {
			r.First = n.First
		}
		if _, err := tx.NewRaw("DELETE FROM network_free WHERE subnet_id = ? AND first = ?", subnetID, n.First).Exec(ctx); err != nil {
			return err
		}
	}
	_, err := tx.NewInsert().Model(&r).Exec(ctx)
	return err
}

// resetFree writes the free ranges of a subnet's pools anew.
func resetFree(ctx context.Context, tx *store.Tx, subnetID string, pools []Pool) error {
	var used []string
	if err := tx.NewSelect().Table("network_allocations").Column("addr").Where("subnet_id = ?", subnetID).OrderExpr("addr").Scan(ctx, &used); err != nil {
		return err
	}
	if _, err := tx.NewRaw("DELETE FROM network_free WHERE subnet_id = ?", subnetID).Exec(ctx); err != nil {
		return err
	}
	rows := freeRanges(subnetID, pools, used)
	if len(rows) == 0 {
		return nil
	}
	_, err := tx.NewInsert().Model(&rows).Exec(ctx)
	return err
}

// freeRanges is the pools without the addresses in use, which are sorted.
func freeRanges(subnetID string, pools []Pool, used []string) []freeRow {
	var rows []freeRow
	for _, p := range pools {
		first, end := addrKey(p.Start), addrKey(p.End)
		i, _ := slices.BinarySearch(used, first)
		gone := false
		for ; i < len(used) && used[i] <= end; i++ {
			at := addrOf(used[i])
			if used[i] > first {
				rows = append(rows, freeRow{SubnetID: subnetID, First: first, Last: addrKey(at.Prev())})
			}
			if used[i] == end {
				gone = true
				break
			}
			first = addrKey(at.Next())
		}
		if !gone {
			rows = append(rows, freeRow{SubnetID: subnetID, First: first, Last: end})
		}
	}
	return rows
}
