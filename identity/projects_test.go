package identity_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/store"
)

func ids(projects []identity.Project) []string {
	out := []string{}
	for _, p := range projects {
		out = append(out, p.ID)
	}
	return out
}

func TestProjectsMakeATree(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.bootstrap()
		make := func(name, parent string) identity.Project {
			p, err := f.CreateProject(f.admin, identity.ProjectSpec{Name: name, ParentID: parent})
			require.NoError(t, err)
			return p
		}
		a := make("a", "")
		b := make("b", a.ID)
		c := make("c", b.ID)
		parents, subtree, err := f.ProjectTree(f.admin, b.ID, true)
		require.NoError(t, err)
		require.Equal(t, []string{a.ID, "default"}, ids(parents))
		require.Equal(t, []string{c.ID}, ids(subtree))
		parents, subtree, err = f.ProjectTree(f.admin, b.ID, false)
		require.NoError(t, err)
		require.Empty(t, parents)
		require.Empty(t, subtree)

		off, on := identity.ProjectUpdate{Enabled: ptr(false)}, identity.ProjectUpdate{Enabled: ptr(true)}
		_, err = f.UpdateProject(f.admin, b.ID, off)
		require.ErrorIs(t, err, nephos.ErrForbidden)
		for _, p := range []identity.Project{c, b} {
			_, err = f.UpdateProject(f.admin, p.ID, off)
			require.NoError(t, err)
		}
		_, err = f.UpdateProject(f.admin, c.ID, on)
		require.ErrorIs(t, err, nephos.ErrForbidden)
		_, err = f.CreateProject(f.admin, identity.ProjectSpec{Name: "d", ParentID: b.ID})
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.ErrorIs(t, f.DeleteProject(f.admin, b.ID), nephos.ErrForbidden)
		require.NoError(t, f.DeleteProject(f.admin, c.ID))

		for _, u := range []identity.ProjectUpdate{{ParentID: ptr("default")}, {IsDomain: ptr(true)}, {DomainID: ptr("other")}, {Name: ptr("a")}, {Name: ptr(" ")}} {
			_, err = f.UpdateProject(f.admin, b.ID, u)
			require.Error(t, err)
		}
		for _, spec := range []identity.ProjectSpec{{Name: "x", ParentID: "nosuch"}, {Name: "x", DomainID: "nosuch"}, {Name: "x", IsDomain: true, ParentID: a.ID}, {}} {
			_, err = f.CreateProject(f.admin, spec)
			require.ErrorIs(t, err, nephos.ErrInvalid)
		}
		_, err = f.CreateProject(f.admin, identity.ProjectSpec{Name: "a"})
		require.ErrorIs(t, err, nephos.ErrConflict)

		at := a.ID
		for i := range 4 {
			at = make(fmt.Sprint("deep", i), at).ID
		}
		_, err = f.CreateProject(f.admin, identity.ProjectSpec{Name: "too deep", ParentID: at})
		require.ErrorIs(t, err, nephos.ErrForbidden)
	})
}

func TestProjectsAreFoundByTag(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		f.bootstrap()
		made := map[string]string{}
		for name, tags := range map[string][]string{"ab": {"a", "b"}, "b": {"b"}, "none": nil} {
			p, err := f.CreateProject(f.admin, identity.ProjectSpec{Name: name, Tags: tags})
			require.NoError(t, err)
			made[name] = p.ID
		}
		for _, tc := range []struct {
			filter identity.ProjectFilter
			want   []string
		}{
			{identity.ProjectFilter{Tags: []string{"b"}}, []string{"ab", "b"}},
			{identity.ProjectFilter{Tags: []string{"b", "a"}}, []string{"ab"}},
			{identity.ProjectFilter{TagsAny: []string{"a", "x"}}, []string{"ab"}},
			{identity.ProjectFilter{NotTags: []string{"a", "b"}}, []string{"admin", "b", "none"}},
			{identity.ProjectFilter{NotTagsAny: []string{"a", "b"}}, []string{"admin", "none"}},
		} {
			ctx, queries := store.CountQueries(f.admin)
			list, _, err := f.ListProjects(ctx, tc.filter, nephos.Page{})
			require.NoError(t, err)
			require.LessOrEqual(t, queries.Load(), int64(2))
			names := []string{}
			for _, p := range list {
				names = append(names, p.Name)
			}
			require.ElementsMatch(t, tc.want, names, "%+v", tc.filter)
		}
		require.NoError(t, f.AddProjectTag(f.admin, made["b"], "c"))
		require.ErrorIs(t, f.AddProjectTag(f.admin, made["b"], "c"), nephos.ErrInvalid)
		require.NoError(t, f.HasProjectTag(f.admin, made["b"], "c"))
		require.NoError(t, f.RemoveProjectTag(f.admin, made["b"], "b"))
		require.ErrorIs(t, f.RemoveProjectTag(f.admin, made["b"], "b"), nephos.ErrNotFound)
		tags, err := f.ProjectTags(f.admin, made["b"])
		require.NoError(t, err)
		require.Equal(t, []string{"c"}, tags)
		_, err = f.SetProjectTags(f.admin, made["b"], []string{"a/b"})
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.NoError(t, f.ClearProjectTags(f.admin, made["b"]))
	})
}

