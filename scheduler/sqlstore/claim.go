package sqlstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Consumer is what uses resources: mostly a server, by its id. Type is a
// consumer type of the Placement API, such as INSTANCE or MIGRATION; empty means
// unknown.
type Consumer struct{ ID, ProjectID, UserID, Type string }

func (c Consumer) check() error {
	if c.ID == "" || len(c.ID) > 255 || len(c.ProjectID) > 255 || len(c.UserID) > 255 || len(c.Type) > 255 {
		return nephos.Errorf(nephos.ErrInvalid, "consumer %.64q is without an id or has one that is too long", c.ID).WithField("consumer")
	}
	return nil
}

// Claim is what a consumer uses of one host.
type Claim struct {
	Consumer  Consumer
	HostID    string
	Resources scheduler.Resources
}

// Claim claims resources of a host, which need not be up or enabled, in the
// caller's transaction: for what needs no decision, such as a forced move.
// Claiming the same again is no error. It takes amounts only: which CPUs and
// devices they come to, [Store.Schedule] chooses.
//
// It fails with nephos.ErrNoCapacity if the host has too little left, with
// nephos.ErrNotFound if there is no such host, and with nephos.ErrConflict if
// the consumer has another claim. The transaction must then be given up.
func (s *Store) Claim(ctx context.Context, tx *store.Tx, c Consumer, hostID string, want scheduler.Resources) error {
	want, err := s.checkClaim(c, want)
	if err != nil {
		return err
	}
	uuid := ProviderID(hostID)
	if _, err := loadProvider(ctx, tx, uuid); err != nil {
		return nephos.NotFound("Host", hostID)
	}
	known, err := enter(ctx, tx, c)
	if err != nil {
		return err
	}
	switch held := known[c.ID]; {
	case len(held) == 1 && maps.Equal(held[uuid], want):
		return nil
	case len(held) > 0:
		return nephos.Errorf(nephos.ErrConflict, "claiming resources of host %s: consumer %s has another claim", hostID, c.ID)
	}
	if err := s.change(ctx, tx, uuid, want, want, 1, true); err != nil {
		return err
	}
	return insertAllocations(ctx, tx, allocation{c.ID, uuid, want})
}

func (s *Store) checkClaim(c Consumer, want scheduler.Resources) (scheduler.Resources, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	out := make(scheduler.Resources, len(want))
	for class, n := range want {
		if n < 0 || n > maxAmount {
			return nil, nephos.Errorf(nephos.ErrInvalid, "claiming %d of %.64q: out of bounds", n, class).WithField("resources")
		}
		if n > 0 {
			out[class] = n
		}
	}
	if len(out) == 0 {
		return nil, nephos.Errorf(nephos.ErrInvalid, "consumer %s claims nothing", c.ID).WithField("resources")
	}
	return out, nil
}

// maxAmount bounds every amount, so that sums of them cannot overflow.
const maxAmount = 1 << 53

// Release gives back, in the caller's transaction, all that a consumer claimed.
// Releasing what is not claimed is no error.
func (s *Store) Release(ctx context.Context, tx *store.Tx, consumerID string) error {
	held, err := loadAllocations(ctx, tx, consumerID)
	if err != nil {
		return err
	}
	for _, uuid := range slices.Sorted(maps.Keys(held)) {
		give := scheduler.Resources{}
		for class, n := range held[uuid] {
			give[class] = -n
		}
		if err := s.change(ctx, tx, uuid, give, nil, -1, false); err != nil {
			return err
		}
	}
	if len(held) > 0 {
		if _, err := tx.NewRaw("DELETE FROM placement_allocations WHERE consumer_uuid = ?", consumerID).Exec(ctx); err != nil {
			return err
		}
	}
	if err := unassign(ctx, tx, consumerID); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(consumerID)
	})
	_, err = tx.NewRaw("DELETE FROM placement_consumers WHERE uuid = ?", consumerID).Exec(ctx)
	return err
}

