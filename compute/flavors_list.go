package compute

import (
	"context"

	"github.com/nephos-cloud/nephos"
)

// flavorSorts are the API's sort keys of flavors. Values are never null, so that
// pages can begin after any row.
var flavorSorts = map[string]string{
	"created_at": "flavor.created_at", "description": "COALESCE(flavor.description, '')", "disabled": "flavor.disabled",
	"ephemeral_gb": "flavor.ephemeral_gib", "flavorid": "flavor.id", "id": "flavor.seq", "is_public": "flavor.public",
	"memory_mb": "flavor.memory_mib", "name": "flavor.name", "root_gb": "flavor.disk_gib", "rxtx_factor": "flavor.rxtx_factor",
	"swap": "flavor.swap_mib", "updated_at": "COALESCE(flavor.updated_at, flavor.created_at)", "vcpu_weight": "flavor.seq",
	"vcpus": "flavor.vcpus",
}

// ListFlavors implements [Flavors].
func (s *Service) ListFlavors(ctx context.Context, f FlavorFilter, p nephos.Page) ([]Flavor, bool, error) {
	if err := s.cfg.Policy.Enforce(ctx, ruleFlavors, nil); err != nil {
		return nil, false, err
	}
	if !s.isAdmin(ctx) {
		yes := true
		f.Public = &yes
	}
	var rows []flavorRow
	q := s.cfg.Store.Reader().NewSelect().Model(&rows)
	if f.Public != nil {
		q = q.Where("(flavor.public = ? OR "+accessible+")", *f.Public, caller(ctx).ProjectID)
	}
	if !s.isAdmin(ctx) {
		q = q.Where("NOT flavor.disabled")
	}
	if f.MinRAM > 0 {
		q = q.Where("flavor.memory_mib >= ?", f.MinRAM)
	}
	if f.MinDisk > 0 {
		q = q.Where("flavor.disk_gib >= ?", f.MinDisk)
	}
	keys := []string{}
	var desc []bool
	for _, k := range p.Sort {
		expr, ok := flavorSorts[k.Key]
		if !ok {
			return nil, false, invalid("Invalid sort key: %s", clip(k.Key)).WithField("sort_key")
		}
		keys, desc = append(keys, expr), append(desc, k.Desc)
	}
	turned := len(desc) > 0 && desc[0]
	keys, desc = append(keys, "flavor.id"), append(desc, turned)
	for i, k := range keys {
		if desc[i] {
			k += " DESC"
		}
		q = q.OrderExpr(k)
	}
	if p.Marker != "" {
		found, err := s.cfg.Store.Reader().NewSelect().Model((*flavorRow)(nil)).Where("flavor.id = ?", p.Marker).Exists(ctx)
		if err != nil {
			return nil, false, err
		}
		if !found {
			return nil, false, invalid("marker [%s] not found", clip(p.Marker)).WithField("marker")
		}
		q = q.Where(following(keys, desc, "FROM compute_flavors AS flavor WHERE flavor.id = ?0"), p.Marker)
	}
	if p.Limit > 0 {
		q = q.Limit(int64(p.Limit + 1))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, false, err
	}
	more := p.Limit > 0 && len(rows) > p.Limit
	if more {
		rows = rows[:p.Limit]
	}
	sees := f.ExtraSpecs && s.seesExtraSpecs(ctx)
	out := make([]Flavor, len(rows))
	for i, r := range rows {
		if out[i] = r.Flavor; !sees {
			out[i].ExtraSpecs = nil
		}
	}
	return out, more, nil
}

// following is the condition for rows that come after a marker in the order of
// the keys. The database knows the marker's values itself: from selects its row.
func following(keys []string, desc []bool, from string) string {
	condition, equal := "", ""
	for i, k := range keys {
		value := "(SELECT " + k + " " + from + ")"
		op := " > "
		if desc[i] {
			op = " < "
		}
		if i > 0 {
			condition += " OR "
		}
		condition += equal + k + op + value
		equal += k + " = " + value + " AND "
	}
	return "(" + condition + ")"
}
