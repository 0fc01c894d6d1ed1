package compute

import (
	"context"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// flavorSorts are the API's sort keys of flavors. Values are never null, so that
// pages can begin after any row.
var flavorSorts = map[string]string{
	"created_at": "@.created_at", "description": "COALESCE(@.description, '')", "disabled": "@.disabled",
	"ephemeral_gb": "@.ephemeral_gib", "flavorid": "@.id", "id": "@.seq", "is_public": "@.public",
	"memory_mb": "@.memory_mib", "name": "@.name", "root_gb": "@.disk_gib", "rxtx_factor": "@.rxtx_factor",
	"swap": "@.swap_mib", "updated_at": "COALESCE(@.updated_at, @.created_at)", "vcpu_weight": "@.seq",
	"vcpus": "@.vcpus",
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
	db := s.cfg.Store.Reader()
	q := db.NewSelect().Model(&rows)
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
	order := store.Keyset{Table: "compute_flavors", Alias: "flavor", Missing: func(marker string) error {
		return invalid("marker [%s] not found", clip(marker)).WithField("marker")
	}}
	for _, k := range p.Sort {
		expr, ok := flavorSorts[k.Key]
		if !ok {
			return nil, false, invalid("Invalid sort key: %s", clip(k.Key)).WithField("sort_key")
		}
		order.Keys = append(order.Keys, store.Key{Expr: expr, Desc: k.Desc})
	}
	order.Keys = append(order.Keys, store.Key{Expr: "@.id", Desc: len(order.Keys) > 0 && order.Keys[0].Desc})
	more, err := store.ReadPage(ctx, db, order, q, &rows, p)
	if err != nil {
		return nil, false, err
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
