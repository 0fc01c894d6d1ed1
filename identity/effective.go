package identity

import (
	"context"

	"github.com/uptrace/bun"
)

// actorIs is the SQL condition that an assignment is a user's, directly or
// through a group. It takes the user's id as ?0.
const actorIs = `((actor_type = 'user' AND actor_id = ?0) OR (actor_type = 'group' AND actor_id IN
	(SELECT group_id FROM identity_memberships WHERE user_id = ?0)))`

// loadHeld returns the roles that a user holds on a target: directly, through
// groups, inherited from above, and all they imply. Roles of a domain count
// through what they imply only.
func loadHeld(ctx context.Context, db bun.IDB, userID, targetType, targetID string) ([]Ref, error) {
	var refs []Ref
	err := db.NewRaw(`WITH RECURSIVE up(id) AS (
			SELECT parent_id FROM identity_projects WHERE id = ?2 AND ?1 = 'project'
			UNION
			SELECT p.parent_id FROM identity_projects p JOIN up ON p.id = up.id WHERE p.parent_id <> ''
		), held(id) AS (
			SELECT role_id FROM identity_assignments WHERE `+actorIs+` AND (
				(NOT inherited AND target_type = ?1 AND target_id = ?2)
				OR (inherited AND target_id IN (SELECT id FROM up)))
			UNION
			SELECT i.implied_id FROM identity_implied_roles i JOIN held ON i.prior_id = held.id
		)
		SELECT r.id, r.name FROM identity_roles r JOIN held ON r.id = held.id WHERE r.domain_id = '' ORDER BY r.name`,
		userID, targetType, targetID).Scan(ctx, &refs)
	return refs, err
}

// loadUserProjects returns the projects on which a user holds a role.
func loadUserProjects(ctx context.Context, db bun.IDB, userID string, f ProjectFilter) ([]Project, error) {
	if userID == "" {
		return []Project{}, nil
	}
	var rows []projectRow
	err := filterProjects(db.NewSelect().Model(&rows), f).Where(`project.id IN (
		WITH RECURSIVE tree(id) AS (
			SELECT target_id FROM identity_assignments WHERE inherited AND `+actorIs+`
			UNION
			SELECT p.id FROM identity_projects p JOIN tree ON p.parent_id = tree.id
		)
		SELECT target_id FROM identity_assignments WHERE NOT inherited AND target_type = 'project' AND `+actorIs+`
		UNION
		SELECT p.id FROM identity_projects p JOIN tree ON p.parent_id = tree.id)`, userID).
		Order("project.id").Scan(ctx)
	if err != nil {
		return nil, err
	}
	return withTags(ctx, db, rows)
}

// loadUserDomains returns the domains on which a user holds a role.
func loadUserDomains(ctx context.Context, db bun.IDB, userID string) ([]Project, error) {
	var rows []projectRow
	err := db.NewSelect().Model(&rows).Where("project.is_domain").
		Where(`project.id IN (SELECT target_id FROM identity_assignments WHERE NOT inherited AND target_type = 'domain' AND `+actorIs+`)`, userID).
		Order("project.id").Scan(ctx)
	if err != nil {
		return nil, err
	}
	return withTags(ctx, db, rows)
}
