package blockstorage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// QuotaUse is a quota and what of it is used.
type QuotaUse struct {
	Limit int // -1: none
	InUse int
}

// Quotas is what the Block Storage API's quota sets and limits need. Resources
// are volumes, gigabytes, snapshots, per_volume_gigabytes, and the first three
// with an underscore and a volume type's name behind them; backups,
// backup_gigabytes and groups are kept and count nothing.
type Quotas interface {
	// QuotaSet returns a project's quotas and what it uses.
	QuotaSet(ctx context.Context, projectID string) (map[string]QuotaUse, error)
	// Limits is QuotaSet for the caller's own project, or for an admin any.
	Limits(ctx context.Context, projectID string) (map[string]QuotaUse, error)
	// DefaultQuotas returns the quotas of projects that have none of their own.
	DefaultQuotas(ctx context.Context, projectID string) (map[string]int, error)
	// UpdateQuotas changes a project's quotas, all or none.
	UpdateQuotas(ctx context.Context, projectID string, quotas map[string]int) (map[string]int, error)
	DeleteQuotas(ctx context.Context, projectID string) error
	// QuotaClass and UpdateQuotaClass are the defaults, as an operator sees them.
	QuotaClass(ctx context.Context) (map[string]int, error)
	UpdateQuotaClass(ctx context.Context, quotas map[string]int) (map[string]int, error)
}

// defaultClass stands in the place of a project for the default quotas.
const defaultClass = "class default"

func builtinQuotas() map[string]int {
	return map[string]int{
		"volumes": 10, "snapshots": 10, "gigabytes": 1000, "per_volume_gigabytes": -1,
		"backups": 10, "backup_gigabytes": 1000, "groups": 10,
	}
}

// usage is what a project has.
type usage struct{ volumes, gigabytes, snapshots int }

// limitsOf returns the quotas that are in force for a project, those of the
// types by their names.
func (s *Service) limitsOf(ctx context.Context, db bun.IDB, projectID string, typeNames []string) (map[string]int, error) {
	limits := builtinQuotas()
	for _, t := range typeNames {
		for _, r := range []string{"volumes_", "gigabytes_", "snapshots_"} {
			limits[r+t] = -1
		}
	}
	for r, n := range s.cfg.Quotas {
		if _, ok := limits[r]; ok {
			limits[r] = n
		}
	}
	var rows []quotaRow
	if err := db.NewSelect().Model(&rows).Where("quo.project_id IN (?)", bun.List([]string{defaultClass, projectID})).Scan(ctx); err != nil {
		return nil, err
	}
	for _, class := range []bool{true, false} {
		for _, r := range rows {
			if _, ok := limits[r.Resource]; ok && (r.ProjectID == defaultClass) == class {
				limits[r.Resource] = r.Quota
			}
		}
	}
	return limits, nil
}

// usageOf counts a project's rows, by the IDs of the types and for "" in all.
func usageOf(ctx context.Context, db bun.IDB, projectID string) (map[string]usage, error) {
	var rows []struct {
		TypeID                string
		Snapshots, Promised   bool
		Things, GigabytesUsed int
	}
	err := db.NewRaw(`SELECT type_id, ? AS snapshots, ? AS promised, COUNT(*) AS things,
			COALESCE(SUM(CASE WHEN new_size > size_gib THEN new_size ELSE size_gib END), 0) AS gigabytes_used
		FROM blockstorage_volumes WHERE project_id = ? GROUP BY type_id
		UNION ALL SELECT to_type, ?, ?, COUNT(*), COALESCE(SUM(size_gib), 0)
		FROM blockstorage_volumes WHERE project_id = ? AND to_type <> '' GROUP BY to_type
		UNION ALL SELECT type_id, ?, ?, COUNT(*), COALESCE(SUM(size_gib), 0)
		FROM blockstorage_snapshots WHERE project_id = ? GROUP BY type_id`,
		false, false, projectID, false, true, projectID, true, false, projectID).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("counting the volumes of project %s: %w", projectID, err)
	}
	out := map[string]usage{}
	for _, r := range rows {
		keys := []string{"", r.TypeID}
		if r.Promised {
			keys = keys[1:] // it counts in all by the type that it still has
		}
		for _, key := range keys {
			u := out[key]
			if r.Snapshots {
				u.snapshots += r.Things
			} else {
				u.volumes += r.Things
			}
			u.gigabytes += r.GigabytesUsed
			out[key] = u
		}
	}
	return out, nil
}

// checkCreateQuota fails with ErrQuota if the project's rows and what is to be
// added exceed a quota. It is called in the transaction that adds.
func (s *Service) checkCreateQuota(ctx context.Context, tx *store.Tx, projectID string, add usage, t Type) error {
	limits, err := s.limitsOf(ctx, tx, projectID, []string{t.Name})
	if err != nil {
		return err
	}
	if l := limits["per_volume_gigabytes"]; add.volumes > 0 && l >= 0 && add.gigabytes > l {
		return nephos.Errorf(nephos.ErrQuota, "VolumeSizeExceedsLimit: Requested volume size %dG is larger than maximum allowed limit %dG.", add.gigabytes, l)
	}
	if unlimited(limits, t) {
		return nil // nothing to count for
	}
	used, err := usageOf(ctx, tx, projectID)
	if err != nil {
		return err
	}
	return overs(limits, used, add, t, add.gigabytes)
}

