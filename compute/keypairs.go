package compute

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// The types of keypairs.
const (
	KeySSH  = "ssh"
	KeyX509 = "x509"
)

// KeyPair is the public half of a user's key. The private half is kept nowhere.
type KeyPair struct {
	Number      int64 `bun:"seq,pk,autoincrement"`
	UserID      string
	Name        string
	Type        string
	Fingerprint string // MD5 of an SSH key, SHA-1 of a certificate, in hex with colons
	PublicKey   string
	CreatedAt   time.Time

	// PrivateKey is what [Service.CreateKeyPair] answers with, in PEM.
	PrivateKey string `bun:"-"`
}

// KeyPairSpec describes a keypair to make or import.
type KeyPairSpec struct {
	UserID    string // empty: the caller
	Name      string // unique for the user
	Type      string // empty: ssh
	PublicKey string // empty: a pair is generated
}

// KeyPairs is what the Compute API's keypairs need. An empty user is the caller.
type KeyPairs interface {
	// CreateKeyPair imports a public key, or generates an RSA key of 2048 bits.
	// A name that is taken is ErrConflict, one too many ErrQuota; generating
	// anything but SSH keys is errors.ErrUnsupported.
	CreateKeyPair(ctx context.Context, spec KeyPairSpec) (KeyPair, error)
	KeyPair(ctx context.Context, userID, name string) (KeyPair, error)
	// ListKeyPairs returns a user's keypairs by name. The marker is a name.
	ListKeyPairs(ctx context.Context, userID string, p nephos.Page) ([]KeyPair, bool, error)
	DeleteKeyPair(ctx context.Context, userID, name string) error
}

var _ KeyPairs = (*Service)(nil)

type keyPairRow struct {
	bun.BaseModel `bun:"table:compute_keypairs,alias:keypair"`
	KeyPair
}

// keyPairOwner checks that the caller may do that to the user's keypairs, and
// says whose they are.
func (s *Service) keyPairOwner(ctx context.Context, verb, userID string) (string, error) {
	if userID == "" {
		userID = caller(ctx).UserID
	}
	return userID, s.cfg.Policy.Enforce(ctx, keyPairRule(verb), map[string]any{"user_id": userID})
}

// onceKeyPair is what an Idempotency-Key is kept for. A private key is told once
// and kept nowhere, so that a retry cannot be told it again: a generated pair is
// refused as one that there is.
const onceKeyPair = "compute.create_keypair"

// CreateKeyPair implements [KeyPairs].
func (s *Service) CreateKeyPair(ctx context.Context, spec KeyPairSpec) (KeyPair, error) {
	owner, err := s.keyPairOwner(ctx, "create", spec.UserID)
	if err != nil {
		return KeyPair{}, err
	}
	if spec.Name == "" || len(spec.Name) > 255 || len(owner) > 64 {
		return KeyPair{}, invalid("Keypair data is invalid: Keypair name must be string and between 1 and 255 characters long").WithField("name")
	}
	k := KeyPair{UserID: owner, Name: spec.Name, Type: spec.Type, PublicKey: spec.PublicKey}
	if k.Type == "" {
		k.Type = KeySSH
	}
	if _, ok, err := s.cfg.Store.Made(ctx, onceKeyPair); err != nil {
		return KeyPair{}, err
	} else if ok {
		return loadKeyPair(ctx, s.cfg.Store.Reader(), owner, spec.Name)
	}
	// Before the work of making a key: most refusals come from here.
	if err := s.roomForKeyPair(ctx, s.cfg.Store.Reader(), owner); err != nil {
		return KeyPair{}, err
	}
	if spec.PublicKey == "" {
		err = k.generate()
	} else {
		err = k.read()
	}
	if err != nil {
		return KeyPair{}, err
	}
	private := k.PrivateKey
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if private == "" {
			_, first, err := tx.Once(ctx, onceKeyPair, owner+"/"+k.Name)
			if err != nil {
				return err
			}
			if !first {
				k, err = loadKeyPair(ctx, tx, owner, spec.Name)
				return err
			}
		}
		if err := s.roomForKeyPair(ctx, tx, owner); err != nil {
			return err
		}
		k.CreatedAt = tx.Now()
		row := keyPairRow{KeyPair: k}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		k.Number = row.Number
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "keypair.create", ResourceID: k.Name, UserID: owner}, nil)
	})
	if store.UniqueViolation(err) {
		err = nephos.Errorf(nephos.ErrConflict, "Key pair '%s' already exists.", k.Name).WithField("name")
	}
	return k, err
}

