package sqlstore

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// errNotAtOnce undoes a transaction whose claim did not go the short way.
var errNotAtOnce = errors.New("the claim did not go through at once")

// claimStatement is one text for all claims, so that a connection has it parsed
// and planned once. $1 to $4 are the consumer, $5 is now, $6 the provider, $7 and
// $8 the classes and amounts, $9 and $10 the request's id and the explanation,
// which is kept if $11.
//
// What is taken is found row by row, by the primary key, and written at once. Were
// all rows of a host or a class read first, the server would take note of their
// pages as read, other hosts' rows and all. Compared as pairs, nothing but that key
// can find them, and nothing but a loop join them.
const claimStatement = `
WITH wanted AS (
	SELECT class, amount FROM UNNEST($7::varchar[], $8::bigint[]) AS w (class, amount)
), consumer AS (
	INSERT INTO placement_consumers (uuid, generation, project_id, user_id, type, created_at, updated_at)
	VALUES ($1, 1, $2, $3, $4, $5, $5) ON CONFLICT (uuid) DO NOTHING RETURNING uuid
), taken AS (
	UPDATE placement_inventories i SET used = i.used + w.amount FROM wanted w
	WHERE (i.provider_uuid, i.class) >= ($6, w.class) AND (i.provider_uuid, i.class) <= ($6, w.class) AND i.used + w.amount <= i.capacity
		AND w.amount >= i.min_unit AND (i.max_unit = 0 OR w.amount <= i.max_unit) AND w.amount % i.step_size = 0
	RETURNING i.class, i.used, w.amount
), provider AS (
	UPDATE placement_providers SET generation = generation + 1, consumers = consumers + 1, updated_at = $5
	WHERE uuid = $6 AND (SELECT COUNT(*) FROM taken) = CARDINALITY($8::bigint[]) AND EXISTS (SELECT 1 FROM consumer)
	RETURNING generation, uncounted, consumers
), allocated AS (
	INSERT INTO placement_allocations (consumer_uuid, provider_uuid, class, used, created_at)
	SELECT $1, $6, taken.class, taken.amount, $5 FROM taken, provider
), explained AS (
	INSERT INTO placement_explanations (request_id, consumer_uuid, at, body)
	SELECT $9, $1, $5, $10 FROM provider WHERE $11 RETURNING seq
)
SELECT taken.class, taken.used, provider.generation, provider.uncounted, provider.consumers, COALESCE((SELECT seq FROM explained), 1) FROM taken, provider`

// claimAtOnce claims a host's resources for a new consumer and keeps the
// explanation in one statement, which PostgreSQL can and SQLite cannot: claims
// of several processes then spend their time in the database, and not between
// its answers. A row that was only read would keep a page of other hosts' rows
// from changing, so it reads none but those that it writes.
//
// It fails with errNotAtOnce if the host has too little left or the consumer is
// known; nothing has changed then, and the claim is to be made step by step.
func (j *single) claimAtOnce(ctx context.Context, host scheduler.HostRef, want scheduler.Resources, body string) error {
	s, c, uuid, now := j.s, j.o.Consumer, ProviderID(host.ID), j.s.cfg.Store.Clock().Now()
	classes := slices.Sorted(maps.Keys(want))
	amounts := make([]int64, len(classes))
	for i, class := range classes {
		amounts[i] = want[class]
	}
	var used scheduler.Resources
	var generation, uncounted, seq int64
	var consumers int
	claim := store.Statement{
		SQL:  claimStatement,
		Args: []any{c.ID, c.ProjectID, c.UserID, c.Type, now, uuid, classes, amounts, j.req.ID, body, s.cfg.Explanations >= 0},
		Read: func(rows store.Rows) error {
			used = scheduler.Resources{}
			for rows.Next() {
				var class string
				var amount int64
				if err := rows.Scan(&class, &amount, &generation, &uncounted, &consumers, &seq); err != nil {
					return err
				}
				used[class] = amount
			}
			return nil
		},
	}
	defer s.turns.take(ctx)()
	return s.cfg.Store.TxFirst(ctx, claim, func(ctx context.Context, tx *store.Tx) error {
		if len(used) == 0 {
			return errNotAtOnce
		}
		tx.AfterCommit(func() {
			s.canopy.observe(uuid, useChange{generation, uncounted, used, now})
			s.observe(uuid, generation, used, consumers)
		})
		j.fulls = nil
		if err := j.assign(ctx, tx, allocation{c.ID, uuid, want}); err != nil {
			return err
		}
		if err := s.pruneExplanations(ctx, tx, seq); err != nil || j.commit == nil {
			return err
		}
		return j.commit(ctx, tx, host)
	})
}
