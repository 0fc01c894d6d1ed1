package sqlstore

import (
	"context"
	_ "embed"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

// StandardClasses returns the resource classes that every OpenStack cloud has,
// in the order in which Placement lists them.
func StandardClasses() []string {
	return []string{
		"VCPU", "MEMORY_MB", "DISK_GB", "PCI_DEVICE", "SRIOV_NET_VF",
		"NUMA_SOCKET", "NUMA_CORE", "NUMA_THREAD", "NUMA_MEMORY_MB",
		"IPV4_ADDRESS", "VGPU", "VGPU_DISPLAY_HEAD",
		"NET_BW_EGR_KILOBIT_PER_SEC", "NET_BW_IGR_KILOBIT_PER_SEC",
		"PCPU", "MEM_ENCRYPTION_CONTEXT", "FPGA", "PGPU",
		"NET_PACKET_RATE_KILOPACKET_PER_SEC", "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC", "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
	}
}

//go:embed traits.txt
var traitNames string

// StandardTraits returns the names of the traits that every OpenStack cloud
// has, sorted.
func StandardTraits() []string { return strings.Fields(traitNames) }

// ensureClasses records the classes of inventories that are not standard.
func ensureClasses(ctx context.Context, tx *store.Tx, rows []inventoryRow) error {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Class
	}
	return ensureNames(ctx, tx, "placement_classes", difference(StandardClasses(), names))
}

// ensureTraits records traits that are not standard.
func ensureTraits(ctx context.Context, tx *store.Tx, names []string) error {
	standard := StandardTraits()
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool {
		_, ok := slices.BinarySearch(standard, n)
		return ok
	})
	return ensureNames(ctx, tx, "placement_traits", names)
}

func ensureNames(ctx context.Context, tx *store.Tx, table string, names []string) error {
	for _, n := range names {
		_, err := tx.NewRaw("INSERT INTO ? (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", bun.Ident(table), n, tx.Now()).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}
