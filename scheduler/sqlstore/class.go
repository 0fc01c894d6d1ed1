package sqlstore

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Named is a trait or a resource class.
type Named struct {
	Name string
	// CreatedAt is zero for the standard ones.
	CreatedAt time.Time
}

// custom says whether a name is one that clients may choose: with the prefix
// CUSTOM_, of capital letters, digits and underscores.
func custom(name string) bool {
	rest, ok := strings.CutPrefix(name, "CUSTOM_")
	return ok && rest != "" && len(name) <= 255 && strings.Trim(rest, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

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

// compareClasses orders classes as Placement lists them: the standard ones, then
// the others by name.
func compareClasses(a, b string) int {
	place := func(name string) int {
		if i := slices.Index(StandardClasses(), name); i >= 0 {
			return i
		}
		return math.MaxInt
	}
	return cmp.Or(cmp.Compare(place(a), place(b)), strings.Compare(a, b))
}

// Classes returns all resource classes, the standard ones first.
func (s *Store) Classes(ctx context.Context) ([]Named, error) {
	var rows []classRow
	if err := s.cfg.Store.Reader().NewSelect().Model(&rows).Order("created_at", "name").Scan(ctx); err != nil {
		return nil, err
	}
	var out []Named
	for _, c := range StandardClasses() {
		out = append(out, Named{Name: c})
	}
	for _, r := range rows {
		out = append(out, Named{r.Name, r.CreatedAt})
	}
	return out, nil
}

// Class returns a resource class; nephos.ErrNotFound when there is none.
func (s *Store) Class(ctx context.Context, name string) (Named, error) {
	return loadClass(ctx, s.cfg.Store.Reader(), name)
}

func loadClass(ctx context.Context, db bun.IDB, name string) (Named, error) {
	if slices.Contains(StandardClasses(), name) {
		return Named{Name: name}, nil
	}
	var rows []classRow
	if err := db.NewSelect().Model(&rows).Where("name = ?", name).Scan(ctx); err != nil {
		return Named{}, err
	}
	if len(rows) == 0 {
		return Named{}, nephos.Errorf(nephos.ErrNotFound, "No such resource class %.255s.", name)
	}
	return Named{rows[0].Name, rows[0].CreatedAt}, nil
}

// checkClasses says whether all classes exist, with nephos.ErrNotFound if not.
func (s *Store) checkClasses(ctx context.Context, db bun.IDB, amounts scheduler.Resources) error {
	unknown, err := unknownClasses(ctx, db, slices.Sorted(maps.Keys(amounts)))
	if err == nil && len(unknown) > 0 {
		err = noClass(unknown[0])
	}
	return err
}

func noClass(name string) error {
	return nephos.Errorf(nephos.ErrNotFound, "No such resource class %.255s.", name)
}

// unknownClasses returns the names that are no classes.
func unknownClasses(ctx context.Context, db bun.IDB, names []string) ([]string, error) {
	names = difference(StandardClasses(), names)
	if len(names) == 0 {
		return nil, nil
	}
	var have []string
	if err := db.NewSelect().Model((*classRow)(nil)).Column("name").Where("name IN (?)", bun.List(names)).Scan(ctx, &have); err != nil {
		return nil, err
	}
	return difference(have, names), nil
}

// CreateClass makes a resource class, whose name begins with CUSTOM_; it says
// whether it is new.
func (s *Store) CreateClass(ctx context.Context, name string) (created bool, err error) {
	if !custom(name) {
		return false, nephos.Errorf(nephos.ErrInvalid, "JSON does not validate: '%.255s' does not match '^CUSTOM_[A-Z0-9_]+$'", name).WithField("name")
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := loadClass(ctx, tx, name)
		if created = kindOf(err) == nephos.ErrNotFound; !created {
			return err
		}
		return ensureNames(ctx, tx, "placement_classes", []string{name})
	})
	return created, err
}

// RenameClass changes the name of a resource class, in inventories and
// allocations too.
func (s *Store) RenameClass(ctx context.Context, name, to string) error {
	if !custom(to) {
		return nephos.Errorf(nephos.ErrInvalid, "JSON does not validate: '%.255s' does not match '^CUSTOM_[A-Z0-9_]+$'", to).WithField("name")
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		c, err := loadClass(ctx, tx, name)
		if err != nil {
			return err
		}
		if c.CreatedAt.IsZero() {
			return nephos.Errorf(nephos.ErrInvalid, "Cannot update standard resource class %s", name)
		}
		if name == to {
			return nil
		}
		if _, err := loadClass(ctx, tx, to); err == nil {
			return nephos.Errorf(nephos.ErrConflict, "Resource class already exists: %s", to)
		} else if kindOf(err) != nephos.ErrNotFound {
			return err
		}
		var uuids []string
		if err := tx.NewSelect().Model((*inventoryRow)(nil)).Column("provider_uuid").Where("class = ?", name).Scan(ctx, &uuids); err != nil {
			return err
		}
		for _, q := range []string{
			"UPDATE placement_classes SET name = ?0 WHERE name = ?1",
			"UPDATE placement_inventories SET class = ?0 WHERE class = ?1",
			"UPDATE placement_allocations SET class = ?0 WHERE class = ?1",
		} {
			if _, err := tx.NewRaw(q, to, name).Exec(ctx); err != nil {
				return err
			}
		}
		for _, uuid := range uuids {
			if err := s.raise(ctx, tx, uuid); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteClass removes a resource class that no provider has.
func (s *Store) DeleteClass(ctx context.Context, name string) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		c, err := loadClass(ctx, tx, name)
		if err != nil {
			return err
		}
		if c.CreatedAt.IsZero() {
			return nephos.Errorf(nephos.ErrInvalid, "Error in delete resource class: Cannot delete standard resource class %s.", name)
		}
		n, err := tx.NewSelect().Model((*inventoryRow)(nil)).Where("class = ?", name).Count(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			return nephos.Errorf(nephos.ErrConflict, "Error in delete resource class: Cannot delete resource class %s. Class is in use in inventory.", name)
		}
		_, err = tx.NewRaw("DELETE FROM placement_classes WHERE name = ?", name).Exec(ctx)
		return err
	})
}

// ensureClasses records the classes of inventories that are not standard.
func ensureClasses(ctx context.Context, tx *store.Tx, rows []inventoryRow) error {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = r.Class
	}
	return ensureNames(ctx, tx, "placement_classes", difference(StandardClasses(), names))
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