// roomForKeyPair holds the user's keypairs against the quota.
func (s *Service) roomForKeyPair(ctx context.Context, db bun.IDB, userID string) error {
	limit, err := s.limitOf(ctx, db, caller(ctx).ProjectID, "key_pairs")
	if err != nil || limit < 0 {
		return err
	}
	n, err := db.NewSelect().Model((*keyPairRow)(nil)).Where("keypair.user_id = ?", userID).Count(ctx)
	if err == nil && int(n) >= limit {
		err = nephos.Errorf(nephos.ErrQuota, "Quota exceeded, too many key pairs.")
	}
	return err
}

func keyPairNotFound(userID, name string) error {
	return nephos.Errorf(nephos.ErrNotFound, "Keypair %s not found for user %s", clip(name), userID)
}

func loadKeyPair(ctx context.Context, db bun.IDB, userID, name string) (KeyPair, error) {
	var rows []keyPairRow
	err := db.NewSelect().Model(&rows).Where("keypair.user_id = ? AND keypair.name = ?", userID, name).Scan(ctx)
	if err != nil {
		return KeyPair{}, err
	}
	if len(rows) == 0 {
		return KeyPair{}, keyPairNotFound(userID, name)
	}
	return rows[0].KeyPair, nil
}

// KeyPair implements [KeyPairs].
func (s *Service) KeyPair(ctx context.Context, userID, name string) (KeyPair, error) {
	owner, err := s.keyPairOwner(ctx, "show", userID)
	if err != nil {
		return KeyPair{}, err
	}
	return loadKeyPair(ctx, s.cfg.Store.Reader(), owner, name)
}

// ListKeyPairs implements [KeyPairs].
func (s *Service) ListKeyPairs(ctx context.Context, userID string, p nephos.Page) ([]KeyPair, bool, error) {
	owner, err := s.keyPairOwner(ctx, "index", userID)
	if err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []keyPairRow
	q := db.NewSelect().Model(&rows).Where("keypair.user_id = ?", owner)
	order := store.Keyset{
		Table: "compute_keypairs", Alias: "keypair", ID: "name", Among: map[string]any{"user_id": owner},
		Keys: []store.Key{{Expr: "@.name"}}, Missing: noMarker,
	}
	more, err := store.ReadPage(ctx, db, order, q, &rows, p)
	if err != nil {
		return nil, false, err
	}
	out := make([]KeyPair, len(rows))
	for i, r := range rows {
		out[i] = r.KeyPair
	}
	return out, more, nil
}

// DeleteKeyPair implements [KeyPairs].
func (s *Service) DeleteKeyPair(ctx context.Context, userID, name string) error {
	owner, err := s.keyPairOwner(ctx, "delete", userID)
	if err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		res, err := tx.NewRaw("DELETE FROM compute_keypairs WHERE user_id = ? AND name = ?", owner, name).Exec(ctx)
		if err != nil {
			return err
		}
		if n, _ := res.RowsAffected(); n == 0 {
			return keyPairNotFound(owner, name)
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "keypair.delete", ResourceID: name, UserID: owner}, nil)
	})
}

// bootKeyPair returns the public key of the context's user's keypair:
// ErrInvalid "Invalid key_name provided." when there is none.
func (s *Service) bootKeyPair(ctx context.Context, name string) (publicKey string, kind string, err error) {
	var rows []keyPairRow
	err = s.cfg.Store.Reader().NewSelect().Model(&rows).
		Where("keypair.user_id = ? AND keypair.name = ?", caller(ctx).UserID, name).Scan(ctx)
	if err != nil {
		return "", "", err
	}
	if len(rows) == 0 {
		return "", "", invalid("Invalid key_name provided.").WithField("key_name")
	}
	return rows[0].PublicKey, rows[0].Type, nil
}
