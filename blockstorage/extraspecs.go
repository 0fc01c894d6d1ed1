package blockstorage

import (
	"context"
	"maps"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// ExtraSpecs implements [Types].
func (s *Service) ExtraSpecs(ctx context.Context, id string) (map[string]string, error) {
	if err := s.enforce(ctx, "volume_extension:types_extra_specs:index", own(ctx)); err != nil {
		return nil, err
	}
	t, err := s.usableType(ctx, s.cfg.Store.Reader(), id)
	return s.visible(ctx, t).ExtraSpecs, err
}

// SetExtraSpecs implements [Types].
func (s *Service) SetExtraSpecs(ctx context.Context, id string, specs map[string]string) error {
	_, err := s.changeType(ctx, id, "volume_extension:types_extra_specs:create", "volume_type.update", func(ctx context.Context, tx *store.Tx, t *Type) error {
		if used, err := typeInUse(ctx, tx, id); err != nil || used {
			if used {
				return badRequest("Volume Type is currently in use.")
			}
			return err
		}
		maps.Copy(t.ExtraSpecs, specs)
		if len(t.ExtraSpecs) > maxMetadata {
			return nephos.Errorf(nephos.ErrInvalid, "a volume type has at most %d extra specs", maxMetadata).WithField("extra_specs")
		}
		return nil
	})
	return err
}

// UnsetExtraSpec implements [Types].
func (s *Service) UnsetExtraSpec(ctx context.Context, id, key string) error {
	_, err := s.changeType(ctx, id, "volume_extension:types_extra_specs:delete", "volume_type.update", func(ctx context.Context, tx *store.Tx, t *Type) error {
		if used, err := typeInUse(ctx, tx, id); err != nil || used {
			if used {
				return badRequest("Volume Type is currently in use.")
			}
			return err
		}
		if _, ok := t.ExtraSpecs[key]; !ok {
			return nephos.Errorf(nephos.ErrNotFound, "Volume Type %s has no extra specs with key %s.", id, clip(key))
		}
		delete(t.ExtraSpecs, key)
		return nil
	})
	return err
}
