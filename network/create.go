package network

import (
	"context"
	"slices"
	"strconv"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// newIDs returns the ids of n new resources. All follow from the first, so that
// a repeated bulk request finds everything that it made.
func (s *Service) newIDs(n int) []string { return idsAfter(s.cfg.IDs.New(), n) }

func idsAfter(first string, n int) []string {
	ids := []string{first}
	for i := 1; i < n; i++ {
		ids = append(ids, nephos.ChildID(first, strconv.Itoa(i)))
	}
	return ids
}

// repeated returns what an earlier request with the same idempotency key made;
// not ok when this is the first.
func repeated[T any](ctx context.Context, tx *store.Tx, operation string, ids []string,
	load func(ids ...string) ([]T, error), id func(T) string,
) ([]T, bool, error) {
	first, isFirst, err := tx.Once(ctx, "network."+operation, ids[0])
	if err != nil || isFirst {
		return nil, false, err
	}
	ids = idsAfter(first, len(ids))
	items, err := load(ids...)
	if err != nil {
		return nil, true, err
	}
	slices.SortFunc(items, func(a, b T) int { return slices.Index(ids, id(a)) - slices.Index(ids, id(b)) })
	if len(items) == 0 {
		return nil, true, nephos.Errorf(nephos.ErrNotFound, "What the first request with this Idempotency-Key made could not be found.")
	}
	return items, true, nil
}
