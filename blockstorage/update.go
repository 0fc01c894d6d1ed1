package blockstorage

import (
	"context"
	"maps"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// maxMetadata bounds the pairs of one resource's metadata.
const maxMetadata = 1000

// checkMetadata refuses pairs that the Block Storage API does not take.
func checkMetadata(m map[string]string) error {
	if len(m) > maxMetadata {
		return nephos.Errorf(nephos.ErrInvalid, "Invalid metadata: more than %d items", maxMetadata).WithField("metadata")
	}
	for k, v := range m {
		switch {
		case k == "":
			return nephos.Errorf(nephos.ErrInvalid, "Invalid metadata: Metadata property key blank.").WithField("metadata")
		case utf8.RuneCountInString(k) > 255:
			return nephos.Errorf(nephos.ErrTooLarge, "Invalid metadata size: Metadata property key %s greater than 255 characters.", clip(k)).WithField("metadata")
		case utf8.RuneCountInString(v) > 255:
			return nephos.Errorf(nephos.ErrTooLarge, "Invalid metadata size: Metadata property key %s value greater than 255 characters.", clip(k)).WithField("metadata")
		}
	}
	return nil
}

// changeVolume loads a volume, lets f change it once the rule allows it, saves
// it and records volume.<verb>. f may return false: nothing changed.
func (s *Service) changeVolume(ctx context.Context, id, rule, verb string, f func(ctx context.Context, tx *store.Tx, row *volumeRow) (bool, error)) (volumeRow, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return volumeRow{}, s.enforce(ctx, rule, nil)
	}
	var row volumeRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if row, err = s.loadVolume(ctx, tx, id); err != nil {
			return err
		}
		if err := s.enforceSeen(ctx, rule, &row); err != nil {
			return err
		}
		changed, err := f(ctx, tx, &row)
		if err != nil || !changed {
			return err
		}
		row.touch(tx.Now())
		if err := save(ctx, tx, &row); err != nil {
			return err
		}
		return s.emitVolume(ctx, tx, verb, row)
	})
	return row, err
}

// UpdateVolume implements [Volumes].
func (s *Service) UpdateVolume(ctx context.Context, id string, u VolumeUpdate) (Volume, error) {
	row, err := s.changeVolume(ctx, id, "volume:update", "update", func(_ context.Context, _ *store.Tx, row *volumeRow) (bool, error) {
		if u.Metadata != nil {
			if err := checkMetadata(*u.Metadata); err != nil {
				return false, err
			}
			row.Metadata = orEmpty(*u.Metadata)
		}
		set(&row.Name, u.Name)
		set(&row.Description, u.Description)
		set(&row.Bootable, u.Bootable)
		return true, nil
	})
	if err != nil {
		return Volume{}, err
	}
	vs, err := withAttachments(ctx, s.cfg.Store.Reader(), row)
	if err != nil {
		return Volume{}, err
	}
	return vs[0], nil
}

// SetReadOnly implements [VolumeActions].
func (s *Service) SetReadOnly(ctx context.Context, id string, readOnly bool) error {
	_, err := s.changeVolume(ctx, id, "volume:update_readonly_flag", "update", func(_ context.Context, _ *store.Tx, row *volumeRow) (bool, error) {
		if row.Status != Available {
			return false, invalidVolume("Volume %s status must be available to update readonly flag, but current status is: %s.", row.ID, row.Status)
		}
		row.ReadOnly = &readOnly
		return true, nil
	})
	return err
}

// VolumeMetadata implements [Metadata].
func (s *Service) VolumeMetadata(ctx context.Context, id string) (map[string]string, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return nil, s.enforce(ctx, "volume:get_volume_metadata", nil)
	}
	row, err := s.loadVolume(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return nil, err
	}
	return row.Metadata, s.enforceSeen(ctx, "volume:get_volume_metadata", &row)
}

// SetVolumeMetadata implements [Metadata].
func (s *Service) SetVolumeMetadata(ctx context.Context, id string, m map[string]string, replace bool) (map[string]string, error) {
	rule := "volume:create_volume_metadata"
	if replace {
		rule = "volume:update_volume_metadata"
	}
	row, err := s.changeVolume(ctx, id, rule, "update", func(_ context.Context, _ *store.Tx, row *volumeRow) (bool, error) {
		if row.Status == Uploading {
			return false, invalidVolume("Updating volume metadata is not allowed for volumes in %s status.", row.Status)
		}
		row.Metadata = merged(row.Metadata, m, replace)
		return true, checkMetadata(row.Metadata)
	})
	return row.Metadata, err
}

// UnsetVolumeMetadata implements [Metadata].
func (s *Service) UnsetVolumeMetadata(ctx context.Context, id, key string) error {
	_, err := s.changeVolume(ctx, id, "volume:delete_volume_metadata", "update", func(_ context.Context, _ *store.Tx, row *volumeRow) (bool, error) {
		if _, ok := row.Metadata[key]; !ok {
			return false, nephos.Errorf(nephos.ErrNotFound, "Volume %s has no metadata with key %s.", row.ID, clip(key))
		}
		if row.Status == Uploading {
			return false, invalidVolume("Deleting volume metadata is not allowed for volumes in %s status.", row.Status)
		}
		row.Metadata = maps.Clone(row.Metadata)
		delete(row.Metadata, key)
		return true, nil
	})
	return err
}

// SetImageMetadata implements [Metadata].
func (s *Service) SetImageMetadata(ctx context.Context, id string, m map[string]string) (map[string]string, error) {
	row, err := s.changeVolume(ctx, id, "volume_extension:volume_image_metadata:set", "update", func(_ context.Context, _ *store.Tx, row *volumeRow) (bool, error) {
		row.ImageMetadata = merged(row.ImageMetadata, m, false)
		return true, checkMetadata(m)
	})
	return row.ImageMetadata, err
}

// UnsetImageMetadata implements [Metadata].
func (s *Service) UnsetImageMetadata(ctx context.Context, id, key string) error {
	_, err := s.changeVolume(ctx, id, "volume_extension:volume_image_metadata:remove", "update", func(_ context.Context, _ *store.Tx, row *volumeRow) (bool, error) {
		if _, ok := row.ImageMetadata[key]; !ok {
			return false, nephos.Errorf(nephos.ErrNotFound, "Glance metadata for volume/snapshot %s cannot be found.", row.ID)
		}
		row.ImageMetadata = maps.Clone(row.ImageMetadata)
		delete(row.ImageMetadata, key)
		return true, nil
	})
	return err
}

// merged is the old pairs with the new ones over them, or just the new ones.
func merged(old, more map[string]string, replace bool) map[string]string {
	out := map[string]string{}
	if !replace {
		maps.Copy(out, old)
	}
	maps.Copy(out, more)
	return out
}
