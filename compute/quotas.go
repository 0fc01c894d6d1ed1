package compute

import (
	"context"
	"errors"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Quota is a project's limit of one resource; -1 is no limit.
type Quota struct {
	Limit int
	InUse int // where usage was asked for
}

// QuotaSet is a project's quotas by resource: see [QuotaResources].
type QuotaSet map[string]Quota

// QuotaResources are the resources that have quotas, by Nova's names. Those of
// networks are kept for old microversions and limit nothing. Memory (ram) is in
// MiB. Keypairs are counted by user, members by server group.
func QuotaResources() []string {
	return []string{
		"instances", "cores", "ram", "metadata_items", "injected_files", "injected_file_content_bytes",
		"injected_file_path_bytes", "key_pairs", "server_groups", "server_group_members",
		"fixed_ips", "floating_ips", "security_groups", "security_group_rules",
	}
}

// builtinQuota is Nova's default for a resource.
func builtinQuota(resource string) int {
	switch resource {
	case "instances", "server_groups", "server_group_members":
		return 10
	case "cores":
		return 20
	case "ram":
		return 50 << 10
	case "metadata_items":
		return 128
	case "injected_files":
		return 5
	case "injected_file_content_bytes":
		return 10 << 10
	case "injected_file_path_bytes":
		return 255
	case "key_pairs":
		return 100
	}
	return -1
}

// Quotas is what the Compute API's quotas and limits need.
type Quotas interface {
	// Quotas returns a project's quotas, with what is in use if that is asked for.
	// A user narrows what is in use: there are no quotas of single users.
	Quotas(ctx context.Context, projectID, userID string, usage bool) (QuotaSet, error)
	DefaultQuotas(ctx context.Context, projectID string) (QuotaSet, error)
	// UpdateQuotas sets limits. One below what is in use is ErrInvalid unless
	// forced; for a single user it is errors.ErrUnsupported.
	UpdateQuotas(ctx context.Context, projectID, userID string, limits map[string]int, force bool) (QuotaSet, error)
	// DeleteQuotas gives a project the defaults again.
	DeleteQuotas(ctx context.Context, projectID, userID string) error
	// QuotaClass returns the limits of a class; those of "default" are what
	// projects have that were given none.
	QuotaClass(ctx context.Context, class string) (QuotaSet, error)
	UpdateQuotaClass(ctx context.Context, class string, limits map[string]int) (QuotaSet, error)
	// Limits returns a project's quotas and what is in use; an empty project is
	// the caller's.
	Limits(ctx context.Context, projectID string) (QuotaSet, error)
}

// Projects tells whether a project exists; the identity service can.
type Projects interface {
	ProjectExists(ctx context.Context, id string) (bool, error)
}

var _ Quotas = (*Service)(nil)

type quotaRow struct {
	bun.BaseModel `bun:"table:compute_quotas,alias:quota"`

	Kind      string `bun:",pk"` // project or class
	Owner     string `bun:",pk"`
	Resource  string `bun:",pk"`
	HardLimit int
}

const (
	quotaOfProject = "project"
	quotaOfClass   = "class"
	defaultClass   = "default"
)

// configuredQuotas are the limits without what the database says.
func (s *Service) configuredQuotas() QuotaSet {
	set := QuotaSet{}
	for _, r := range QuotaResources() {
		limit, ok := s.cfg.Quotas[r]
		if !ok {
			limit = builtinQuota(r)
		}
		set[r] = Quota{Limit: limit}
	}
	return set
}

// limitsOf returns a project's limits by one query.
func (s *Service) limitsOf(ctx context.Context, db bun.IDB, projectID string) (QuotaSet, error) {
	var rows []quotaRow
	err := db.NewSelect().Model(&rows).Where("quota.kind = ? AND quota.owner = ? OR quota.kind = ? AND quota.owner = ?",
		quotaOfClass, defaultClass, quotaOfProject, projectID).
		Order("quota.kind").Scan(ctx) // class before project
	if err != nil {
		return nil, err
	}
	limits := s.configuredQuotas()
	for _, r := range rows {
		limits[r.Resource] = Quota{Limit: r.HardLimit}
	}
	return limits, nil
}

func (s *Service) limitOf(ctx context.Context, db bun.IDB, projectID, resource string) (int, error) {
	limits, err := s.limitsOf(ctx, db, projectID)
	return limits[resource].Limit, err
}

// addUsage counts what is in use, of a project or of a user in it.
func addUsage(ctx context.Context, db bun.IDB, limits QuotaSet, projectID, userID string) error {
	used, err := serverUsage(ctx, db, projectID, userID)
	if err != nil {
		return err
	}
	q := db.NewSelect().Model((*groupRow)(nil)).Where("grp.project_id = ?", projectID)
	if userID != "" {
		q = q.Where("grp.user_id = ?", userID)
	}
	groups, err := q.Count(ctx)
	if err != nil {
		return err
	}
	in := map[string]int{"instances": used.instances, "cores": used.cores, "ram": used.ramMiB, "server_groups": int(groups)}
	if userID != "" {
		keys, err := db.NewSelect().Model((*keyPairRow)(nil)).Where("keypair.user_id = ?", userID).Count(ctx)
		if err != nil {
			return err
		}
		in["key_pairs"] = int(keys)
	}
	for r, n := range in {
		limits[r] = Quota{Limit: limits[r].Limit, InUse: n}
	}
	return nil
}

// Quotas implements [Quotas].
func (s *Service) Quotas(ctx context.Context, projectID, userID string, usage bool) (QuotaSet, error) {
	verb := "show"
	if usage {
		verb = "detail"
	}
	if err := s.cfg.Policy.Enforce(ctx, quotaRule(verb), map[string]any{"project_id": projectID}); err != nil {
		return nil, err
	}
	if err := s.checkProject(ctx, projectID); err != nil {
		return nil, err
	}
	db := s.cfg.Store.Reader()
	limits, err := s.limitsOf(ctx, db, projectID)
	if err == nil && usage {
		err = addUsage(ctx, db, limits, projectID, userID)
	}
	return limits, err
}

// DefaultQuotas implements [Quotas].
func (s *Service) DefaultQuotas(ctx context.Context, projectID string) (QuotaSet, error) {
	if err := s.cfg.Policy.Enforce(ctx, quotaRule("defaults"), map[string]any{"project_id": projectID}); err != nil {
		return nil, err
	}
	if err := s.checkProject(ctx, projectID); err != nil {
		return nil, err
	}
	return s.limitsOf(ctx, s.cfg.Store.Reader(), "")
}

// UpdateQuotas implements [Quotas].
func (s *Service) UpdateQuotas(ctx context.Context, projectID, userID string, limits map[string]int, force bool) (QuotaSet, error) {
	if err := s.cfg.Policy.Enforce(ctx, quotaRule("update"), map[string]any{"project_id": projectID}); err != nil {
		return nil, err
	}
	if err := s.checkProject(ctx, projectID); err != nil {
		return nil, err
	}
	if userID != "" {
		return nil, nephos.Errorf(errors.ErrUnsupported, "Quotas of single users are not supported: set the project's.")
	}
	if err := checkLimits(limits); err != nil {
		return nil, err
	}
	var out QuotaSet
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if out, err = s.limitsOf(ctx, tx, projectID); err != nil {
			return err
		}
		if !force {
			if err := addUsage(ctx, tx, out, projectID, ""); err != nil {
				return err
			}
			for _, r := range QuotaResources() {
				if n, ok := limits[r]; ok && n >= 0 && n < out[r].InUse {
					return invalid("Quota limit %d for %s must be greater than or equal to already used and reserved %d.",
						n, r, out[r].InUse).WithField(r)
				}
			}
		}
		for r, n := range limits {
			out[r] = Quota{Limit: n, InUse: out[r].InUse}
		}
		if err := putLimits(ctx, tx, quotaOfProject, projectID, limits); err != nil {
			return err
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "quota.update", ResourceID: projectID, ProjectID: projectID}, limits)
	})
	return out, err
}

