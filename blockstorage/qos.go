package blockstorage

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Who sees to it that QoS specs hold: whoever gives the volume to a guest, the
// storage, or both. Limits that the storage is to know by itself mean nothing
// to the pools here, which know them by their connections.
const (
	QoSFrontEnd = "front-end"
	QoSBackEnd  = "back-end"
	QoSBoth     = "both"
)

// QoS is how fast volumes of the types that are associated with it may be. Of
// its specs those are honoured that Compute knows: total, read and write with
// _bytes_sec and _iops_sec behind them, these with _max, _per_gb and
// _per_gb_min, and size_iops_sec. They hold for a volume from its next
// attachment on.
type QoS struct {
	ID        string `bun:",pk"`
	Name      string
	Consumer  string
	Specs     map[string]string
	CreatedAt time.Time
	UpdatedAt *time.Time
}

// QoSSpec describes QoS specs to create.
type QoSSpec struct {
	Name     string
	Consumer string // empty: back-end
	Specs    map[string]string
}

// QoSFilter narrows a list of QoS specs; see [VolumeFilter].
type QoSFilter struct {
	Offset int
	Match  map[string]string
}

// QoSSpecs is what the Block Storage API's QoS specs need.
type QoSSpecs interface {
	CreateQoS(ctx context.Context, spec QoSSpec) (QoS, error)
	QoS(ctx context.Context, id string) (QoS, error)
	ListQoS(ctx context.Context, f QoSFilter, p nephos.Page) ([]QoS, bool, error)
	// UpdateQoS merges into the specs; an empty consumer stays.
	UpdateQoS(ctx context.Context, id, consumer string, specs map[string]string) error
	// UnsetQoS removes keys; ErrNotFound for the first that is not there, and those
	// before it are gone.
	UnsetQoS(ctx context.Context, id string, keys []string) error
	// DeleteQoS is refused while types are associated, unless force takes them
	// away.
	DeleteQoS(ctx context.Context, id string, force bool) error
	// AssociatedTypes returns the types that are associated.
	AssociatedTypes(ctx context.Context, id string) ([]Type, error)
	AssociateQoS(ctx context.Context, id, typeID string) error
	// DisassociateQoS takes a type away, or with an empty one all.
	DisassociateQoS(ctx context.Context, id, typeID string) error
}

var _ QoSSpecs = (*Service)(nil)

type qosRow struct {
	bun.BaseModel `bun:"table:blockstorage_qos,alias:qos"`
	QoS
}

const ruleQoS = "volume_extension:qos_specs_manage:"

func qosNotFound(id string) error {
	return nephos.Errorf(nephos.ErrNotFound, "No such QoS spec %s.", clip(id))
}

func invalidQoS(format string, args ...any) error {
	return badRequest("Invalid qos specs: "+format, args...)
}

func qosList() *listing {
	return &listing{
		table: "blockstorage_qos", alias: "qos", missing: qosNotFound,
		fields: map[string]field{
			"id": {expr: "@.id"}, "name": {expr: "@.name"}, "consumer": {expr: "@.consumer"}, "created_at": {expr: "@.created_at", kind: moment},
		},
	}
}

// loadQoS loads QoS specs; without an ID there are none.
func loadQoS(ctx context.Context, db bun.IDB, id string) (*qosRow, error) {
	if id == "" {
		return nil, nil
	}
	var rows []qosRow
	if err := db.NewSelect().Model(&rows).Where("qos.id = ?", id).Scan(ctx); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, qosNotFound(id)
	}
	return &rows[0], nil
}

