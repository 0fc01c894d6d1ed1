package blockstorage

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Type is a kind of volume that an operator offers.
type Type struct {
	ID          string `bun:",pk"`
	Name        string
	Description *string
	IsPublic    bool // everybody may use it; otherwise those with access
	ExtraSpecs  map[string]string
	QoSID       string `bun:"qos_id"` // of its QoS specs; empty: none
	CreatedAt   time.Time
	UpdatedAt   *time.Time
}

// DefaultType is the type of a project's volumes that name none.
type DefaultType struct {
	ProjectID string `bun:",pk"`
	TypeID    string
}

// TypeSpec describes a volume type to create.
type TypeSpec struct {
	Name        string
	Description *string
	IsPublic    bool
	ExtraSpecs  map[string]string
}

// TypeUpdate changes a volume type; what is nil stays.
type TypeUpdate struct {
	Name, Description *string
	IsPublic          *bool
}

// TypeFilter narrows a list of volume types.
type TypeFilter struct {
	// Public, for admins: only those that are, or are not, public; nil: both.
	// Others see what they may use.
	Public     *bool
	ExtraSpecs map[string]string
	Match      map[string]string
	Offset     int
}

// Types is what the Block Storage API's volume types need.
type Types interface {
	CreateType(ctx context.Context, spec TypeSpec) (Type, error)
	// Type returns a type by its ID, or with the ID "default" the caller's
	// default. Extra specs that the caller may not see are left out.
	Type(ctx context.Context, id string) (Type, error)
	ListTypes(ctx context.Context, f TypeFilter, p nephos.Page) ([]Type, bool, error)
	UpdateType(ctx context.Context, id string, u TypeUpdate) (Type, error)
	DeleteType(ctx context.Context, id string) error
	// SetExtraSpecs merges into the extra specs of a type that no volume has.
	SetExtraSpecs(ctx context.Context, id string, specs map[string]string) error
	UnsetExtraSpec(ctx context.Context, id, key string) error
	ExtraSpecs(ctx context.Context, id string) (map[string]string, error)
	// TypeAccess returns the projects that have access to a type that is not
	// public.
	TypeAccess(ctx context.Context, id string) ([]string, error)
	AddTypeAccess(ctx context.Context, id, projectID string) error
	RemoveTypeAccess(ctx context.Context, id, projectID string) error
	SetDefaultType(ctx context.Context, projectID, typeNameOrID string) (DefaultType, error)
	DefaultTypeOf(ctx context.Context, projectID string) (DefaultType, error)
	ListDefaultTypes(ctx context.Context) ([]DefaultType, error)
	UnsetDefaultType(ctx context.Context, projectID string) error
}

func typeList() *listing {
	return &listing{
		table: "blockstorage_types", alias: "typ", missing: typeNotFound,
		fields: map[string]field{
			"id": {expr: "@.id"}, "name": {expr: "@.name"}, "description": {expr: "COALESCE(@.description, '')"},
			"is_public": {expr: "@.is_public", kind: boolean}, "created_at": {expr: "@.created_at", kind: moment},
			"updated_at": {expr: "COALESCE(@.updated_at, @.created_at)", kind: moment},
		},
	}
}

// usable narrows a query to the types that the caller may use.
func (s *Service) usable(ctx context.Context, q *bun.SelectQuery) *bun.SelectQuery {
	if s.seesAll(ctx) {
		return q
	}
	return q.Where("(typ.is_public = ? OR typ.id IN (SELECT a.type_id FROM blockstorage_type_access AS a WHERE a.project_id = ?))",
		true, caller(ctx).ProjectID)
}

func loadType(ctx context.Context, db bun.IDB, id string) (Type, error) {
	var rows []typeRow
	if err := db.NewSelect().Model(&rows).Where("typ.id = ?", id).Scan(ctx); err != nil {
		return Type{}, err
	}
	if len(rows) == 0 {
		return Type{}, typeNotFound(id)
	}
	return rows[0].Type, nil
}

// idForm is what IDs look like.
var idForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// findType finds a type that the caller may use, by ID or name.
func (s *Service) findType(ctx context.Context, db bun.IDB, nameOrID string) (Type, error) {
	var rows []typeRow
	q := s.usable(ctx, db.NewSelect().Model(&rows).Where("(typ.id = ? OR typ.name = ?)", nameOrID, nameOrID))
	if err := q.Scan(ctx); err != nil {
		return Type{}, err
	}
	for _, r := range rows {
		if r.ID == nameOrID {
			return r.Type, nil
		}
	}
	if len(rows) == 0 && idForm.MatchString(nameOrID) {
		return Type{}, nephos.Errorf(nephos.ErrNotFound, "Volume type %s could not be found.", clip(nameOrID))
	}
	if len(rows) == 0 {
		return Type{}, nephos.Errorf(nephos.ErrNotFound, "Volume type with name %s could not be found.", clip(nameOrID))
	}
	return rows[0].Type, nil
}

