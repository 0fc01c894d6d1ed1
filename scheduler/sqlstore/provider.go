package sqlstore

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

func loadProvider(ctx context.Context, db bun.IDB, uuid string) (providerRow, error) {
	var rows []providerRow
	if err := db.NewSelect().Model(&rows).Where("uuid = ?", uuid).Scan(ctx); err != nil {
		return providerRow{}, err
	}
	if len(rows) == 0 {
		return providerRow{}, nephos.Errorf(nephos.ErrNotFound, "No resource provider with uuid %s found", uuid)
	}
	return rows[0], nil
}

// deleteProvider removes a provider and what hangs on it.
func (s *Store) deleteProvider(ctx context.Context, tx *store.Tx, uuid string) error {
	children, err := tx.NewSelect().Model((*providerRow)(nil)).Where("parent_uuid = ?", uuid).Count(ctx)
	if err != nil {
		return err
	}
	if children > 0 {
		return nephos.Errorf(nephos.ErrConflict, "Unable to delete parent resource provider %s: It has child resource providers.", uuid).
			WithReason("placement.resource_provider.cannot_delete_parent")
	}
	used, err := tx.NewSelect().Model((*allocationRow)(nil)).Where("provider_uuid = ?", uuid).Count(ctx)
	if err != nil {
		return err
	}
	if used > 0 {
		return nephos.Errorf(nephos.ErrConflict, "Unable to delete resource provider %s: Resource provider has allocations.", uuid).
			WithReason("placement.resource_provider.inuse")
	}
	for _, table := range []string{"placement_inventories", "placement_provider_traits", "placement_provider_aggregates", "placement_hosts"} {
		if _, err := tx.NewRaw("DELETE FROM ? WHERE provider_uuid = ?", bun.Ident(table), uuid).Exec(ctx); err != nil {
			return err
		}
	}
	s.touched(tx, uuid)
	_, err = tx.NewRaw("DELETE FROM placement_providers WHERE uuid = ?", uuid).Exec(ctx)
	return err
}
