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
	c, _ := nephos.CallerFrom(ctx)
	row := onceRow{Owner: c.UserID + "/" + c.ProjectID, Key: k.Key, Operation: operation, Digest: k.Digest, ResourceID: id, At: tx.Now()}
	var old []onceRow
	err := tx.NewSelect().Model(&old).Where("owner = ? AND key = ? AND operation = ?", row.Owner, row.Key, operation).Scan(ctx)
	if err != nil {
		return "", false, err
	}
	if len(old) == 1 {
		if old[0].Digest != k.Digest {
			return "", false, nephos.Errorf(nephos.ErrInvalid, "The Idempotency-Key was used before with a different request.").WithField("Idempotency-Key")
		}
		return old[0].ResourceID, false, nil
	}
	_, err = tx.NewInsert().Model(&row).Exec(ctx)
	return id, true, err
}
