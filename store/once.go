package store

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

type onceRow struct {
	bun.BaseModel `bun:"table:idempotency"`

	Owner      string `bun:",pk"` // user and project
	Key        string `bun:",pk"`
	Operation  string `bun:",pk"`
	Digest     string
	ResourceID string
	At         time.Time
}

// Once remembers what the client's Idempotency-Key made. A create calls it in
// its transaction with the new resource's id before it writes anything. The
// first time, or without a key, it returns that id and true; on a retry it
// returns the first resource's id and false, and the create then returns that
// resource instead. The same key with another request is ErrInvalid.
func (tx *Tx) Once(ctx context.Context, operation, id string) (string, bool, error) {
	k, ok := nephos.IdempotencyFrom(ctx)
	if !ok {
		return id, true, nil
	}
	old, ok, err := made(ctx, tx, operation)
	if ok || err != nil {
		return old, false, err
	}
	row := onceRow{Owner: onceOwner(ctx), Key: k.Key, Operation: operation, Digest: k.Digest, ResourceID: id, At: tx.Now()}
	_, err = tx.NewInsert().Model(&row).Exec(ctx)
	return id, true, err
}

// Made returns the id of what the client's Idempotency-Key made before; false
// without a key, or when it made nothing yet. A create whose checks a retry would
// not pass, since the first request changed what they look at, asks here before
// them. The same key with another request is ErrInvalid.
func (db *DB) Made(ctx context.Context, operation string) (id string, ok bool, err error) {
	return made(ctx, db.read, operation)
}

// Forget lets a retry begin anew: for a create that recorded something in one
// transaction and has to take it back in another.
func (tx *Tx) Forget(ctx context.Context, operation string) error {
	k, ok := nephos.IdempotencyFrom(ctx)
	if !ok {
		return nil
	}
	_, err := tx.NewDelete().Model((*onceRow)(nil)).
		Where("owner = ? AND key = ? AND operation = ?", onceOwner(ctx), k.Key, operation).Exec(ctx)
	return err
}

// onceOwner is whose keys count: nobody sees another's.
func onceOwner(ctx context.Context) string {
	c, _ := nephos.CallerFrom(ctx)
	return c.UserID + "/" + c.ProjectID
}

func made(ctx context.Context, db bun.IDB, operation string) (id string, ok bool, err error) {
	k, ok := nephos.IdempotencyFrom(ctx)
	if !ok {
		return "", false, nil
	}
	var old []onceRow
	err = db.NewSelect().Model(&old).Where("owner = ? AND key = ? AND operation = ?", onceOwner(ctx), k.Key, operation).Scan(ctx)
	if err != nil || len(old) == 0 {
		return "", false, err
	}
	if old[0].Digest != k.Digest {
		return "", false, nephos.Errorf(nephos.ErrInvalid, "The Idempotency-Key was used before with a different request.").WithField("Idempotency-Key")
	}
	return old[0].ResourceID, true, nil
}