// Transfer gives, in the caller's transaction, all that one consumer claimed to
// another, as when a server's old claim is kept under the id of its migration.
// Transferring again is no error. It fails with nephos.ErrConflict if the other
// has a claim of its own, and with nephos.ErrNotFound if neither has one.
func (s *Store) Transfer(ctx context.Context, tx *store.Tx, fromID string, to Consumer) error {
	if err := to.check(); err != nil {
		return err
	}
	from, err := loadAllocations(ctx, tx, fromID)
	if err != nil {
		return err
	}
	has, err := loadAllocations(ctx, tx, to.ID)
	switch {
	case err != nil:
		return err
	case len(from) == 0 && len(has) == 0:
		return nephos.NotFound("Claim of", fromID)
	case len(from) == 0:
		return nil
	case len(has) > 0:
		return nephos.Errorf(nephos.ErrConflict, "transferring the claim of %s: %s has one already", fromID, to.ID)
	}
	if _, err := enter(ctx, tx, to); err != nil {
		return err
	}
	if _, err := tx.NewRaw("UPDATE placement_allocations SET consumer_uuid = ? WHERE consumer_uuid = ?", to.ID, fromID).Exec(ctx); err != nil {
		return err
	}
	if err := reassign(ctx, tx, fromID, to.ID); err != nil {
		return err
	}
	_, err = tx.NewRaw("DELETE FROM placement_consumers WHERE uuid = ?", fromID).Exec(ctx)
	return err
}

// ClaimOf returns what a consumer claimed. It fails with nephos.ErrNotFound if
// that is nothing on a host.
func (s *Store) ClaimOf(ctx context.Context, consumerID string) (Claim, error) {
	claims, err := s.claimsWhere(ctx, "allocation.consumer_uuid = ?", consumerID)
	if err != nil {
		return Claim{}, err
	}
	if len(claims) == 0 {
		return Claim{}, nephos.NotFound("Claim of", consumerID)
	}
	return claims[0], nil
}

// Claims returns what is claimed of a host, by consumer.
func (s *Store) Claims(ctx context.Context, hostID string) ([]Claim, error) {
	return s.claimsWhere(ctx, "host.host_id = ?", hostID)
}

func (s *Store) claimsWhere(ctx context.Context, where string, arg any) ([]Claim, error) {
	var rows []struct {
		HostID, ConsumerUUID, Class, ProjectID, UserID, Type string
		Used                                                 int64
	}
	err := s.cfg.Store.Reader().NewSelect().TableExpr("placement_allocations AS allocation").
		Join("JOIN placement_hosts AS host ON host.provider_uuid = allocation.provider_uuid").
		Join("JOIN placement_consumers AS consumer ON consumer.uuid = allocation.consumer_uuid").
		ColumnExpr("host.host_id, allocation.consumer_uuid, allocation.class, allocation.used, consumer.project_id, consumer.user_id, consumer.type").
		Where(where, arg).Order("allocation.consumer_uuid", "host.host_id").Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	var claims []Claim
	for _, r := range rows {
		n := len(claims)
		if n == 0 || claims[n-1].Consumer.ID != r.ConsumerUUID || claims[n-1].HostID != r.HostID {
			claims = append(claims, Claim{
				Consumer: Consumer{r.ConsumerUUID, r.ProjectID, r.UserID, r.Type}, HostID: r.HostID, Resources: scheduler.Resources{},
			})
			n++
		}
		claims[n-1].Resources[r.Class] = r.Used
	}
	return claims, nil
}