// typeFor returns the type of a new volume: the one that is asked for, that of
// its source, the project's default or the service's.
func (s *Service) typeFor(ctx context.Context, db bun.IDB, asked, source string) (Type, error) {
	if asked != "" {
		t, err := s.findType(ctx, db, asked)
		if err == nil && source != "" && t.ID != source {
			return t, invalidInput("volume_type", "Invalid volume_type provided: %s (requested type is not compatible; "+
				"either match source volume, or omit type argument).", t.ID)
		}
		return t, err
	}
	if source != "" {
		return loadType(ctx, db, source)
	}
	return s.defaultType(ctx, db, caller(ctx).ProjectID)
}

func (s *Service) defaultType(ctx context.Context, db bun.IDB, projectID string) (Type, error) {
	var rows []typeRow
	err := db.NewSelect().Model(&rows).
		Where("typ.name = ? OR typ.id IN (SELECT d.type_id FROM blockstorage_default_types AS d WHERE d.project_id = ?)", s.cfg.DefaultType, projectID).
		Scan(ctx)
	if err != nil {
		return Type{}, err
	}
	slices.SortFunc(rows, func(a, b typeRow) int {
		return cmp.Compare(boolRank(a.Name == s.cfg.DefaultType), boolRank(b.Name == s.cfg.DefaultType))
	})
	if len(rows) == 0 {
		return Type{}, nephos.Errorf(nephos.ErrNotFound, "Default volume type can not be found.")
	}
	return rows[0].Type, nil
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

// UserVisibleExtraSpecs are the extra specs that everybody may see.
func UserVisibleExtraSpecs() []string {
	return []string{"RESKEY:availability_zones", "multiattach", "replication_enabled"}
}

// visible leaves out the extra specs that the caller may not see.
func (s *Service) visible(ctx context.Context, t Type) Type {
	if isService(ctx) || s.cfg.Policy.Allowed(ctx, "volume_extension:types_extra_specs:read_sensitive", own(ctx)) {
		return t
	}
	specs := map[string]string{}
	for _, k := range UserVisibleExtraSpecs() {
		if v, ok := t.ExtraSpecs[k]; ok {
			specs[k] = v
		}
	}
	t.ExtraSpecs = specs
	return t
}

// CreateType implements [Types].
func (s *Service) CreateType(ctx context.Context, spec TypeSpec) (Type, error) {
	if err := s.enforce(ctx, "volume_extension:type_create", own(ctx)); err != nil {
		return Type{}, err
	}
	if strings.TrimSpace(spec.Name) == "" {
		return Type{}, nephos.Errorf(nephos.ErrInvalid, "An invalid 'name' value was provided. The 'name' can not be empty.").WithField("name")
	}
	row := typeRow{Type: Type{ID: s.cfg.IDs.New(), Name: spec.Name, Description: spec.Description, IsPublic: spec.IsPublic, ExtraSpecs: orEmpty(spec.ExtraSpecs)}}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row.CreatedAt = tx.Now()
		first, fresh, err := tx.Once(ctx, "blockstorage.create_type", row.ID)
		if err != nil {
			return err
		}
		if !fresh {
			row.Type, err = loadType(ctx, tx, first)
			return err
		}
		if err := insert(ctx, tx, &row); err != nil {
			return err
		}
		return s.emit(ctx, tx, "volume_type.create", row.ID, "", nil)
	})
	return row.Type, typeTaken(err, spec.Name)
}

func typeTaken(err error, name string) error {
	if err != nil && store.UniqueViolation(err) {
		return nephos.Errorf(nephos.ErrConflict, "Volume Type %s already exists.", clip(name)).WithField("name")
	}
	return err
}

// Type implements [Types].
func (s *Service) Type(ctx context.Context, id string) (Type, error) {
	if err := s.enforce(ctx, "volume_extension:type_get", own(ctx)); err != nil {
		return Type{}, err
	}
	db := s.cfg.Store.Reader()
	if id == "default" {
		t, err := s.defaultType(ctx, db, caller(ctx).ProjectID)
		return s.visible(ctx, t), err
	}
	t, err := s.usableType(ctx, db, id)
	return s.visible(ctx, t), err
}

