package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/store"
)

var catalog = []identity.CatalogEntry{
	{Type: "identity", Name: "keystone", URLs: map[string]string{"public": "http://x/identity"}},
	{Type: "volumev3", Name: "cinder", URLs: map[string]string{"public": "http://x/volume/v3/$(project_id)s"}},
}

// bootstrap makes the first administrator, whose password is "secret".
func (f *fixture) bootstrap() identity.Bootstrapped {
	f.t.Helper()
	b, err := f.Bootstrap(f.t.Context(), identity.BootstrapConfig{AdminPassword: "secret", Catalog: catalog})
	require.NoError(f.t, err)
	return b
}

// user makes a user with a role on a new project.
func (f *fixture) user(name, role string, b identity.Bootstrapped) (identity.User, identity.Project) {
	f.t.Helper()
	u, err := f.CreateUser(f.admin, identity.UserSpec{Name: name, Password: ptr("pw")})
	require.NoError(f.t, err)
	p, err := f.CreateProject(f.admin, identity.ProjectSpec{Name: name})
	require.NoError(f.t, err)
	require.NoError(f.t, f.CreateGrant(f.admin, identity.Grant{UserID: u.ID, ProjectID: p.ID, RoleID: b.Roles[role]}))
	return u, p
}

func (f *fixture) login(userID, password string, scope identity.Scope) (string, error) {
	_, token, err := f.Authenticate(f.t.Context(), identity.AuthRequest{
		Methods: []string{"password"}, Password: &identity.PasswordAuth{UserID: userID, Password: password}, Scope: scope,
	})
	return token, err
}

func (f *fixture) mustLogin(userID, password string, scope identity.Scope) string {
	f.t.Helper()
	token, err := f.login(userID, password, scope)
	require.NoError(f.t, err)
	return token
}

func TestATokenIsGoodUntilSomethingChanges(t *testing.T) {
	type scene struct {
		*fixture
		b    identity.Bootstrapped
		user identity.User
		proj identity.Project
		tok  string
	}
	for name, change := range map[string]func(s scene) error{
		"the user is disabled": func(s scene) error {
			_, err := s.UpdateUser(s.admin, s.user.ID, identity.UserUpdate{Enabled: ptr(false)})
			return err
		},
		"the user was disabled for a moment": func(s scene) error {
			_, err := s.UpdateUser(s.admin, s.user.ID, identity.UserUpdate{Enabled: ptr(false)})
			require.NoError(s.t, err)
			_, err = s.UpdateUser(s.admin, s.user.ID, identity.UserUpdate{Enabled: ptr(true)})
			return err
		},
		"the password is set": func(s scene) error {
			_, err := s.UpdateUser(s.admin, s.user.ID, identity.UserUpdate{Password: ptr("new")})
			return err
		},
		"the password is changed": func(s scene) error { return s.ChangePassword(s.t.Context(), s.user.ID, "pw", "new") },
		"the user is deleted":     func(s scene) error { return s.DeleteUser(s.admin, s.user.ID) },
		"the project is deleted":  func(s scene) error { return s.DeleteProject(s.admin, s.proj.ID) },
		"the last role is revoked": func(s scene) error {
			return s.RevokeGrant(s.admin, identity.Grant{UserID: s.user.ID, ProjectID: s.proj.ID, RoleID: s.b.Roles["member"]})
		},
		"the project is disabled": func(s scene) error {
			_, err := s.UpdateProject(s.admin, s.proj.ID, identity.ProjectUpdate{Enabled: ptr(false)})
			return err
		},
		"the domain is disabled": func(s scene) error {
			_, err := s.UpdateDomain(s.admin, identity.DefaultDomainID, identity.DomainUpdate{Enabled: ptr(false)})
			return err
		},
		"the token is revoked": func(s scene) error { return s.RevokeToken(s.admin, s.tok) },
		"it expires":           func(s scene) error { s.clock.Advance(time.Hour); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, f *fixture) {
				s := scene{fixture: f, b: f.bootstrap()}
				s.user, s.proj = f.user("u", "member", s.b)
				s.tok = f.mustLogin(s.user.ID, "pw", identity.Scope{ProjectID: s.proj.ID})
				// Another process on the same database.
				other := newService(t, f.db, f.clock, f.keys)
				for _, v := range []*identity.Service{f.Service, other} {
					c, err := v.Verify(t.Context(), s.tok)
					require.NoError(t, err)
					require.Equal(t, []string{"member", "reader"}, c.Roles)
				}
				ctx, queries := store.CountQueries(t.Context())
				for _, v := range []*identity.Service{f.Service, other} {
					_, err := v.Verify(ctx, s.tok)
					require.NoError(t, err)
				}
				require.Zero(t, queries.Load())
				require.NoError(t, change(s))
				_, err := f.Verify(t.Context(), s.tok)
				require.ErrorIs(t, err, nephos.ErrUnauthenticated)
				require.Eventually(t, func() bool {
					_, err := other.Verify(t.Context(), s.tok)
					return err != nil
				}, 10*time.Second, time.Millisecond)
			})
		})
	}
}