func TestADomainTakesAllWithIt(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		b := f.bootstrap()
		d, err := f.CreateDomain(f.admin, identity.DomainSpec{Name: "d"})
		require.NoError(t, err)
		_, err = f.CreateDomain(f.admin, identity.DomainSpec{Name: "d"})
		require.ErrorIs(t, err, nephos.ErrConflict)
		u, err := f.CreateUser(f.admin, identity.UserSpec{Name: "admin", DomainID: d.ID, Password: ptr("pw")})
		require.NoError(t, err)
		p, err := f.CreateProject(f.admin, identity.ProjectSpec{Name: "admin", DomainID: d.ID})
		require.NoError(t, err)
		require.Equal(t, d.ID, p.ParentID)
		r, err := f.CreateRole(f.admin, identity.RoleSpec{Name: "local", DomainID: d.ID})
		require.NoError(t, err)
		_, err = f.ImplyRole(f.admin, r.ID, b.Roles["reader"])
		require.NoError(t, err)
		require.ErrorIs(t, f.CreateGrant(f.admin, identity.Grant{UserID: u.ID, ProjectID: b.ProjectID, RoleID: r.ID}), nephos.ErrForbidden)
		require.NoError(t, f.CreateGrant(f.admin, identity.Grant{UserID: u.ID, ProjectID: p.ID, RoleID: r.ID}))
		c, err := f.Verify(t.Context(), f.mustLogin(u.ID, "pw", identity.Scope{ProjectID: p.ID}))
		require.NoError(t, err)
		require.Equal(t, []string{"reader"}, c.Roles) // what a domain's role implies, not itself

		require.ErrorIs(t, f.DeleteDomain(f.admin, d.ID), nephos.ErrForbidden)
		_, err = f.UpdateDomain(f.admin, d.ID, identity.DomainUpdate{Enabled: ptr(false)})
		require.NoError(t, err)
		require.NoError(t, f.DeleteDomain(f.admin, d.ID))
		for _, err := range []error{
			second(f.User(f.admin, u.ID)), second(f.Project(f.admin, p.ID)), second(f.Role(f.admin, r.ID)), second(f.Domain(f.admin, d.ID)),
		} {
			require.ErrorIs(t, err, nephos.ErrNotFound)
		}
		lines, err := f.ListAssignments(f.admin, identity.AssignmentFilter{})
		require.NoError(t, err)
		require.Len(t, lines, 2) // the administrator's
	})
}

func second[T any](_ T, err error) error { return err }

func TestADomainsManagerManagesThatDomain(t *testing.T) {
	f := sqlite(t)
	b := f.bootstrap()
	d, err := f.CreateDomain(f.admin, identity.DomainSpec{Name: "d"})
	require.NoError(t, err)
	manager := nephos.WithCaller(t.Context(), nephos.Caller{UserID: "m", DomainID: d.ID, Roles: []string{"manager", "member", "reader"}})
	u, err := f.CreateUser(manager, identity.UserSpec{Name: "u"})
	require.NoError(t, err)
	require.Equal(t, d.ID, u.DomainID)
	p, err := f.CreateProject(manager, identity.ProjectSpec{Name: "p"})
	require.NoError(t, err)
	require.Equal(t, d.ID, p.DomainID)
	require.NoError(t, f.CreateGrant(manager, identity.Grant{UserID: u.ID, ProjectID: p.ID, RoleID: b.Roles["member"]}))
	users, _, err := f.ListUsers(manager, identity.UserFilter{}, nephos.Page{})
	require.NoError(t, err)
	require.Len(t, users, 1)
	users, _, err = f.ListUsers(manager, identity.UserFilter{DomainID: "default"}, nephos.Page{})
	require.NoError(t, err)
	require.Empty(t, users)

	for name, err := range map[string]error{
		"make an admin":             f.CreateGrant(manager, identity.Grant{UserID: u.ID, ProjectID: p.ID, RoleID: b.Roles["admin"]}),
		"give out others' projects": f.CreateGrant(manager, identity.Grant{UserID: u.ID, ProjectID: b.ProjectID, RoleID: b.Roles["member"]}),
		"give to others' users":     f.CreateGrant(manager, identity.Grant{UserID: b.UserID, ProjectID: p.ID, RoleID: b.Roles["member"]}),
		"give on the system":        f.CreateGrant(manager, identity.Grant{UserID: u.ID, System: true, RoleID: b.Roles["reader"]}),
		"make users elsewhere":      second(f.CreateUser(manager, identity.UserSpec{Name: "x", DomainID: "default"})),
		"see others' users":         second(f.User(manager, b.UserID)),
		"change others' users":      second(f.UpdateUser(manager, b.UserID, identity.UserUpdate{Password: ptr("mine")})),
		"delete others' projects":   f.DeleteProject(manager, b.ProjectID),
		"make domains":              second(f.CreateDomain(manager, identity.DomainSpec{Name: "x"})),
		"make a project a domain":   second(f.CreateProject(manager, identity.ProjectSpec{Name: "x", IsDomain: true})),
		"make a domain with a home": second(f.CreateProject(manager, identity.ProjectSpec{Name: "x", IsDomain: true, DomainID: d.ID})),
		"disable the domain":        second(f.UpdateProject(manager, d.ID, identity.ProjectUpdate{Enabled: ptr(false)})),
		"delete the domain":         f.DeleteProject(manager, d.ID),
	} {
		require.ErrorIs(t, err, nephos.ErrForbidden, name)
	}
}

func TestAssignmentsCostAConstantNumberOfQueries(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		b := f.bootstrap()
		ask := func() int64 {
			ctx, queries := store.CountQueries(f.admin)
			_, err := f.ListAssignments(ctx, identity.AssignmentFilter{Effective: true, Names: true})
			require.NoError(t, err)
			return queries.Load()
		}
		before := ask()
		for i := range 10 {
			f.user(fmt.Sprint("u", i), "member", b)
		}
		require.Equal(t, before, ask())
		ctx, queries := store.CountQueries(f.admin)
		users, _, err := f.ListUsers(ctx, identity.UserFilter{}, nephos.Page{})
		require.NoError(t, err)
		require.Len(t, users, 11)
		require.EqualValues(t, 1, queries.Load())
	})
}