// enter records consumers. It returns what those of them use that were known and
// use something, by consumer and provider.
func enter(ctx context.Context, tx *store.Tx, consumers ...Consumer) (map[string]map[string]scheduler.Resources, error) {
	var q strings.Builder
	q.WriteString("INSERT INTO placement_consumers (uuid, generation, project_id, user_id, type, created_at, updated_at) VALUES ")
	args, ids := []any{tx.Now()}, make([]string, len(consumers))
	for i, c := range consumers {
		if i > 0 {
			q.WriteString(", ")
		}
		q.WriteString("(")
		placeholders(&q, len(args), 1, "")
		q.WriteString(", 1, ")
		placeholders(&q, len(args)+1, 3, ", ")
		q.WriteString(", ?0, ?0)")
		args, ids[i] = append(args, c.ID, c.ProjectID, c.UserID, c.Type), c.ID
	}
	q.WriteString(" ON CONFLICT (uuid) DO NOTHING")
	res, err := tx.ExecContext(ctx, q.String(), args...)
	if err != nil {
		return nil, err
	}
	if n, err := res.RowsAffected(); err != nil || n == int64(len(consumers)) {
		return nil, err
	}
	return allocationsOf(ctx, tx, ids...)
}

// allocation is what a consumer uses of one provider.
type allocation struct {
	consumer, uuid string
	amounts        scheduler.Resources
}

func insertAllocations(ctx context.Context, tx *store.Tx, allocations ...allocation) error {
	var q strings.Builder
	q.WriteString("INSERT INTO placement_allocations (consumer_uuid, provider_uuid, class, used, created_at) VALUES ")
	args := []any{tx.Now()}
	for _, a := range allocations {
		for _, class := range slices.Sorted(maps.Keys(a.amounts)) {
			if len(args) > 1 {
				q.WriteString(", ")
			}
			q.WriteString("(")
			placeholders(&q, len(args), 4, ", ")
			q.WriteString(", ?0)")
			args = append(args, a.consumer, a.uuid, class, a.amounts[class])
		}
	}
	_, err := tx.ExecContext(ctx, q.String(), args...)
	return err
}

// loadAllocations returns what a consumer uses, by provider.
func loadAllocations(ctx context.Context, db bun.IDB, consumer string) (map[string]scheduler.Resources, error) {
	all, err := allocationsOf(ctx, db, consumer)
	return all[consumer], err
}

// allocationsOf returns what consumers use, by consumer and provider. Who uses
// nothing is left out.
func allocationsOf(ctx context.Context, db bun.IDB, consumers ...string) (map[string]map[string]scheduler.Resources, error) {
	rows, err := db.QueryContext(ctx, "SELECT consumer_uuid, provider_uuid, class, used FROM placement_allocations WHERE consumer_uuid IN (?)", bun.List(consumers))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	held := map[string]map[string]scheduler.Resources{}
	for rows.Next() {
		var consumer, uuid, class string
		var used int64
		if err := rows.Scan(&consumer, &uuid, &class, &used); err != nil {
			return nil, err
		}
		if held[consumer] == nil {
			held[consumer] = map[string]scheduler.Resources{}
		}
		if held[consumer][uuid] == nil {
			held[consumer][uuid] = scheduler.Resources{}
		}
		held[consumer][uuid][class] = used
	}
	return held, rows.Err()
}

// full says that a provider has too little left, and what its rows said.
type full struct {
	reason     *nephos.Error
	uuid       string
	class      string
	generation int64
	uncounted  int64
	consumers  int
	used       scheduler.Resources
	parts      bool // of the amounts there is enough
}

func (f *full) Error() string { return f.reason.Error() }
func (f *full) Unwrap() error { return f.reason }