func TestALoginInTheSecondOfAPasswordChangeWorks(t *testing.T) {
	f := sqlite(t)
	u, p := f.user("u", "member", f.bootstrap())
	scope := identity.Scope{ProjectID: p.ID}
	password := "pw"
	for _, next := range []string{"a", "b", "c"} {
		token := f.mustLogin(u.ID, password, scope)
		_, err := f.Verify(t.Context(), token)
		require.NoError(t, err)
		require.NoError(t, f.ChangePassword(t.Context(), u.ID, password, next))
		_, err = f.Verify(t.Context(), token)
		require.ErrorIs(t, err, nephos.ErrUnauthenticated)
		password = next
	}
}

func TestScopes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		b := f.bootstrap()
		u, p := f.user("u", "admin", b)
		caller := func(scope identity.Scope) nephos.Caller {
			t.Helper()
			c, err := f.Verify(t.Context(), f.mustLogin(u.ID, "pw", scope))
			require.NoError(t, err)
			return c
		}
		c := caller(identity.Scope{ProjectName: "u", DomainName: "Default"})
		require.Equal(t, p.ID, c.ProjectID)
		require.Equal(t, "u", c.ProjectName)
		require.Equal(t, "default", c.ProjectDomainID)
		require.Equal(t, []string{"admin", "manager", "member", "reader"}, c.Roles)

		require.Empty(t, caller(identity.Scope{}).ProjectID)
		_, err := f.UpdateUser(f.admin, u.ID, identity.UserUpdate{DefaultProjectID: ptr(p.ID)})
		require.NoError(t, err)
		require.Equal(t, p.ID, caller(identity.Scope{}).ProjectID)
		require.Empty(t, caller(identity.Scope{Unscoped: true}).ProjectID)
		_, err = f.UpdateUser(f.admin, u.ID, identity.UserUpdate{DefaultProjectID: ptr("nosuch")})
		require.NoError(t, err)
		require.Empty(t, caller(identity.Scope{}).ProjectID)

		_, err = f.login(u.ID, "pw", identity.Scope{DomainID: "default"})
		require.ErrorIs(t, err, nephos.ErrUnauthenticated)
		require.NoError(t, f.CreateGrant(f.admin, identity.Grant{UserID: u.ID, DomainID: "default", RoleID: b.Roles["reader"]}))
		c = caller(identity.Scope{DomainName: "Default"})
		require.Equal(t, "default", c.DomainID)
		require.Equal(t, []string{"reader"}, c.Roles)

		_, err = f.login(u.ID, "pw", identity.Scope{System: true})
		require.ErrorIs(t, err, nephos.ErrUnauthenticated)
		g, err := f.CreateGroup(f.admin, identity.GroupSpec{Name: "g"})
		require.NoError(t, err)
		require.NoError(t, f.AddGroupUser(f.admin, g.ID, u.ID))
		require.NoError(t, f.CreateGrant(f.admin, identity.Grant{GroupID: g.ID, System: true, RoleID: b.Roles["member"]}))
		c = caller(identity.Scope{System: true})
		require.True(t, c.System)
		require.Equal(t, []string{"member", "reader"}, c.Roles)
		for _, bad := range []identity.Scope{{ProjectID: b.ProjectID}, {ProjectID: "nosuch"}, {ProjectID: "default"}, {DomainID: p.ID}} {
			_, err = f.login(u.ID, "pw", bad)
			require.ErrorIs(t, err, nephos.ErrUnauthenticated, "%+v", bad)
		}
	})
}

func TestInheritedRolesCountBelowTheirTarget(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		b := f.bootstrap()
		u, top := f.user("u", "reader", b)
		mid, err := f.CreateProject(f.admin, identity.ProjectSpec{Name: "mid", ParentID: top.ID})
		require.NoError(t, err)
		leaf, err := f.CreateProject(f.admin, identity.ProjectSpec{Name: "leaf", ParentID: mid.ID})
		require.NoError(t, err)
		roles := func(p identity.Project) []string {
			token, err := f.login(u.ID, "pw", identity.Scope{ProjectID: p.ID})
			if err != nil {
				return nil
			}
			c, err := f.Verify(t.Context(), token)
			require.NoError(t, err)
			return c.Roles
		}
		require.Nil(t, roles(leaf))
		require.NoError(t, f.CreateGrant(f.admin, identity.Grant{UserID: u.ID, ProjectID: top.ID, RoleID: b.Roles["member"], Inherited: true}))
		require.Equal(t, []string{"member", "reader"}, roles(leaf))
		require.Equal(t, []string{"reader"}, roles(top))
		require.NoError(t, f.CreateGrant(f.admin, identity.Grant{UserID: u.ID, DomainID: "default", RoleID: b.Roles["manager"], Inherited: true}))
		require.Equal(t, []string{"manager", "member", "reader"}, roles(top))

		me := nephos.WithCaller(t.Context(), nephos.Caller{UserID: u.ID})
		mine, err := f.AuthProjects(me)
		require.NoError(t, err)
		require.Len(t, mine, 4) // with the project admin
		domains, err := f.AuthDomains(me)
		require.NoError(t, err)
		require.Empty(t, domains)
	})
}

