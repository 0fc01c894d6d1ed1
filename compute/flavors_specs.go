package compute

import (
	"context"
	"maps"
	"regexp"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// FlavorExtraSpecs is what the Compute API needs for flavors' extra specs: what
// a flavor asks of hosts, by key.
type FlavorExtraSpecs interface {
	ExtraSpecs(ctx context.Context, flavorID string) (map[string]string, error)
	ExtraSpec(ctx context.Context, flavorID, key string) (string, error)
	// CreateExtraSpecs adds specs to those that a flavor has. Strict refuses
	// values, and keys of known namespaces, that mean nothing.
	CreateExtraSpecs(ctx context.Context, flavorID string, specs map[string]string, strict bool) error
	UpdateExtraSpec(ctx context.Context, flavorID, key, value string, strict bool) error
	DeleteExtraSpec(ctx context.Context, flavorID, key string) error
}

// maxExtraSpecs bounds the extra specs of one flavor.
const maxExtraSpecs = 1024

var extraSpecKey = regexp.MustCompile(`^[a-zA-Z0-9-_:. ]{1,255}$`)

// ExtraSpecs implements [FlavorExtraSpecs].
func (s *Service) ExtraSpecs(ctx context.Context, flavorID string) (map[string]string, error) {
	if err := s.cfg.Policy.Enforce(ctx, extraSpecsRule("index"), ownProject(ctx)); err != nil {
		return nil, err
	}
	f, err := s.visibleFlavor(ctx, flavorID)
	return f.ExtraSpecs, err
}

// ExtraSpec implements [FlavorExtraSpecs].
func (s *Service) ExtraSpec(ctx context.Context, flavorID, key string) (string, error) {
	if err := s.cfg.Policy.Enforce(ctx, extraSpecsRule("show"), ownProject(ctx)); err != nil {
		return "", err
	}
	f, err := s.visibleFlavor(ctx, flavorID)
	if err != nil {
		return "", err
	}
	v, ok := f.ExtraSpecs[key]
	if !ok {
		return "", extraSpecNotFound(flavorID, key)
	}
	return v, nil
}

func extraSpecNotFound(flavorID, key string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Flavor %s has no extra specs with key %s.", flavorID, clip(key))
}

// CreateExtraSpecs implements [FlavorExtraSpecs].
func (s *Service) CreateExtraSpecs(ctx context.Context, flavorID string, specs map[string]string, strict bool) error {
	if err := s.cfg.Policy.Enforce(ctx, extraSpecsRule("create"), nil); err != nil {
		return err
	}
	return s.putExtraSpecs(ctx, flavorID, specs, strict)
}

// UpdateExtraSpec implements [FlavorExtraSpecs].
func (s *Service) UpdateExtraSpec(ctx context.Context, flavorID, key, value string, strict bool) error {
	if err := s.cfg.Policy.Enforce(ctx, extraSpecsRule("update"), nil); err != nil {
		return err
	}
	return s.putExtraSpecs(ctx, flavorID, map[string]string{key: value}, strict)
}

func (s *Service) putExtraSpecs(ctx context.Context, flavorID string, specs map[string]string, strict bool) error {
	for k, v := range specs {
		if !extraSpecKey.MatchString(k) {
			return invalid("Invalid input received: Key Names can only contain alphanumeric characters, " +
				"periods, dashes, underscores, colons and spaces.").WithField("extra_specs")
		}
		if len(v) > 255 {
			return invalid("Invalid input received: extra_specs value has %d characters, more than 255.", len(v)).WithField(k)
		}
		if strict {
			if err := checkExtraSpec(k, v); err != nil {
				return err
			}
		}
	}
	return s.changeFlavor(ctx, flavorID, "flavor.update", func(_ context.Context, _ *store.Tx, row *flavorRow) error {
		if row.ExtraSpecs == nil {
			row.ExtraSpecs = map[string]string{}
		}
		maps.Copy(row.ExtraSpecs, specs)
		if len(row.ExtraSpecs) > maxExtraSpecs {
			return invalid("Invalid input received: a flavor has at most %d extra specs.", maxExtraSpecs).WithField("extra_specs")
		}
		return nil
	}, new(Flavor))
}

// DeleteExtraSpec implements [FlavorExtraSpecs].
func (s *Service) DeleteExtraSpec(ctx context.Context, flavorID, key string) error {
	if err := s.cfg.Policy.Enforce(ctx, extraSpecsRule("delete"), nil); err != nil {
		return err
	}
	return s.changeFlavor(ctx, flavorID, "flavor.update", func(_ context.Context, _ *store.Tx, row *flavorRow) error {
		if _, ok := row.ExtraSpecs[key]; !ok {
			return extraSpecNotFound(flavorID, key)
		}
		delete(row.ExtraSpecs, key)
		return nil
	}, new(Flavor))
}