// check refuses specs that could not be kept, or not be honoured.
func (q *QoS) check() error {
	if !slices.Contains([]string{QoSFrontEnd, QoSBackEnd, QoSBoth}, q.Consumer) {
		return invalidQoS("Valid consumer of QoS specs are: ('back-end', 'front-end', 'both')")
	}
	if len(q.Specs) > maxMetadata {
		return invalidQoS("more than %d keys", maxMetadata)
	}
	for k, v := range q.Specs {
		if k == "" {
			return invalidInput("qos_specs", "Key \"\" has 0 characters, less than 1.")
		}
		if n := utf8.RuneCountInString(k); n > 255 {
			return invalidInput("qos_specs", "Key \"%s\" has %d characters, more than 255.", clip(k), n)
		}
		if n := utf8.RuneCountInString(v); n > 255 {
			return invalidInput("qos_specs", "Value for key \"%s\" has %d characters, more than 255.", k, n)
		}
	}
	_, err := q.limits(1)
	return err
}

// CreateQoS implements [QoSSpecs].
func (s *Service) CreateQoS(ctx context.Context, spec QoSSpec) (QoS, error) {
	if err := s.enforce(ctx, ruleQoS+"create", own(ctx)); err != nil {
		return QoS{}, err
	}
	row := qosRow{QoS: QoS{ID: s.cfg.IDs.New(), Name: spec.Name, Consumer: cmp.Or(spec.Consumer, QoSBackEnd), Specs: orEmpty(spec.Specs)}}
	if n := utf8.RuneCountInString(row.Name); n == 0 || n > 255 {
		return QoS{}, invalidInput("name", "name has %d characters, but must have 1 to 255.", n)
	}
	if err := row.check(); err != nil {
		return QoS{}, err
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row.CreatedAt = tx.Now()
		first, fresh, err := tx.Once(ctx, "blockstorage.create_qos", row.ID)
		if err != nil {
			return err
		}
		if !fresh {
			made, err := loadQoS(ctx, tx, first)
			if err == nil {
				row = *made
			}
			return err
		}
		if err := insert(ctx, tx, &row); err != nil {
			return err
		}
		return s.emit(ctx, tx, "qos_specs.create", row.ID, "", nil)
	})
	if err != nil && store.UniqueViolation(err) {
		err = nephos.Errorf(nephos.ErrConflict, "QoS Specs %s already exists.", clip(spec.Name)).WithField("name")
	}
	return row.QoS, err
}

// QoS implements [QoSSpecs].
func (s *Service) QoS(ctx context.Context, id string) (QoS, error) {
	if err := s.enforce(ctx, ruleQoS+"get", own(ctx)); err != nil {
		return QoS{}, err
	}
	row, err := loadQoS(ctx, s.cfg.Store.Reader(), cmp.Or(id, "none"))
	if err != nil {
		return QoS{}, err
	}
	return row.QoS, nil
}

// ListQoS implements [QoSSpecs].
func (s *Service) ListQoS(ctx context.Context, f QoSFilter, p nephos.Page) ([]QoS, bool, error) {
	if err := s.enforce(ctx, ruleQoS+"get_all", own(ctx)); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []qosRow
	l := qosList()
	follow, err := find(ctx, db, l, l.filter(db.NewSelect().Model(&rows), f.Match), &rows, p, f.Offset)
	if err != nil {
		return nil, false, err
	}
	out := make([]QoS, len(rows))
	for i, r := range rows {
		out[i] = r.QoS
	}
	return out, follow, nil
}

// changeQoS loads QoS specs, lets f change them, saves them and records it.
func (s *Service) changeQoS(ctx context.Context, id, verb string, f func(ctx context.Context, tx *store.Tx, row *qosRow) error) error {
	rule := ruleQoS + "update"
	if verb == "delete" || verb == "delete_keys" {
		rule = ruleQoS + "delete"
	}
	if err := s.enforce(ctx, rule, own(ctx)); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, err := loadQoS(ctx, tx, cmp.Or(id, "none"))
		if err != nil {
			return err
		}
		row.Specs = maps.Clone(row.Specs)
		if err := f(ctx, tx, row); err != nil {
			return err
		}
		now := tx.Now()
		row.UpdatedAt = &now
		if verb != "delete" {
			if err := save(ctx, tx, row); err != nil {
				return err
			}
		}
		return s.emit(ctx, tx, "qos_specs."+verb, id, "", nil)
	})
}

