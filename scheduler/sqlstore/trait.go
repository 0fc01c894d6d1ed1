package sqlstore

import (
	"context"
	_ "embed"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

//go:embed traits.txt
var traitNames string

var standardTraits = strings.Fields(traitNames)

// StandardTraits returns the names of the traits that every OpenStack cloud
// has, sorted.
func StandardTraits() []string { return slices.Clone(standardTraits) }

func standardTrait(name string) bool {
	_, ok := slices.BinarySearch(standardTraits, name)
	return ok
}

// TraitFilter narrows a list of traits.
type TraitFilter struct {
	Names  []string // nil: any
	Prefix string
	// Associated, where set, says whether some provider has the trait.
	Associated *bool
}

// Traits returns the traits that pass the filter, by name.
func (s *Store) Traits(ctx context.Context, f TraitFilter) ([]Named, error) {
	db := s.cfg.Store.Reader()
	var rows []traitRow
	if err := db.NewSelect().Model(&rows).Scan(ctx); err != nil {
		return nil, err
	}
	var all []Named
	for _, t := range standardTraits {
		all = append(all, Named{Name: t})
	}
	for _, r := range rows {
		all = append(all, Named{r.Name, r.CreatedAt})
	}
	slices.SortFunc(all, func(a, b Named) int { return strings.Compare(a.Name, b.Name) })
	has := map[string]bool{}
	if f.Associated != nil {
		var used []string
		if err := db.NewSelect().Model((*providerTraitRow)(nil)).ColumnExpr("DISTINCT trait").Scan(ctx, &used); err != nil {
			return nil, err
		}
		for _, t := range used {
			has[t] = true
		}
	}
	return slices.DeleteFunc(all, func(t Named) bool {
		return f.Names != nil && !slices.Contains(f.Names, t.Name) || !strings.HasPrefix(t.Name, f.Prefix) ||
			f.Associated != nil && *f.Associated != has[t.Name]
	}), nil
}

// unknownTraits returns the names that are no traits.
func unknownTraits(ctx context.Context, db bun.IDB, names []string) ([]string, error) {
	names = slices.DeleteFunc(slices.Clone(names), standardTrait)
	if len(names) == 0 {
		return nil, nil
	}
	var have []string
	if err := db.NewSelect().Model((*traitRow)(nil)).Column("name").Where("name IN (?)", bun.List(names)).Scan(ctx, &have); err != nil {
		return nil, err
	}
	return difference(have, names), nil
}

// Trait returns a trait; nephos.ErrNotFound when there is none.
func (s *Store) Trait(ctx context.Context, name string) (Named, error) {
	list, err := s.Traits(ctx, TraitFilter{Names: []string{name}})
	if err == nil && len(list) == 0 {
		err = nephos.Errorf(nephos.ErrNotFound, "No such trait(s): %.255s.", name)
	}
	if err != nil {
		return Named{}, err
	}
	return list[0], nil
}

// CreateTrait makes a trait, whose name begins with CUSTOM_; it says whether it
// is new.
func (s *Store) CreateTrait(ctx context.Context, name string) (created bool, err error) {
	if !custom(name) {
		return false, nephos.Errorf(nephos.ErrInvalid, `The trait is invalid. A valid trait must be no longer than 255 characters, `+
			`start with the prefix "CUSTOM_" and use following characters: "A"-"Z", "0"-"9" and "_"`).WithField("name")
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		unknown, err := unknownTraits(ctx, tx, []string{name})
		if created = len(unknown) > 0; err != nil || !created {
			return err
		}
		return ensureNames(ctx, tx, "placement_traits", unknown)
	})
	return created, err
}

// DeleteTrait removes a trait that no provider has.
func (s *Store) DeleteTrait(ctx context.Context, name string) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if standardTrait(name) {
			return nephos.Errorf(nephos.ErrInvalid, "Cannot delete standard trait %s.", name)
		}
		unknown, err := unknownTraits(ctx, tx, []string{name})
		if err != nil {
			return err
		}
		if len(unknown) > 0 {
			return nephos.Errorf(nephos.ErrNotFound, "No such trait(s): %.255s.", name)
		}
		n, err := tx.NewSelect().Model((*providerTraitRow)(nil)).Where("trait = ?", name).Count(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			return nephos.Errorf(nephos.ErrConflict, "The trait %s is in use by a resource provider.", name)
		}
		_, err = tx.NewRaw("DELETE FROM placement_traits WHERE name = ?", name).Exec(ctx)
		return err
	})
}

// ProviderTraits returns a provider and its traits, by name.
func (s *Store) ProviderTraits(ctx context.Context, uuid string) (Provider, []string, error) {
	p, err := s.Provider(ctx, uuid)
	if err != nil {
		return Provider{}, nil, err
	}
	traits := []string{}
	err = s.cfg.Store.Reader().NewSelect().Model((*providerTraitRow)(nil)).Column("trait").
		Where("provider_uuid = ?", uuid).Order("trait").Scan(ctx, &traits)
	return p, traits, err
}

// SetProviderTraits replaces a provider's traits, if its generation is the given
// one; nil is any.
func (s *Store) SetProviderTraits(ctx context.Context, uuid string, generation *int64, traits []string) (Provider, error) {
	var row providerRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if row, err = current(ctx, tx, uuid, generation, traitConflict); err != nil {
			return err
		}
		unknown, err := unknownTraits(ctx, tx, traits)
		if err != nil {
			return err
		}
		if len(unknown) > 0 {
			return nephos.Errorf(nephos.ErrInvalid, "No such trait %s", strings.Join(unknown, ", ")).WithField("traits")
		}
		var have []string
		if err := tx.NewSelect().Model((*providerTraitRow)(nil)).Column("trait").Where("provider_uuid = ?", uuid).Scan(ctx, &have); err != nil {
			return err
		}
		changed, err := putTraits(ctx, tx, uuid, have, traits)
		if err != nil || !changed {
			return err
		}
		row.Generation++
		return s.raise(ctx, tx, uuid)
	})
	return row.provider(), err
}

// ensureTraits records traits that are not standard.
func ensureTraits(ctx context.Context, tx *store.Tx, names []string) error {
	return ensureNames(ctx, tx, "placement_traits", slices.DeleteFunc(slices.Clone(names), standardTrait))
}
