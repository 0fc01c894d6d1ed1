package compute

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// delta is what a boot adds to a project's use.
type delta struct{ instances, cores, ramMiB int }

// serverUsage counts the servers of a project, or of a user in it.
func serverUsage(ctx context.Context, db bun.IDB, projectID, userID string) (delta, error) {
	q := db.NewSelect().Table("compute_servers").
		ColumnExpr("COUNT(*), COALESCE(SUM(vcpus), 0), COALESCE(SUM(memory_mib), 0)").
		Where("project_id = ? AND NOT deleted", projectID)
	if userID != "" {
		q = q.Where("user_id = ?", userID)
	}
	var d delta
	err := q.Scan(ctx, &d.instances, &d.cores, &d.ramMiB)
	return d, err
}

// bootQuota returns how many servers, each of which adds the delta, fit into the
// project's quota: at most hi. When not even lo fit it fails with ErrQuota. It
// counts inside the transaction that adds the servers, so that two boots at the
// same time cannot share the last room.
func (s *Service) bootQuota(ctx context.Context, tx *store.Tx, projectID string, each delta, lo, hi int) (int, error) {
	limits, err := s.limitsOf(ctx, tx, projectID)
	if err != nil {
		return 0, err
	}
	if limits["instances"].Limit < 0 && limits["cores"].Limit < 0 && limits["ram"].Limit < 0 {
		return hi, nil
	}
	used, err := serverUsage(ctx, tx, projectID, "")
	if err != nil {
		return 0, err
	}
	fit := hi
	var over struct{ names, asked, used, limits []string }
	for _, r := range []struct {
		name       string
		used, each int
	}{{"cores", used.cores, each.cores}, {"instances", used.instances, each.instances}, {"ram", used.ramMiB, each.ramMiB}} {
		limit := limits[r.name].Limit
		if limit < 0 || r.each <= 0 || r.used+hi*r.each <= limit {
			continue
		}
		fit = min(fit, max(limit-r.used, 0)/r.each)
		asked := strconv.Itoa(hi * r.each)
		if r.name == "instances" && lo != hi {
			asked = fmt.Sprintf("%d-%d", lo, hi)
		}
		over.names, over.asked = append(over.names, r.name), append(over.asked, asked)
		over.used, over.limits = append(over.used, strconv.Itoa(r.used)), append(over.limits, strconv.Itoa(limit))
	}
	if fit >= lo && fit > 0 {
		return fit, nil
	}
	list := func(parts []string) string { return strings.Join(parts, ", ") }
	return 0, nephos.Errorf(nephos.ErrQuota, "Quota exceeded for %s: Requested %s, but already used %s of %s %s",
		list(over.names), list(over.asked), list(over.used), list(over.limits), list(over.names))
}

// limits that a boot request is held against without counting rows.
type itemLimits struct{ metadata, injectedFiles, injectedFileBytes, injectedPathBytes int }

// itemLimitsOf returns the project's quotas of metadata items and injected files.
func (s *Service) itemLimitsOf(ctx context.Context, projectID string) (itemLimits, error) {
	l, err := s.limitsOf(ctx, s.cfg.Store.Reader(), projectID)
	return itemLimits{
		metadata: l["metadata_items"].Limit, injectedFiles: l["injected_files"].Limit,
		injectedFileBytes: l["injected_file_content_bytes"].Limit, injectedPathBytes: l["injected_file_path_bytes"].Limit,
	}, err
}
