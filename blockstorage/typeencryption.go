package blockstorage

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// TypeEncryption says how volumes of a type are to be encrypted. Until a pool
// and a keeper of keys offer that, no volume can be made of such a type.
type TypeEncryption struct {
	TypeID          string `bun:",pk"`
	ID              string
	Provider        string // luks, plain or the name of a class of Cinder's
	ControlLocation string // front-end or back-end
	Cipher          *string
	KeySize         *int
	CreatedAt       time.Time
	UpdatedAt       *time.Time
}

// TypeEncryptionUpdate changes it; what is nil stays.
type TypeEncryptionUpdate struct {
	Provider, ControlLocation *string
	Cipher                    **string
	KeySize                   **int
}

// TypeEncryptions is what the Block Storage API's encryption of volume types
// needs. Nothing of it can be changed while a volume has the type.
type TypeEncryptions interface {
	// TypeEncryption returns nil for a type that asks for none.
	TypeEncryption(ctx context.Context, typeID string) (*TypeEncryption, error)
	CreateTypeEncryption(ctx context.Context, e TypeEncryption) (TypeEncryption, error)
	UpdateTypeEncryption(ctx context.Context, typeID string, u TypeEncryptionUpdate) error
	DeleteTypeEncryption(ctx context.Context, typeID string) error
}

var _ TypeEncryptions = (*Service)(nil)

type typeEncryptionRow struct {
	bun.BaseModel `bun:"table:blockstorage_type_encryption,alias:enc"`
	TypeEncryption
}

const ruleEncryption = "volume_extension:volume_type_encryption:"

func loadEncryption(ctx context.Context, db bun.IDB, typeID string) (*typeEncryptionRow, error) {
	var rows []typeEncryptionRow
	if err := db.NewSelect().Model(&rows).Where("enc.type_id = ?", typeID).Scan(ctx); err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// TypeEncryption implements [TypeEncryptions].
func (s *Service) TypeEncryption(ctx context.Context, typeID string) (*TypeEncryption, error) {
	if err := s.enforce(ctx, ruleEncryption+"get", own(ctx)); err != nil {
		return nil, err
	}
	if _, err := loadType(ctx, s.cfg.Store.Reader(), typeID); err != nil {
		return nil, err
	}
	row, err := loadEncryption(ctx, s.cfg.Store.Reader(), typeID)
	if err != nil || row == nil {
		return nil, err
	}
	return &row.TypeEncryption, nil
}

// onceEncryption is what an Idempotency-Key is kept for.
const onceEncryption = "blockstorage.create_type_encryption"

// encryptionMadeBefore returns what a type asks for, to a request that is sent
// again.
func (s *Service) encryptionMadeBefore(ctx context.Context, typeID string, err error) (TypeEncryption, error) {
	if err == nil {
		err = s.enforce(ctx, ruleEncryption+"create", own(ctx))
	}
	if err != nil {
		return TypeEncryption{}, err
	}
	row, err := loadEncryption(ctx, s.cfg.Store.Reader(), typeID)
	if err != nil {
		return TypeEncryption{}, err
	}
	if row == nil {
		return TypeEncryption{}, noEncryption(typeID)
	}
	return row.TypeEncryption, nil
}

// CreateTypeEncryption implements [TypeEncryptions].
func (s *Service) CreateTypeEncryption(ctx context.Context, e TypeEncryption) (TypeEncryption, error) {
	if _, ok, err := s.cfg.Store.Made(ctx, onceEncryption); ok || err != nil {
		return s.encryptionMadeBefore(ctx, e.TypeID, err)
	}
	e.ID = s.cfg.IDs.New()
	err := s.changeEncryption(ctx, e.TypeID, "create", func(ctx context.Context, tx *store.Tx, row *typeEncryptionRow) error {
		if _, _, err := tx.Once(ctx, onceEncryption, e.ID); err != nil {
			return err
		}
		if row != nil {
			return nephos.Errorf(nephos.ErrInvalid, "Volume type encryption for type %s already exists.", e.TypeID)
		}
		e.CreatedAt = tx.Now()
		return insert(ctx, tx, &typeEncryptionRow{TypeEncryption: e})
	})
	return e, err
}

// UpdateTypeEncryption implements [TypeEncryptions].
func (s *Service) UpdateTypeEncryption(ctx context.Context, typeID string, u TypeEncryptionUpdate) error {
	return s.changeEncryption(ctx, typeID, "update", func(ctx context.Context, tx *store.Tx, row *typeEncryptionRow) error {
		if row == nil {
			return noEncryption(typeID)
		}
		set(&row.Provider, u.Provider)
		set(&row.ControlLocation, u.ControlLocation)
		set(&row.Cipher, u.Cipher)
		set(&row.KeySize, u.KeySize)
		now := tx.Now()
		row.UpdatedAt = &now
		return save(ctx, tx, row)
	})
}

// DeleteTypeEncryption implements [TypeEncryptions].
func (s *Service) DeleteTypeEncryption(ctx context.Context, typeID string) error {
	return s.changeEncryption(ctx, typeID, "delete", func(ctx context.Context, tx *store.Tx, row *typeEncryptionRow) error {
		if row == nil {
			return noEncryption(typeID)
		}
		_, err := tx.NewDelete().Model(row).WherePK().Exec(ctx)
		return err
	})
}

func noEncryption(typeID string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Volume type encryption for type %s does not exist.", clip(typeID))
}

// changeEncryption runs f on what a type that no volume has asks for.
func (s *Service) changeEncryption(ctx context.Context, typeID, verb string, f func(context.Context, *store.Tx, *typeEncryptionRow) error) error {
	if err := s.enforce(ctx, ruleEncryption+verb, own(ctx)); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if used, err := typeInUse(ctx, tx, typeID); err != nil || used {
			if used {
				return badRequest("Cannot %s encryption specs. Volume type in use.", verb)
			}
			return err
		}
		if _, err := loadType(ctx, tx, typeID); err != nil {
			return err
		}
		row, err := loadEncryption(ctx, tx, typeID)
		if err != nil {
			return err
		}
		if err := f(ctx, tx, row); err != nil {
			return err
		}
		return s.emit(ctx, tx, "volume_type_encryption."+verb, typeID, "", nil)
	})
}

// refuseEncrypted refuses a volume of a type that asks for encryption: nothing
// here keeps keys.
func refuseEncrypted(ctx context.Context, db bun.IDB, t Type) error {
	row, err := loadEncryption(ctx, db, t.ID)
	if err != nil || row == nil {
		return err
	}
	return nephos.Errorf(nephos.ErrInvalid, "Invalid volume type: volumes of %s are to be encrypted, which no pool offers", t.Name).WithField("volume_type")
}