// TypeNamed returns a type that the caller may use, by its name or ID.
func (s *Service) TypeNamed(ctx context.Context, nameOrID string) (Type, error) {
	if err := s.enforce(ctx, "volume_extension:type_get", own(ctx)); err != nil {
		return Type{}, err
	}
	t, err := s.findType(ctx, s.cfg.Store.Reader(), nameOrID)
	return s.visible(ctx, t), err
}

func (s *Service) usableType(ctx context.Context, db bun.IDB, id string) (Type, error) {
	var rows []typeRow
	if err := s.usable(ctx, db.NewSelect().Model(&rows).Where("typ.id = ?", id)).Scan(ctx); err != nil {
		return Type{}, err
	}
	if len(rows) == 0 {
		return Type{}, typeNotFound(id)
	}
	return rows[0].Type, nil
}

// ListTypes implements [Types].
func (s *Service) ListTypes(ctx context.Context, f TypeFilter, p nephos.Page) ([]Type, bool, error) {
	if err := s.enforce(ctx, "volume_extension:type_get_all", own(ctx)); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []typeRow
	l := typeList()
	q := l.filter(s.usable(ctx, db.NewSelect().Model(&rows)), f.Match)
	if f.Public != nil {
		q = q.Where("typ.is_public = ?", *f.Public)
	}
	q, err := l.having(q, "extra_specs", f.ExtraSpecs)
	if err != nil {
		return nil, false, err
	}
	follow, err := find(ctx, db, l, q, &rows, p, f.Offset)
	if err != nil {
		return nil, false, err
	}
	out := make([]Type, len(rows))
	for i, r := range rows {
		out[i] = s.visible(ctx, r.Type)
	}
	return out, follow, nil
}

// changeType loads a type, lets f change it, saves it and records the change.
func (s *Service) changeType(ctx context.Context, id, rule, event string, f func(ctx context.Context, tx *store.Tx, t *Type) error) (Type, error) {
	if err := s.enforce(ctx, rule, own(ctx)); err != nil {
		return Type{}, err
	}
	var row typeRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		t, err := loadType(ctx, tx, id)
		if err != nil {
			return err
		}
		t.ExtraSpecs = maps.Clone(t.ExtraSpecs)
		if err := f(ctx, tx, &t); err != nil {
			return err
		}
		now := tx.Now()
		t.UpdatedAt = &now
		row = typeRow{Type: t}
		if err := save(ctx, tx, &row); err != nil {
			return err
		}
		return s.emit(ctx, tx, event, id, "", nil)
	})
	return row.Type, typeTaken(err, row.Name)
}

// UpdateType implements [Types].
func (s *Service) UpdateType(ctx context.Context, id string, u TypeUpdate) (Type, error) {
	return s.changeType(ctx, id, "volume_extension:type_update", "volume_type.update", func(_ context.Context, _ *store.Tx, t *Type) error {
		if u.Name == nil && u.Description == nil && u.IsPublic == nil {
			return badRequest("Specify volume type name, description, is_public or a combination thereof.")
		}
		if u.Name != nil && strings.TrimSpace(*u.Name) == "" {
			return badRequest("Volume type name can not be empty.")
		}
		set(&t.Name, u.Name)
		if u.Description != nil {
			t.Description = u.Description
		}
		set(&t.IsPublic, u.IsPublic)
		return nil
	})
}

// DeleteType implements [Types].
func (s *Service) DeleteType(ctx context.Context, id string) error {
	if err := s.enforce(ctx, "volume_extension:type_delete", own(ctx)); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		t, err := loadType(ctx, tx, id)
		if err != nil {
			return err
		}
		defaults, err := tx.NewSelect().Model((*defaultTypeRow)(nil)).Where("def.type_id = ?", id).Count(ctx)
		if err != nil {
			return err
		}
		if t.Name == s.cfg.DefaultType || defaults > 0 {
			return badRequest("The volume type %s is a default volume type and cannot be deleted.", id)
		}
		if used, err := typeInUse(ctx, tx, id); err != nil || used {
			if used {
				return badRequest("Target volume type is still in use.")
			}
			return err
		}
		for _, q := range []string{"DELETE FROM blockstorage_type_access WHERE type_id = ?", "DELETE FROM blockstorage_type_encryption WHERE type_id = ?", "DELETE FROM blockstorage_types WHERE id = ?"} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		return s.emit(ctx, tx, "volume_type.delete", id, "", nil)
	})
}

func typeInUse(ctx context.Context, db bun.IDB, id string) (bool, error) {
	return db.NewSelect().Model((*volumeRow)(nil)).Where("vol.type_id = ? OR vol.to_type = ?", id, id).Exists(ctx)
}
