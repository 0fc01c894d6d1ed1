package sqlstore

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/scheduler"
)

// ProviderUsages returns a provider and how much of each class it has is used.
func (s *Store) ProviderUsages(ctx context.Context, uuid string) (Provider, scheduler.Resources, error) {
	p, list, err := s.Inventories(ctx, uuid)
	used := scheduler.Resources{}
	for _, i := range list {
		used[i.Class] = i.Used
	}
	return p, used, err
}

// The consumer types of [Store.ProjectUsages] that are not one.
const (
	AllTypes    = "all"     // everything together
	UnknownType = "unknown" // consumers without a type
)

// TypeUsage is what the consumers of one type use.
type TypeUsage struct {
	Consumers int64
	Used      scheduler.Resources
}

// ProjectUsages returns what a project, or one of its users, uses by consumer
// type. With AllTypes there is one entry of that name; another type narrows the
// result to it; empty is each by itself.
func (s *Store) ProjectUsages(ctx context.Context, projectID, userID, consumerType string) (map[string]TypeUsage, error) {
	group := bun.SafeQuery("CASE WHEN consumer.type = '' THEN ? ELSE consumer.type END", UnknownType)
	if consumerType == AllTypes {
		group = bun.SafeQuery("?", AllTypes)
	}
	query := func() *bun.SelectQuery {
		q := s.cfg.Store.Reader().NewSelect().TableExpr("placement_allocations AS allocation").
			Join("JOIN placement_consumers AS consumer ON consumer.uuid = allocation.consumer_uuid").
			Where("consumer.project_id = ?", projectID)
		if userID != "" {
			q = q.Where("consumer.user_id = ?", userID)
		}
		switch consumerType {
		case "", AllTypes:
		case UnknownType:
			q = q.Where("consumer.type = ''")
		default:
			q = q.Where("consumer.type = ?", consumerType)
		}
		return q.ColumnExpr("? AS type", group)
	}
	var sums []struct {
		Type, Class string
		Used        int64
	}
	err := query().ColumnExpr("allocation.class, CAST(SUM(allocation.used) AS BIGINT) AS used").GroupExpr("1, allocation.class").Scan(ctx, &sums)
	if err != nil {
		return nil, err
	}
	var counts []struct {
		Type      string
		Consumers int64
	}
	if err := query().ColumnExpr("COUNT(DISTINCT allocation.consumer_uuid) AS consumers").GroupExpr("1").Scan(ctx, &counts); err != nil {
		return nil, err
	}
	out := map[string]TypeUsage{}
	for _, c := range counts {
		out[c.Type] = TypeUsage{Consumers: c.Consumers, Used: scheduler.Resources{}}
	}
	for _, r := range sums {
		if u, ok := out[r.Type]; ok {
			u.Used[r.Class] = r.Used
		}
	}
	return out, nil
}
