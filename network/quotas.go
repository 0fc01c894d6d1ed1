package network

import (
	"context"
	"maps"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// defaultQuotas are Neutron's, by resource.
func defaultQuotas() map[string]int {
	return map[string]int{
		"network": 100, "subnet": 100, "port": 500, "router": 10, "floatingip": 50,
		"security_group": 10, "security_group_rule": 100, "subnetpool": -1, "rbac_policy": 10,
	}
}

// quotaTables are where the resources that count are.
var quotaTables = map[string]string{
	"network": "network_networks", "subnet": "network_subnets", "port": "network_ports", "router": "network_routers",
	"floatingip": "network_floatingips", "security_group": "network_security_groups", "security_group_rule": "network_security_rules",
}

// Quota is a project's limit of a resource, and how much of it is used.
type Quota struct {
	Limit int // -1: none
	Used  int
}

// Quotas is what the Networking API's quotas need.
type Quotas interface {
	// Quotas returns a project's limits by resource, with what is used when
	// details are asked for.
	Quotas(ctx context.Context, projectID string, details bool) (map[string]Quota, error)
	// DefaultQuotas returns the limits of a project that has none of its own.
	DefaultQuotas(ctx context.Context, projectID string) (map[string]Quota, error)
	// ListQuotas returns the limits of the projects that have their own.
	ListQuotas(ctx context.Context) (map[string]map[string]Quota, error)
	// SetQuotas changes limits by resource; an unknown resource is ErrInvalid.
	SetQuotas(ctx context.Context, projectID string, limits map[string]int) (map[string]Quota, error)
	// ResetQuotas returns the project to the defaults; ErrNotFound when it has
	// none of its own.
	ResetQuotas(ctx context.Context, projectID string) error
}

var _ Quotas = (*Service)(nil)

type quotaRow struct {
	ProjectID, Resource string
	Amount              int
}

// quota refuses a create that would exceed the project's limit. It counts rows
// in the very transaction that adds one.
func (s *Service) quota(ctx context.Context, tx *store.Tx, projectID, resource string, more int) error {
	if projectID == "" {
		return nil
	}
	limit := s.defaults[resource]
	var own []int
	err := tx.NewSelect().Table("network_quotas").Column("amount").Where("project_id = ? AND resource = ?", projectID, resource).Scan(ctx, &own)
	if err != nil {
		return err
	}
	if len(own) == 1 {
		limit = own[0]
	}
	if limit < 0 {
		return nil
	}
	used, err := tx.NewSelect().Table(quotaTables[resource]).Where("project_id = ?", projectID).Count(ctx)
	if err == nil && used+int64(more) > int64(limit) {
		err = overQuota(resource)
	}
	return err
}

func (s *Service) quotas(own []quotaRow) map[string]Quota {
	out := map[string]Quota{}
	for r, n := range s.defaults {
		out[r] = Quota{Limit: n}
	}
	for _, r := range own {
		out[r.Resource] = Quota{Limit: r.Amount}
	}
	return out
}

// mayReadQuotas lets everybody read their own project's.
func (s *Service) mayReadQuotas(ctx context.Context, projectID string) error {
	if err := s.signedIn(ctx); err != nil {
		return err
	}
	if projectID != "" && caller(ctx).ProjectID == projectID {
		return nil
	}
	return s.allow(ctx, owned(projectID), "get_quota")
}

// Quotas implements [Quotas].
func (s *Service) Quotas(ctx context.Context, projectID string, details bool) (map[string]Quota, error) {
	if err := s.mayReadQuotas(ctx, projectID); err != nil {
		return nil, err
	}
	db := s.cfg.Store.Reader()
	var own []quotaRow
	if err := db.NewSelect().Table("network_quotas").Where("project_id = ?", projectID).Scan(ctx, &own); err != nil {
		return nil, err
	}
	q := s.quotas(own)
	if !details {
		return q, nil
	}
	for _, resource := range slices.Sorted(maps.Keys(quotaTables)) {
		n, err := db.NewSelect().Table(quotaTables[resource]).Where("project_id = ?", projectID).Count(ctx)
		if err != nil {
			return nil, err
		}
		q[resource] = Quota{q[resource].Limit, int(n)}
	}
	return q, nil
}

// DefaultQuotas implements [Quotas].
func (s *Service) DefaultQuotas(ctx context.Context, projectID string) (map[string]Quota, error) {
	if err := s.mayReadQuotas(ctx, projectID); err != nil {
		return nil, err
	}
	return s.quotas(nil), nil
}

// ListQuotas implements [Quotas].
func (s *Service) ListQuotas(ctx context.Context) (map[string]map[string]Quota, error) {
	if err := s.allow(ctx, nil, "get_quota"); err != nil {
		return nil, err
	}
	var rows []quotaRow
	if err := s.cfg.Store.Reader().NewSelect().Table("network_quotas").OrderExpr("project_id").Scan(ctx, &rows); err != nil {
		return nil, err
	}
	by := map[string][]quotaRow{}
	for _, r := range rows {
		by[r.ProjectID] = append(by[r.ProjectID], r)
	}
	out := map[string]map[string]Quota{}
	for project, own := range by {
		out[project] = s.quotas(own)
	}
	return out, nil
}

// SetQuotas implements [Quotas].
func (s *Service) SetQuotas(ctx context.Context, projectID string, limits map[string]int) (map[string]Quota, error) {
	if err := s.allow(ctx, owned(projectID), "update_quota"); err != nil {
		return nil, err
	}
	for resource, n := range limits {
		if _, ok := s.defaults[resource]; !ok {
			return nil, nephos.Errorf(nephos.ErrInvalid, "Unrecognized attribute(s) '%s'", resource).WithReason("HTTPBadRequest").WithField(resource)
		}
		if n < -1 || n > 1<<31-1 {
			return nil, badAttribute(resource, "'%d' is too small - must be at least '-1'", n)
		}
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		for _, resource := range slices.Sorted(maps.Keys(limits)) {
			_, err := tx.NewRaw(`INSERT INTO network_quotas (project_id, resource, amount) VALUES (?, ?, ?)
				ON CONFLICT (project_id, resource) DO UPDATE SET amount = excluded.amount`, projectID, resource, limits[resource]).Exec(ctx)
			if err != nil {
				return err
			}
		}
		return emit(ctx, tx, "quota.update", Meta{ID: projectID, ProjectID: projectID}, limits)
	})
	if err != nil {
		return nil, err
	}
	var own []quotaRow
	err = s.cfg.Store.Reader().NewSelect().Table("network_quotas").Where("project_id = ?", projectID).Scan(ctx, &own)
	return s.quotas(own), err
}

// ResetQuotas implements [Quotas].
func (s *Service) ResetQuotas(ctx context.Context, projectID string) error {
	if err := s.allow(ctx, owned(projectID), "delete_quota"); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		res, err := tx.NewRaw("DELETE FROM network_quotas WHERE project_id = ?", projectID).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err != nil {
				return err
			}
			return nephos.Errorf(nephos.ErrNotFound, "Quota for tenant %s could not be found.", projectID).WithReason("TenantQuotaNotFound")
		}
		return emit(ctx, tx, "quota.delete", Meta{ID: projectID, ProjectID: projectID}, nil)
	})
}
