package compute

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/store"
)

// QuotaClass implements [Quotas].
func (s *Service) QuotaClass(ctx context.Context, class string) (QuotaSet, error) {
	if err := s.cfg.Policy.Enforce(ctx, quotaClassRule("show"), nil); err != nil {
		return nil, err
	}
	return s.classLimits(ctx, s.cfg.Store.Reader(), class)
}

func (s *Service) classLimits(ctx context.Context, db bun.IDB, class string) (QuotaSet, error) {
	var rows []quotaRow
	err := db.NewSelect().Model(&rows).Where("quota.kind = ? AND quota.owner = ?", quotaOfClass, class).Scan(ctx)
	if err != nil {
		return nil, err
	}
	limits := s.configuredQuotas()
	for _, r := range rows {
		limits[r.Resource] = Quota{Limit: r.HardLimit}
	}
	return limits, nil
}

// UpdateQuotaClass implements [Quotas].
func (s *Service) UpdateQuotaClass(ctx context.Context, class string, limits map[string]int) (QuotaSet, error) {
	if err := s.cfg.Policy.Enforce(ctx, quotaClassRule("update"), nil); err != nil {
		return nil, err
	}
	if class == "" || len(class) > 255 {
		return nil, invalid("Invalid input received: quota_class_name has %d characters, more than 255.", len(class)).WithField("id")
	}
	if err := checkLimits(limits); err != nil {
		return nil, err
	}
	var out QuotaSet
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) (err error) {
		if err := putLimits(ctx, tx, quotaOfClass, class, limits); err != nil {
			return err
		}
		if out, err = s.classLimits(ctx, tx, class); err != nil {
			return err
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "quota_class.update", ResourceID: class}, limits)
	})
	return out, err
}

// Limits implements [Quotas].
func (s *Service) Limits(ctx context.Context, projectID string) (QuotaSet, error) {
	if err := s.cfg.Policy.Enforce(ctx, ruleLimits, nil); err != nil {
		return nil, err
	}
	if projectID == "" {
		projectID = caller(ctx).ProjectID
	} else if err := s.cfg.Policy.Enforce(ctx, ruleLimits+":other_project", ownProject(ctx)); err != nil {
		return nil, err
	}
	db := s.cfg.Store.Reader()
	limits, err := s.limitsOf(ctx, db, projectID)
	if err != nil {
		return nil, err
	}
	return limits, addUsage(ctx, db, limits, projectID, "")
}
