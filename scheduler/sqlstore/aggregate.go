package sqlstore

import (
	"context"

	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// ProviderAggregates returns a provider and the UUIDs of its aggregates.
func (s *Store) ProviderAggregates(ctx context.Context, uuid string) (Provider, []string, error) {
	p, err := s.Provider(ctx, uuid)
	if err != nil {
		return Provider{}, nil, err
	}
	list := []string{}
	err = s.cfg.Store.Reader().NewSelect().Model((*providerAggregateRow)(nil)).Column("aggregate_uuid").
		Where("provider_uuid = ?", uuid).Order("aggregate_uuid").Scan(ctx, &list)
	return p, list, err
}

// SetProviderAggregates replaces a provider's aggregates. With a generation, it
// must be the provider's, which rises.
func (s *Store) SetProviderAggregates(ctx context.Context, uuid string, generation *int64, aggregates []string) (Provider, error) {
	var row providerRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if row, err = current(ctx, tx, uuid, generation, traitConflict); err != nil {
			return err
		}
		var have []string
		if err := tx.NewSelect().Model((*providerAggregateRow)(nil)).Column("aggregate_uuid").Where("provider_uuid = ?", uuid).Scan(ctx, &have); err != nil {
			return err
		}
		if _, err := putAggregates(ctx, tx, uuid, named(have), named(aggregates)); err != nil {
			return err
		}
		if generation == nil {
			s.touched(tx, uuid)
			_, err := tx.NewRaw("UPDATE placement_providers SET shape = shape + 1, updated_at = ? WHERE uuid = ?", tx.Now(), uuid).Exec(ctx)
			return err
		}
		row.Generation++
		return s.raise(ctx, tx, uuid)
	})
	return row.provider(), err
}

func named(ids []string) []scheduler.Aggregate {
	out := make([]scheduler.Aggregate, len(ids))
	for i, id := range ids {
		out[i].ID = id
	}
	return out
}