// checkExtendQuota is checkCreateQuota for a volume that grows.
func (s *Service) checkExtendQuota(ctx context.Context, tx *store.Tx, row volumeRow, sizeGiB int) error {
	limits, err := s.limitsOf(ctx, tx, row.ProjectID, []string{row.TypeName})
	if err != nil {
		return err
	}
	if l := limits["per_volume_gigabytes"]; l >= 0 && sizeGiB > l {
		return nephos.Errorf(nephos.ErrQuota, "VolumeSizeExceedsLimit: Requested volume size %dG is larger than maximum allowed limit %dG.", sizeGiB, l)
	}
	used, err := usageOf(ctx, tx, row.ProjectID)
	if err != nil {
		return err
	}
	more := sizeGiB - row.SizeGiB
	return overs(limits, used, usage{gigabytes: more}, Type{ID: row.TypeID, Name: row.TypeName}, more)
}

// checkRetypeQuota is checkCreateQuota for a volume that gets another type.
func (s *Service) checkRetypeQuota(ctx context.Context, tx *store.Tx, row volumeRow, t Type) error {
	limits, err := s.limitsOf(ctx, tx, row.ProjectID, []string{t.Name})
	if err != nil {
		return err
	}
	limits["volumes"], limits["gigabytes"] = -1, -1 // these it uses already
	used, err := usageOf(ctx, tx, row.ProjectID)
	if err != nil {
		return err
	}
	return overs(limits, used, usage{volumes: 1, gigabytes: row.SizeGiB}, t, row.SizeGiB)
}

// unlimited reports whether no quota bounds what the project has.
func unlimited(limits map[string]int, t Type) bool {
	for _, r := range []string{"volumes", "gigabytes", "snapshots"} {
		if limits[r] >= 0 || limits[r+"_"+t.Name] >= 0 {
			return false
		}
	}
	return true
}

// overs finds the first quota that is exceeded, in Cinder's order and words.
func overs(limits map[string]int, used map[string]usage, add usage, t Type, requested int) error {
	for _, of := range []struct{ suffix, key string }{{"", ""}, {"_" + t.Name, t.ID}} {
		if l := limits["gigabytes"+of.suffix]; add.gigabytes > 0 && l >= 0 && used[of.key].gigabytes+add.gigabytes > l {
			return nephos.Errorf(nephos.ErrQuota, "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes%s quota. "+
				"Requested %dG, quota is %dG and %dG has been consumed.", of.suffix, requested, l, used[of.key].gigabytes)
		}
	}
	for _, of := range []struct{ suffix, key string }{{"", ""}, {"_" + t.Name, t.ID}} {
		if l := limits["volumes"+of.suffix]; add.volumes > 0 && l >= 0 && used[of.key].volumes+add.volumes > l {
			return nephos.Errorf(nephos.ErrQuota, "VolumeLimitExceeded: Maximum number of volumes allowed (%d) exceeded for quota 'volumes%s'.", l, of.suffix)
		}
		if l := limits["snapshots"+of.suffix]; add.snapshots > 0 && l >= 0 && used[of.key].snapshots+add.snapshots > l {
			return nephos.Errorf(nephos.ErrQuota, "SnapshotLimitExceeded: Maximum number of snapshots allowed (%d) exceeded", l)
		}
	}
	return nil
}

func (s *Service) types(ctx context.Context, db bun.IDB) (names []string, byName map[string]string, err error) {
	var rows []typeRow
	if err := db.NewSelect().Model(&rows).Order("typ.name").Scan(ctx); err != nil {
		return nil, nil, err
	}
	byName = map[string]string{}
	for _, r := range rows {
		names, byName[r.Name] = append(names, r.Name), r.ID
	}
	return names, byName, nil
}

func (s *Service) quotaSet(ctx context.Context, db bun.IDB, projectID string) (map[string]QuotaUse, error) {
	names, ids, err := s.types(ctx, db)
	if err != nil {
		return nil, err
	}
	limits, err := s.limitsOf(ctx, db, projectID, names)
	if err != nil {
		return nil, err
	}
	used, err := usageOf(ctx, db, projectID)
	if err != nil {
		return nil, err
	}
	out := make(map[string]QuotaUse, len(limits))
	for r, l := range limits {
		q := QuotaUse{Limit: l}
		base, typeName, _ := strings.Cut(r, "_")
		key, known := ids[typeName]
		if typeName == "" {
			known = true
		}
		if known {
			switch base {
			case "volumes":
				q.InUse = used[key].volumes
			case "gigabytes":
				q.InUse = used[key].gigabytes
			case "snapshots":
				q.InUse = used[key].snapshots
			}
		}
		out[r] = q
	}
	return out, nil
}

