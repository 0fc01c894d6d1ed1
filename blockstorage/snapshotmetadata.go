package blockstorage

import (
	"context"
	"maps"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// SnapshotMetadata implements [Metadata].
func (s *Service) SnapshotMetadata(ctx context.Context, id string) (map[string]string, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return nil, s.enforce(ctx, "volume:get_snapshot_metadata", nil)
	}
	row, err := s.loadSnapshot(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return nil, err
	}
	return row.Metadata, s.enforceSnapshot(ctx, "volume:get_snapshot_metadata", &row)
}

// SetSnapshotMetadata implements [Metadata].
func (s *Service) SetSnapshotMetadata(ctx context.Context, id string, m map[string]string, replace bool) (map[string]string, error) {
	row, err := s.changeSnapshot(ctx, id, "volume:update_snapshot_metadata", func(_ context.Context, _ *store.Tx, row *snapshotRow) error {
		row.Metadata = merged(row.Metadata, m, replace)
		return checkMetadata(row.Metadata)
	})
	return row.Metadata, err
}

// UnsetSnapshotMetadata implements [Metadata].
func (s *Service) UnsetSnapshotMetadata(ctx context.Context, id, key string) error {
	_, err := s.changeSnapshot(ctx, id, "volume:delete_snapshot_metadata", func(_ context.Context, _ *store.Tx, row *snapshotRow) error {
		if _, ok := row.Metadata[key]; !ok {
			return nephos.Errorf(nephos.ErrNotFound, "Snapshot %s has no metadata with key %s.", row.ID, clip(key))
		}
		row.Metadata = maps.Clone(row.Metadata)
		delete(row.Metadata, key)
		return nil
	})
	return err
}