// DeleteQuotas implements [Quotas].
func (s *Service) DeleteQuotas(ctx context.Context, projectID, userID string) error {
	if err := s.cfg.Policy.Enforce(ctx, quotaRule("delete"), map[string]any{"project_id": projectID}); err != nil {
		return err
	}
	if userID != "" {
		return nil // a user has none
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.NewRaw("DELETE FROM compute_quotas WHERE kind = ? AND owner = ?", quotaOfProject, projectID).Exec(ctx); err != nil {
			return err
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "quota.delete", ResourceID: projectID, ProjectID: projectID}, nil)
	})
}

func checkLimits(limits map[string]int) error {
	for r, n := range limits {
		if !slices.Contains(QuotaResources(), r) {
			return invalid("Invalid input received: there is no quota of %s.", clip(r)).WithField(r)
		}
		if n < -1 || n > maxAmount {
			return invalid("Invalid input received: the limit of %s must be -1 or more.", r).WithField(r)
		}
	}
	return nil
}

func putLimits(ctx context.Context, tx *store.Tx, kind, owner string, limits map[string]int) error {
	if len(limits) == 0 {
		return nil
	}
	rows := make([]quotaRow, 0, len(limits))
	for r, n := range limits {
		rows = append(rows, quotaRow{Kind: kind, Owner: owner, Resource: r, HardLimit: n})
	}
	_, err := tx.NewInsert().Model(&rows).On("CONFLICT (kind, owner, resource) DO UPDATE").
		Set("hard_limit = EXCLUDED.hard_limit").Returning("NULL").Exec(ctx)
	return err
}

// checkProject refuses a project that does not exist, if that is known.
func (s *Service) checkProject(ctx context.Context, id string) error {
	if id == "" || len(id) > 255 {
		return invalid("Project ID %s is not a valid project.", clip(id)).WithField("project_id")
	}
	if s.cfg.Projects == nil {
		return nil
	}
	known, err := s.cfg.Projects.ProjectExists(ctx, id)
	if err == nil && !known {
		err = invalid("Project ID %s is not a valid project.", clip(id)).WithField("project_id")
	}
	return err
}