// QuotaSet implements [Quotas].
func (s *Service) QuotaSet(ctx context.Context, projectID string) (map[string]QuotaUse, error) {
	if err := s.enforce(ctx, "volume_extension:quotas:show", policy.Target{"project_id": projectID}); err != nil {
		return nil, err
	}
	return s.quotaSet(ctx, s.cfg.Store.Reader(), projectID)
}

// Limits implements [Quotas].
func (s *Service) Limits(ctx context.Context, projectID string) (map[string]QuotaUse, error) {
	if err := s.enforce(ctx, "limits_extension:used_limits", policy.Target{"project_id": projectID}); err != nil {
		return nil, err
	}
	return s.quotaSet(ctx, s.cfg.Store.Reader(), projectID)
}

// DefaultQuotas implements [Quotas].
func (s *Service) DefaultQuotas(ctx context.Context, projectID string) (map[string]int, error) {
	if err := s.enforce(ctx, "volume_extension:quotas:show", policy.Target{"project_id": projectID}); err != nil {
		return nil, err
	}
	return s.defaultQuotas(ctx)
}

func (s *Service) defaultQuotas(ctx context.Context) (map[string]int, error) {
	names, _, err := s.types(ctx, s.cfg.Store.Reader())
	if err != nil {
		return nil, err
	}
	return s.limitsOf(ctx, s.cfg.Store.Reader(), defaultClass, names)
}

// UpdateQuotas implements [Quotas].
func (s *Service) UpdateQuotas(ctx context.Context, projectID string, quotas map[string]int) (map[string]int, error) {
	if err := s.enforce(ctx, "volume_extension:quotas:update", policy.Target{"project_id": projectID}); err != nil {
		return nil, err
	}
	if projectID == "" || len(projectID) > 255 || projectID == defaultClass {
		return nil, invalidInput("project_id", "quota_set_name has %d characters, but must have 1 to 255.", len(projectID))
	}
	var limits map[string]int
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		set, err := s.quotaSet(ctx, tx, projectID)
		if err != nil {
			return err
		}
		for _, r := range sorted(quotas) {
			if q := set[r]; quotas[r] >= 0 && quotas[r] < q.InUse && r != "per_volume_gigabytes" {
				return badRequest("Quota %s limit must be equal or greater than existing resources. "+
					"Current usage is %d and the requested limit is %d.", r, q.InUse, quotas[r])
			}
		}
		if limits, err = s.setQuotas(ctx, tx, projectID, quotas); err != nil {
			return err
		}
		return s.emit(ctx, tx, "quota.update", projectID, projectID, quotas)
	})
	return limits, err
}

// setQuotas writes quotas and returns those in force.
func (s *Service) setQuotas(ctx context.Context, tx *store.Tx, projectID string, quotas map[string]int) (map[string]int, error) {
	names, _, err := s.types(ctx, tx)
	if err != nil {
		return nil, err
	}
	limits, err := s.limitsOf(ctx, tx, projectID, names)
	if err != nil {
		return nil, err
	}
	var bad []string
	for _, r := range sorted(quotas) {
		if _, ok := limits[r]; !ok {
			bad = append(bad, clip(r))
		}
	}
	if len(bad) > 0 {
		set := map[bool]string{true: "quota class set", false: "quota set"}[projectID == defaultClass]
		return nil, invalidInput("quota_set", "Bad key(s) in %s: %s", set, strings.Join(bad, ", "))
	}
	for _, r := range sorted(quotas) {
		row := quotaRow{ProjectID: projectID, Resource: r, Quota: quotas[r]}
		if _, err := tx.NewInsert().Model(&row).On("CONFLICT (project_id, resource) DO UPDATE").Set("quota = excluded.quota").Returning("NULL").Exec(ctx); err != nil {
			return nil, err
		}
		limits[r] = quotas[r]
	}
	return limits, nil
}

func sorted(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// DeleteQuotas implements [Quotas].
func (s *Service) DeleteQuotas(ctx context.Context, projectID string) error {
	if err := s.enforce(ctx, "volume_extension:quotas:delete", policy.Target{"project_id": projectID}); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.NewRaw("DELETE FROM blockstorage_quotas WHERE project_id = ?", projectID).Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "quota.delete", projectID, projectID, nil)
	})
}

// QuotaClass implements [Quotas].
func (s *Service) QuotaClass(ctx context.Context) (map[string]int, error) {
	if err := s.enforce(ctx, "volume_extension:quota_classes:get", own(ctx)); err != nil {
		return nil, err
	}
	return s.defaultQuotas(ctx)
}

// UpdateQuotaClass implements [Quotas].
func (s *Service) UpdateQuotaClass(ctx context.Context, quotas map[string]int) (map[string]int, error) {
	if err := s.enforce(ctx, "volume_extension:quota_classes:update", own(ctx)); err != nil {
		return nil, err
	}
	var limits map[string]int
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if limits, err = s.setQuotas(ctx, tx, defaultClass, quotas); err != nil {
			return err
		}
		return s.emit(ctx, tx, "quota.update", "default", "", quotas)
	})
	return limits, err
}
