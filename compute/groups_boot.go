package compute

import (
	"context"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// bootGroup returns the caller's project's server group (ID, Policy and
// MaxServerPerHost): ErrInvalid "Instance group X could not be found." when there is none.
func (s *Service) bootGroup(ctx context.Context, id string) (scheduler.Group, error) {
	var rows []groupRow
	err := s.cfg.Store.Reader().NewSelect().Model(&rows).
		Where("grp.id = ? AND grp.project_id = ?", id, caller(ctx).ProjectID).Scan(ctx)
	if err != nil {
		return scheduler.Group{}, err
	}
	if len(rows) == 0 {
		return scheduler.Group{}, invalid("Instance group %s could not be found.", clip(id)).WithField("group")
	}
	g := scheduler.Group{ID: id, Policy: rows[0].Policy}
	if n := rows[0].MaxServerPerHost; n != nil {
		g.MaxServerPerHost = *n
	}
	return g, nil
}

// joinGroup holds the quota of a group's members against servers that are about to
// be added to it, inside the boot's transaction. Members are the rows of
// compute_servers with the group's id in group_id that are not deleted.
func (s *Service) joinGroup(ctx context.Context, tx *store.Tx, groupID string, servers ...string) error {
	var projects []string
	if err := tx.NewSelect().Table("compute_groups").Column("project_id").Where("id = ?", groupID).Scan(ctx, &projects); err != nil {
		return err
	}
	if len(projects) == 0 {
		return invalid("Instance group %s could not be found.", clip(groupID)).WithField("group")
	}
	limit, err := s.limitOf(ctx, tx, projects[0], "server_group_members")
	if err != nil || limit < 0 {
		return err
	}
	n, err := tx.NewSelect().Table("compute_servers").Where("group_id = ? AND NOT deleted", groupID).Count(ctx)
	if err == nil && int(n)+len(servers) > limit {
		err = nephos.Errorf(nephos.ErrQuota, "Quota exceeded, too many servers in group")
	}
	return err
}