// UpdateQoS implements [QoSSpecs].
func (s *Service) UpdateQoS(ctx context.Context, id, consumer string, specs map[string]string) error {
	return s.changeQoS(ctx, id, "update", func(_ context.Context, _ *store.Tx, row *qosRow) error {
		row.Consumer = cmp.Or(consumer, row.Consumer)
		maps.Copy(row.Specs, specs)
		return row.check()
	})
}

// UnsetQoS implements [QoSSpecs].
func (s *Service) UnsetQoS(ctx context.Context, id string, keys []string) error {
	var missing error
	err := s.changeQoS(ctx, id, "delete_keys", func(_ context.Context, _ *store.Tx, row *qosRow) error {
		missing = nil
		for _, k := range keys {
			if _, ok := row.Specs[k]; !ok {
				missing = nephos.Errorf(nephos.ErrNotFound, "QoS spec %s has no spec with key %s.", row.ID, clip(k))
				return nil
			}
			delete(row.Specs, k)
		}
		return nil
	})
	return cmp.Or(err, missing)
}

// DeleteQoS implements [QoSSpecs].
func (s *Service) DeleteQoS(ctx context.Context, id string, force bool) error {
	return s.changeQoS(ctx, id, "delete", func(ctx context.Context, tx *store.Tx, row *qosRow) error {
		used, err := tx.NewSelect().Model((*typeRow)(nil)).Where("typ.qos_id = ?", row.ID).Exists(ctx)
		if err != nil {
			return err
		}
		if used && !force {
			return badRequest("Qos specs still in use.")
		}
		if err := dissociate(ctx, tx, row.ID, ""); err != nil {
			return err
		}
		_, err = tx.NewDelete().Model(row).WherePK().Exec(ctx)
		return err
	})
}

// AssociatedTypes implements [QoSSpecs].
func (s *Service) AssociatedTypes(ctx context.Context, id string) ([]Type, error) {
	if err := s.enforce(ctx, ruleQoS+"get_all", own(ctx)); err != nil {
		return nil, err
	}
	db := s.cfg.Store.Reader()
	if _, err := loadQoS(ctx, db, cmp.Or(id, "none")); err != nil {
		return nil, err
	}
	var rows []typeRow
	if err := db.NewSelect().Model(&rows).Where("typ.qos_id = ?", id).Order("typ.name").Scan(ctx); err != nil {
		return nil, err
	}
	out := make([]Type, len(rows))
	for i, r := range rows {
		out[i] = r.Type
	}
	return out, nil
}

// AssociateQoS implements [QoSSpecs].
func (s *Service) AssociateQoS(ctx context.Context, id, typeID string) error {
	return s.changeQoS(ctx, id, "associate", func(ctx context.Context, tx *store.Tx, row *qosRow) error {
		t, err := loadType(ctx, tx, typeID)
		if err != nil {
			return err
		}
		if t.QoSID != "" && t.QoSID != row.ID {
			return badRequest("Invalid volume type: Type %s is already associated with another qos specs: %s", t.ID, t.QoSID)
		}
		_, err = tx.NewRaw("UPDATE blockstorage_types SET qos_id = ? WHERE id = ?", row.ID, t.ID).Exec(ctx)
		return err
	})
}

// DisassociateQoS implements [QoSSpecs].
func (s *Service) DisassociateQoS(ctx context.Context, id, typeID string) error {
	return s.changeQoS(ctx, id, "disassociate", func(ctx context.Context, tx *store.Tx, row *qosRow) error {
		if typeID != "" {
			if _, err := loadType(ctx, tx, typeID); err != nil {
				return err
			}
		}
		return dissociate(ctx, tx, row.ID, typeID)
	})
}

// dissociate takes QoS specs from a type, or from all.
func dissociate(ctx context.Context, tx *store.Tx, id, typeID string) error {
	_, err := tx.NewRaw("UPDATE blockstorage_types SET qos_id = '' WHERE qos_id = ? AND (? = '' OR id = ?)", id, typeID, typeID).Exec(ctx)
	return err
}
