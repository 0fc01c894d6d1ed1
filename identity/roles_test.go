package identity_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/store"
)

func TestARoleLivesAndDies(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		made, err := f.CreateRole(f.admin, identity.RoleSpec{Name: "auditor", Description: ptr("looks on"), Extra: map[string]any{"colour": "grey"}})
		require.NoError(t, err)
		require.Len(t, made.ID, 32)

		_, err = f.CreateRole(f.admin, identity.RoleSpec{Name: "auditor"})
		require.ErrorIs(t, err, nephos.ErrConflict)
		require.EqualError(t, err, "Conflict occurred attempting to store role - Duplicate entry found with name auditor.")

		got, err := f.Role(f.admin, made.ID)
		require.NoError(t, err)
		require.Equal(t, made, got)

		got, err = f.UpdateRole(f.admin, made.ID, identity.RoleUpdate{Name: ptr("watcher"), Extra: map[string]any{"size": "s"}})
		require.NoError(t, err)
		require.Equal(t, "watcher", got.Name)
		require.Equal(t, "looks on", *got.Description)
		require.Equal(t, map[string]any{"colour": "grey", "size": "s"}, got.Extra)

		require.NoError(t, f.DeleteRole(f.admin, made.ID))
		_, err = f.Role(f.admin, made.ID)
		require.ErrorIs(t, err, nephos.ErrNotFound)
		require.EqualError(t, err, "Could not find role: "+made.ID+".")

		events, err := f.db.Events(t.Context(), 0, 10)
		require.NoError(t, err)
		types := []string{}
		for _, e := range events {
			require.Equal(t, made.ID, e.ResourceID)
			types = append(types, e.Type)
		}
		require.Equal(t, []string{"role.create", "role.update", "role.delete"}, types)
	})
}

func TestAnImmutableRoleStays(t *testing.T) {
	f := sqlite(t)
	role, err := f.CreateRole(f.admin, identity.RoleSpec{Name: "rock", Options: map[string]any{"immutable": true}})
	require.NoError(t, err)
	_, err = f.UpdateRole(f.admin, role.ID, identity.RoleUpdate{Name: ptr("sand")})
	require.ErrorIs(t, err, nephos.ErrForbidden)
	require.ErrorIs(t, f.DeleteRole(f.admin, role.ID), nephos.ErrForbidden)
	_, err = f.UpdateRole(f.admin, role.ID, identity.RoleUpdate{Name: ptr("sand"), Options: map[string]any{"immutable": false}})
	require.ErrorIs(t, err, nephos.ErrForbidden)
	_, err = f.UpdateRole(f.admin, role.ID, identity.RoleUpdate{Options: map[string]any{"immutable": false}})
	require.NoError(t, err)
	require.NoError(t, f.DeleteRole(f.admin, role.ID))
}

func TestRolesAreListedByPageAndFilter(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for i := range 5 {
			_, err := f.CreateRole(f.admin, identity.RoleSpec{Name: fmt.Sprintf("Role_%d%%", i)})
			require.NoError(t, err)
		}
		var seen []string
		p := nephos.Page{Limit: 2}
		for {
			ctx, queries := store.CountQueries(f.admin)
			roles, more, err := f.ListRoles(ctx, identity.RoleFilter{}, p)
			require.NoError(t, err)
			require.EqualValues(t, 1, queries.Load())
			for _, r := range roles {
				seen = append(seen, r.ID)
			}
			if !more {
				break
			}
			require.Len(t, roles, 2)
			p.Marker = roles[1].ID
		}
		require.Len(t, seen, 5)
		require.IsIncreasing(t, seen)
		for _, tc := range []struct {
			m    identity.Match
			want int
		}{
			{identity.Match{Value: "Role_3%"}, 1},
			{identity.Match{Value: "role_3%"}, 0},
			{identity.Match{Value: "role_3%", Fold: true}, 1},
			{identity.Match{Op: identity.Contains, Value: "e_3"}, 1},
			{identity.Match{Op: identity.Contains, Value: "E_"}, 0},
			{identity.Match{Op: identity.Contains, Value: "E_", Fold: true}, 5},
			{identity.Match{Op: identity.StartsWith, Value: "Role"}, 5},
			{identity.Match{Op: identity.StartsWith, Value: "ole"}, 0},
			{identity.Match{Op: identity.EndsWith, Value: "4%"}, 1},
			{identity.Match{Op: identity.EndsWith, Value: "a much longer text than any name"}, 0},
		} {
			roles, _, err := f.ListRoles(f.admin, identity.RoleFilter{Name: []identity.Match{tc.m}}, nephos.Page{})
			require.NoError(t, err)
			require.Len(t, roles, tc.want, "%+v", tc.m)
		}
	})
}

func TestRolesAreHiddenFromMembers(t *testing.T) {
	f := sqlite(t)
	role, err := f.CreateRole(f.admin, identity.RoleSpec{Name: "x"})
	require.NoError(t, err)
	member := nephos.WithCaller(t.Context(), nephos.Caller{UserID: "u", ProjectID: "p", Roles: []string{"member", "reader"}})
	_, err = f.Role(member, role.ID)
	require.EqualError(t, err, "You are not authorized to perform the requested action: identity:get_role.")
	_, err = f.Role(member, "nosuch")
	require.ErrorIs(t, err, nephos.ErrNotFound)
	_, err = f.CreateRole(member, identity.RoleSpec{Name: "y"})
	require.ErrorIs(t, err, nephos.ErrForbidden)
	_, _, err = f.ListRoles(t.Context(), identity.RoleFilter{}, nephos.Page{})
	require.ErrorIs(t, err, nephos.ErrUnauthenticated)
	domainManager := nephos.WithCaller(t.Context(), nephos.Caller{UserID: "u", DomainID: "d", Roles: []string{"manager", "member", "reader"}})
	_, _, err = f.ListRoles(domainManager, identity.RoleFilter{}, nephos.Page{})
	require.NoError(t, err)
}
