package sqlstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

type partRow struct {
	bun.BaseModel `bun:"table:placement_parts,alias:part"`

	ProviderUUID string `bun:",pk"`
	Part         string `bun:",pk"`
	ConsumerUUID string
}

type assignmentRow struct {
	bun.BaseModel `bun:"table:placement_assignments,alias:assignment"`

	ConsumerUUID string `bun:",pk"`
	ProviderUUID string
	Body         string
	CreatedAt    time.Time
}

// assign chooses, in the claims' transaction, which CPUs and devices of its host
// each consumer gets for what it claims of NUMA cells and devices, and keeps them
// away from others. Where the amounts suffice and the parts that are left will not
// do, it fails with errAllFull, and the decision is to be made anew.
func (j *job) assign(ctx context.Context, tx *store.Tx, list ...allocation) error {
	type land struct {
		host  scheduler.Host
		taken map[string]bool
	}
	lands := map[string]land{}
	var parts []partRow
	var kept []assignmentRow
	for _, c := range list {
		if !ofParts(c.amounts) {
			continue
		}
		l, ok := lands[c.uuid]
		if !ok {
			var err error
			if l.host, l.taken, err = loadLand(ctx, tx, c.uuid); err != nil {
				return err
			}
			lands[c.uuid] = l
		}
		a, err := scheduler.Assign(l.host, j.req, c.amounts, l.taken)
		var no *nephos.Error
		if errors.As(err, &no) && no.Kind == nephos.ErrNoCapacity {
			j.fulls = append(j.fulls, &full{reason: no, uuid: c.uuid, parts: true})
			return errAllFull
		}
		if err != nil {
			return err
		}
		if a == nil {
			continue
		}
		for _, p := range a.Parts() {
			l.taken[p] = true
			parts = append(parts, partRow{ProviderUUID: c.uuid, Part: p, ConsumerUUID: c.consumer})
		}
		body, err := json.Marshal(a)
		if err != nil {
			return err
		}
		kept = append(kept, assignmentRow{ConsumerUUID: c.consumer, ProviderUUID: c.uuid, Body: string(body), CreatedAt: tx.Now()})
	}
	for some := range slices.Chunk(parts, chunk) {
		if _, err := tx.NewInsert().Model(&some).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(kept, chunk) {
		if _, err := tx.NewInsert().Model(&some).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ofParts says whether amounts may be of NUMA cells or devices.
func ofParts(amounts scheduler.Resources) bool {
	for class := range amounts {
		if strings.HasPrefix(class, "CUSTOM_") {
			return true
		}
	}
	return false
}

// loadLand returns a host as its owner described it last, and what of it is given
// away. A provider that is no host has nothing to give.
func loadLand(ctx context.Context, tx *store.Tx, uuid string) (h scheduler.Host, taken map[string]bool, err error) {
	var hosts []hostRow
	if err := tx.NewSelect().Model(&hosts).Where("provider_uuid = ?", uuid).Scan(ctx); err != nil {
		return h, nil, err
	}
	if len(hosts) == 0 {
		return h, nil, nil
	}
	if h, err = undescribe(hosts[0].Description); err != nil {
		return h, nil, fmt.Errorf("reading what host %s has to give: %w", hosts[0].HostID, err)
	}
	var rows []partRow
	err = tx.NewSelect().Model(&rows).Where("provider_uuid = ?", uuid).Scan(ctx)
	taken = make(map[string]bool, len(rows))
	for _, r := range rows {
		taken[r.Part] = true
	}
	return h, taken, err
}

// unassign gives back what assign gave. Who has parts has an assignment: most
// consumers have neither, and cost one statement.
func unassign(ctx context.Context, tx *store.Tx, consumer string) error {
	for _, table := range []string{"placement_assignments", "placement_parts"} {
		res, err := tx.NewRaw("DELETE FROM ? WHERE consumer_uuid = ?", bun.Ident(table), consumer).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); n == 0 || err != nil {
			return err
		}
	}
	return nil
}

// reassign has another consumer keep the parts.
func reassign(ctx context.Context, tx *store.Tx, from, to string) error {
	for _, table := range []string{"placement_parts", "placement_assignments"} {
		_, err := tx.NewRaw("UPDATE ? SET consumer_uuid = ? WHERE consumer_uuid = ?", bun.Ident(table), to, from).Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// Assignment returns which parts of its host a consumer has: what [Store.Schedule]
// gave it with its claim, until [Store.Release]. It fails with nephos.ErrNotFound
// if it has none.
func (s *Store) Assignment(ctx context.Context, consumerID string) (scheduler.Assignment, error) {
	var rows []assignmentRow
	var a scheduler.Assignment
	if err := s.cfg.Store.Reader().NewSelect().Model(&rows).Where("consumer_uuid = ?", consumerID).Scan(ctx); err != nil {
		return a, err
	}
	if len(rows) == 0 {
		return a, nephos.NotFound("Assignment of", consumerID)
	}
	if err := json.Unmarshal([]byte(rows[0].Body), &a); err != nil {
		return a, fmt.Errorf("reading which parts of its host %s has: %w", consumerID, err)
	}
	return a, nil
}
