package compute

import (
	"context"
	"maps"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// loadAggregates returns aggregates with their hosts by two queries; all when no
// ids are given.
func loadAggregates(ctx context.Context, db bun.IDB, ids ...int64) ([]Aggregate, error) {
	var rows []aggregateRow
	var members []aggregateHostRow
	q := db.NewSelect().Model(&rows).Order("aggregate.id")
	m := db.NewSelect().Model(&members).Order("member.host")
	if len(ids) > 0 {
		q, m = q.Where("aggregate.id IN (?)", bun.List(ids)), m.Where("member.aggregate_id IN (?)", bun.List(ids))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	if err := m.Scan(ctx); err != nil {
		return nil, err
	}
	by := map[int64][]string{}
	for _, r := range members {
		by[r.AggregateID] = append(by[r.AggregateID], r.Host)
	}
	out := make([]Aggregate, len(rows))
	for i, r := range rows {
		out[i] = r.Aggregate
		out[i].Hosts = append([]string{}, by[r.ID]...)
	}
	return out, nil
}

func loadAggregate(ctx context.Context, db bun.IDB, id int64) (Aggregate, error) {
	list, err := loadAggregates(ctx, db, id)
	if err != nil {
		return Aggregate{}, err
	}
	if len(list) == 0 {
		return Aggregate{}, aggregateNotFound(id)
	}
	return list[0], nil
}

// changeAggregate loads an aggregate, changes it, saves it and tells the
// scheduler about its hosts.
func (s *Service) changeAggregate(ctx context.Context, id int64, verb string,
	change func(ctx context.Context, tx *store.Tx, a *Aggregate) error,
) (a Aggregate, err error) {
	var touched []string
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if a, err = loadAggregate(ctx, tx, id); err != nil {
			return err
		}
		touched = a.Hosts
		if a.Metadata = maps.Clone(a.Metadata); a.Metadata == nil {
			a.Metadata = map[string]string{}
		}
		if err := change(ctx, tx, &a); err != nil {
			return err
		}
		now := tx.Now()
		a.UpdatedAt = &now
		row := aggregateRow{Aggregate: a}
		if _, err := tx.NewUpdate().Model(&row).Column("name", "metadata", "updated_at").WherePK().Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		return emitAggregate(ctx, tx, verb, a)
	})
	if err != nil {
		return Aggregate{}, err
	}
	if touched = append(touched, a.Hosts...); len(touched) > 0 {
		err = s.publishHosts(ctx, touched...)
	}
	return a, err
}

// aggregatesOf returns the aggregates of each host (by name), all hosts when none
// are named, in one query.
func aggregatesOf(ctx context.Context, db bun.IDB, hosts ...string) (map[string][]scheduler.Aggregate, error) {
	var rows []struct {
		Host, UUID, Name string
		Metadata         map[string]string
	}
	q := db.NewSelect().TableExpr("compute_aggregate_hosts AS member").
		Join("JOIN compute_aggregates AS aggregate ON aggregate.id = member.aggregate_id").
		ColumnExpr("member.host, aggregate.uuid, aggregate.name, aggregate.metadata").Order("aggregate.id")
	if len(hosts) > 0 {
		q = q.Where("member.host IN (?)", bun.List(hosts))
	}
	if err := q.Scan(ctx, &rows); err != nil {
		return nil, err
	}
	out := map[string][]scheduler.Aggregate{}
	for _, r := range rows {
		out[r.Host] = append(out[r.Host], scheduler.Aggregate{ID: r.UUID, Name: r.Name, Metadata: r.Metadata})
	}
	return out, nil
}
