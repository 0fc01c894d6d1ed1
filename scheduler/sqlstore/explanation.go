package sqlstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

func encodeExplanation(e scheduler.Explanation) (string, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return "", fmt.Errorf("encoding an explanation: %w", err)
	}
	return string(b), nil
}

// pruneEvery is after how many explanations the oldest are forgotten.
const pruneEvery = 64

// explained is a consumer and the explanation of the decision for it.
type explained struct{ consumer, body string }

// keepExplanations keeps the explanations of one request and, now and then,
// forgets those that are too many.
func (s *Store) keepExplanations(ctx context.Context, tx *store.Tx, requestID string, list ...explained) error {
	if s.cfg.Explanations < 0 {
		return nil
	}
	var q strings.Builder
	q.WriteString("INSERT INTO placement_explanations (request_id, consumer_uuid, at, body) VALUES ")
	args := []any{requestID, tx.Now()}
	for i, e := range list {
		if i > 0 {
			q.WriteString(", ")
		}
		q.WriteString("(?0, ")
		placeholders(&q, len(args), 1, "")
		q.WriteString(", ?1, ")
		placeholders(&q, len(args)+1, 1, "")
		q.WriteString(")")
		args = append(args, e.consumer, e.body)
	}
	q.WriteString(" RETURNING seq")
	var seqs []int64
	if err := tx.NewRaw(q.String(), args...).Scan(ctx, &seqs); err != nil {
		return err
	}
	for _, seq := range seqs {
		if err := s.pruneExplanations(ctx, tx, seq); err != nil {
			return err
		}
	}
	return nil
}

// pruneExplanations forgets the oldest explanations, now and then, when the one
// of that number was kept.
func (s *Store) pruneExplanations(ctx context.Context, tx *store.Tx, seq int64) error {
	keep := int64(s.cfg.Explanations)
	if keep < 0 || seq%pruneEvery != 0 {
		return nil
	}
	return tx.Sweep(ctx, "DELETE FROM placement_explanations WHERE seq <= ?", seq-keep)
}

// Explanation returns why the newest decision for a request or a consumer, by
// its id, fell as it did. It fails with nephos.ErrNotFound if none was made or
// it was forgotten; the store keeps about Config.Explanations of them.
func (s *Store) Explanation(ctx context.Context, id string) (scheduler.Explanation, error) {
	var rows []explanationRow
	err := s.cfg.Store.Reader().NewSelect().Model(&rows).
		Where("consumer_uuid = ? OR request_id = ? AND request_id <> consumer_uuid", id, id).Order("seq DESC").Limit(1).Scan(ctx)
	if err != nil {
		return scheduler.Explanation{}, fmt.Errorf("reading the explanation of %s: %w", id, err)
	}
	if len(rows) == 0 {
		return scheduler.Explanation{}, nephos.NotFound("Explanation of", id)
	}
	var e scheduler.Explanation
	if err := json.Unmarshal([]byte(rows[0].Body), &e); err != nil {
		return scheduler.Explanation{}, fmt.Errorf("reading the explanation of %s: %w", id, err)
	}
	return e, nil
}