func TestATokenBegetsTokensThatDieWithIt(t *testing.T) {
	f := sqlite(t)
	u, p := f.user("u", "member", f.bootstrap())
	first := f.mustLogin(u.ID, "pw", identity.Scope{})
	f.clock.Advance(10 * time.Minute)
	next := func(from string) (*identity.Token, string) {
		tok, text, err := f.Authenticate(t.Context(), identity.AuthRequest{Methods: []string{"token"}, Token: from, Scope: identity.Scope{ProjectID: p.ID}})
		require.NoError(t, err)
		return tok, text
	}
	root, err := f.ShowToken(f.admin, first, identity.TokenOptions{})
	require.NoError(t, err)
	require.Len(t, root.AuditIDs, 1)
	require.Equal(t, []string{"password"}, root.Methods)
	second, text := next(first)
	third, _ := next(text)
	require.Equal(t, root.ExpiresAt, third.ExpiresAt)
	require.Equal(t, root.AuditIDs[0], second.AuditIDs[1])
	require.Equal(t, root.AuditIDs[0], third.AuditIDs[1])
	require.ElementsMatch(t, []string{"password", "token"}, third.Methods)
}

func TestNobodyLearnsWhichUsersExist(t *testing.T) {
	f := sqlite(t)
	b := f.bootstrap()
	u, _ := f.user("u", "member", b)
	_, err := f.CreateUser(f.admin, identity.UserSpec{Name: "nopassword"})
	require.NoError(t, err)
	for _, a := range []identity.PasswordAuth{
		{UserID: u.ID, Password: "wrong"},
		{UserID: "nosuch", Password: "pw"},
		{UserName: "nosuch", DomainID: "default"},
		{UserName: "u", DomainName: "nosuch", Password: "pw"},
		{UserName: "nopassword", DomainID: "default"},
		{UserName: "u", Password: "pw"},
		{},
	} {
		_, _, err := f.Authenticate(t.Context(), identity.AuthRequest{Methods: []string{"password"}, Password: &a})
		require.ErrorIs(t, err, nephos.ErrUnauthenticated)
		require.EqualError(t, err, "The request you have made requires authentication.")
	}
	for _, method := range []string{"", "external", "application_credential", "totp"} {
		_, _, err := f.Authenticate(t.Context(), identity.AuthRequest{Methods: []string{method}})
		require.ErrorIs(t, err, nephos.ErrUnauthenticated)
	}
}

func TestLongPasswordsAreCheckedWhole(t *testing.T) {
	f := sqlite(t)
	f.bootstrap()
	long := make([]byte, 100)
	for i := range long {
		long[i] = 'a'
	}
	u, err := f.CreateUser(f.admin, identity.UserSpec{Name: "long", Password: ptr(string(long))})
	require.NoError(t, err)
	f.mustLogin(u.ID, string(long), identity.Scope{})
	for _, bad := range []string{string(long[:99]), string(long[:72]), string(long) + "a"} {
		_, err := f.login(u.ID, bad, identity.Scope{})
		require.ErrorIs(t, err, nephos.ErrUnauthenticated)
	}
}

func TestBootstrapAgainChangesTheCatalogOnly(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		password, err := identity.GeneratePassword(nil)
		require.NoError(t, err)
		first, err := f.Bootstrap(t.Context(), identity.BootstrapConfig{AdminPassword: password, Generated: true, Catalog: catalog})
		require.NoError(t, err)
		token := f.mustLogin(first.UserID, password, identity.Scope{ProjectID: first.ProjectID})
		again, err := f.Bootstrap(t.Context(), identity.BootstrapConfig{AdminPassword: "other", Catalog: []identity.CatalogEntry{
			{Type: "volumev3", Name: "cinder", URLs: map[string]string{"public": "http://y/$(project_id)s"}},
		}})
		require.NoError(t, err)
		require.Equal(t, first, again)
		f.mustLogin(first.UserID, password, identity.Scope{})
		tok, err := f.ShowToken(f.admin, token, identity.TokenOptions{})
		require.NoError(t, err)
		require.Len(t, tok.Catalog.Services, 1)
		require.Equal(t, "http://y/"+first.ProjectID, tok.Catalog.Services[0].Endpoints[0].URL)
		require.Equal(t, "RegionOne", tok.Catalog.Services[0].Endpoints[0].RegionID)
		_, err = f.Bootstrap(t.Context(), identity.BootstrapConfig{AdminPassword: "other", ResetPassword: true})
		require.NoError(t, err)
		f.mustLogin(first.UserID, "other", identity.Scope{})
		_, err = f.Verify(t.Context(), token)
		require.ErrorIs(t, err, nephos.ErrUnauthenticated)
	})
	f := sqlite(t)
	_, err := f.Bootstrap(context.Background(), identity.BootstrapConfig{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}