// change adds the amounts of delta to the use of a provider's classes, raises
// its generation and counts its consumers; counts says whether the generation that
// others see rises, too. Amounts that grow must fit; whole,
// where not nil, are the amounts that one consumer gets, which the inventory's
// units must allow.
func (s *Store) change(ctx context.Context, tx *store.Tx, uuid string, delta, whole scheduler.Resources, consumers int, counts bool) error {
	rows, err := tx.QueryContext(ctx, `SELECT i.class, i.capacity, i.used, i.min_unit, i.max_unit, i.step_size, p.generation, p.uncounted, p.consumers
		FROM placement_inventories i JOIN placement_providers p ON p.uuid = i.provider_uuid WHERE i.provider_uuid = ?`, uuid)
	if err != nil {
		return err
	}
	defer rows.Close()
	state := &full{uuid: uuid, used: scheduler.Resources{}}
	after, fits := scheduler.Resources{}, map[string]bool{}
	for rows.Next() {
		var class string
		var capacity, used int64
		var inv scheduler.Inventory
		if err := rows.Scan(&class, &capacity, &used, &inv.MinUnit, &inv.MaxUnit, &inv.StepSize, &state.generation, &state.uncounted, &state.consumers); err != nil {
			return err
		}
		state.used[class], after[class] = used, used+delta[class]
		fits[class] = delta[class] <= 0 || used+delta[class] <= capacity
		if n := whole[class]; n > 0 && !inv.Fits(n) {
			fits[class] = false
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	classes := slices.Sorted(maps.Keys(delta))
	for _, class := range classes {
		if !fits[class] {
			state.reason, state.class = noRoom(uuid, class), class
			return state
		}
	}
	if err := addUse(ctx, tx, uuid, delta, classes); err != nil {
		return err
	}
	now, uncounted := tx.Now(), int64(1)
	if counts {
		uncounted = 0
	}
	_, err = tx.ExecContext(ctx, `UPDATE placement_providers SET generation = generation + 1, uncounted = uncounted + ?,
		consumers = consumers + ?, updated_at = ? WHERE uuid = ?`, uncounted, consumers, now, uuid)
	if err != nil {
		return err
	}
	if len(after) == 0 {
		tx.AfterCommit(func() { s.canopy.touch(uuid) })
		return nil // without inventories its generation was not read
	}
	generation, count := state.generation+1, state.consumers+consumers
	tx.AfterCommit(func() {
		s.canopy.observe(uuid, useChange{generation, state.uncounted + uncounted, after, now})
		s.observe(uuid, generation, after, count)
	})
	return nil
}

// addUse changes the sums. The guard in the statement repeats what its caller
// found out: there is no way past it.
func addUse(ctx context.Context, tx *store.Tx, uuid string, delta scheduler.Resources, classes []string) error {
	if len(classes) == 0 {
		return nil
	}
	var q strings.Builder
	args := []any{uuid}
	q.WriteString("UPDATE placement_inventories SET used = used + CASE class")
	for _, class := range classes {
		q.WriteString(" WHEN ")
		placeholders(&q, len(args), 1, "")
		q.WriteString(" THEN CAST(")
		placeholders(&q, len(args)+1, 1, "")
		q.WriteString(" AS BIGINT)")
		args = append(args, class, delta[class])
	}
	q.WriteString(" END WHERE provider_uuid = ?0 AND (")
	for i, class := range classes {
		if i > 0 {
			q.WriteString(" OR ")
		}
		q.WriteString("class = ")
		placeholders(&q, 1+2*i, 1, "")
		if delta[class] > 0 {
			q.WriteString(" AND used + ")
			placeholders(&q, 2+2*i, 1, "")
			q.WriteString(" <= capacity")
		}
	}
	q.WriteString(")")
	res, err := tx.ExecContext(ctx, q.String(), args...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n != int64(len(classes)) {
		return errors.Join(err, noRoom(uuid, ""))
	}
	return nil
}

func noRoom(uuid, class string) *nephos.Error {
	return nephos.Errorf(nephos.ErrNoCapacity, "resource provider %s has too little %s left, or does not give that amount", uuid, class)
}

// placeholders writes n numbered placeholders, the first of which is at.
func placeholders(q *strings.Builder, at, n int, between string) {
	for i := range n {
		if i > 0 {
			q.WriteString(between)
		}
		q.WriteByte('?')
		q.WriteString(strconv.Itoa(at + i))
	}
}

func kindOf(err error) error {
	var e *nephos.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return nil
}
