package identity

import (
	"context"

	"github.com/uptrace/bun"
)

type roleRow struct {
	bun.BaseModel `bun:"table:identity_roles,alias:role"`
	Role
}

func loadRole(ctx context.Context, db bun.IDB, id string) (Role, error) {
	var row roleRow
	ok, err := one(ctx, db.NewSelect().Model(&row).Where("role.id = ?", id))
	if err == nil && !ok {
		err = notFound("role", id)
	}
	return row.Role, err
}

func rolesOf(rows []roleRow) []Role {
	roles := make([]Role, len(rows))
	for i, r := range rows {
		roles[i] = r.Role
	}
	return roles
}
