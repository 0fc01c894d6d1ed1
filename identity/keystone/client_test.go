package keystone_test

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/domains"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/endpoints"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/regions"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/services"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/identity"
)

// cloud is a server with real tokens after its bootstrap.
func cloud(t testing.TB) (*server, identity.Bootstrapped) {
	t.Helper()
	s := serve(t, nil)
	b, err := s.svc.Bootstrap(t.Context(), identity.BootstrapConfig{AdminPassword: "secret", Catalog: []identity.CatalogEntry{
		{Type: "identity", Name: "keystone", URLs: map[string]string{"public": s.URL + "/v3/", "internal": s.URL + "/v3/", "admin": s.URL + "/v3/"}},
		{Type: "volumev3", Name: "cinder", URLs: map[string]string{"public": "http://volume.example/v3/$(project_id)s"}},
	}})
	require.NoError(t, err)
	return s, b
}

// client logs in with gophercloud.
func (s *server) client(t testing.TB, o gophercloud.AuthOptions) (*gophercloud.ServiceClient, error) {
	t.Helper()
	o.IdentityEndpoint = s.URL + "/v3"
	provider, err := openstack.AuthenticatedClient(t.Context(), o)
	if err != nil {
		return nil, err
	}
	return openstack.NewIdentityV3(provider, gophercloud.EndpointOpts{Region: "RegionOne"})
}

func TestGophercloud(t *testing.T) {
	s, b := cloud(t)
	ctx := t.Context()
	admin, err := s.client(t, gophercloud.AuthOptions{Username: "admin", Password: "secret", DomainName: "Default", TenantName: "admin"})
	require.NoError(t, err)

	u, err := users.Create(ctx, admin, users.CreateOpts{
		Name: "ann", Password: "pw", Description: "somebody", Extra: map[string]any{"email": "ann@example.org"},
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, "ann@example.org", u.Extra["email"])
	require.Equal(t, "somebody", u.Description)
	require.True(t, u.Enabled)

	parent, err := projects.Create(ctx, admin, projects.CreateOpts{Name: "parent", DomainID: "default", Tags: []string{"b", "a"}}).Extract()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, parent.Tags)
	child, err := projects.Create(ctx, admin, projects.CreateOpts{Name: "child", ParentID: parent.ID}).Extract()
	require.NoError(t, err)
	require.Equal(t, parent.ID, child.ParentID)
	err = projects.Delete(ctx, admin, parent.ID).ExtractErr()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusForbidden), err)
	page, err := projects.List(admin, projects.ListOpts{Tags: "a,b"}).AllPages(ctx)
	require.NoError(t, err)
	found, err := projects.ExtractProjects(page)
	require.NoError(t, err)
	require.Len(t, found, 1)

	require.NoError(t, roles.Assign(ctx, admin, b.Roles["member"], roles.AssignOpts{UserID: u.ID, ProjectID: child.ID}).ExtractErr())
	ann, err := s.client(t, gophercloud.AuthOptions{Username: "ann", Password: "pw", DomainName: "Default", TenantID: child.ID})
	require.NoError(t, err)
	page, err = projects.ListAvailable(ann).AllPages(ctx)
	require.NoError(t, err)
	mine, err := projects.ExtractProjects(page)
	require.NoError(t, err)
	require.Len(t, mine, 1)
	_, err = users.List(ann, nil).AllPages(ctx)
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusForbidden), err)

	seen := tokens.Get(ctx, admin, ann.Token())
	require.NoError(t, seen.Err)
	holder, err := seen.ExtractUser()
	require.NoError(t, err)
	require.Equal(t, "ann", holder.Name)
	held, err := seen.ExtractRoles()
	require.NoError(t, err)
	require.Len(t, held, 2)
	cat, err := seen.ExtractServiceCatalog()
	require.NoError(t, err)
	require.Len(t, cat.Entries, 2)
	require.Equal(t, "http://volume.example/v3/"+child.ID, cat.Entries[1].Endpoints[0].URL)
	ok, err := tokens.Validate(ctx, admin, ann.Token())
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, tokens.Revoke(ctx, admin, ann.Token()).Err)
	ok, err = tokens.Validate(ctx, admin, ann.Token())
	require.NoError(t, err)
	require.False(t, ok)

	g, err := groups.Create(ctx, admin, groups.CreateOpts{Name: "g"}).Extract()
	require.NoError(t, err)
	require.NoError(t, users.AddToGroup(ctx, admin, g.ID, u.ID).ExtractErr())
	in, err := users.IsMemberOfGroup(ctx, admin, g.ID, u.ID).Extract()
	require.NoError(t, err)
	require.True(t, in)
	require.NoError(t, users.RemoveFromGroup(ctx, admin, g.ID, u.ID).ExtractErr())
	in, err = users.IsMemberOfGroup(ctx, admin, g.ID, u.ID).Extract()
	require.NoError(t, err)
	require.False(t, in)

	d, err := domains.Create(ctx, admin, domains.CreateOpts{Name: "d"}).Extract()
	require.NoError(t, err)
	err = domains.Delete(ctx, admin, d.ID).ExtractErr()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusForbidden), err)
	off := false
	_, err = domains.Update(ctx, admin, d.ID, domains.UpdateOpts{Enabled: &off}).Extract()
	require.NoError(t, err)
	require.NoError(t, domains.Delete(ctx, admin, d.ID).ExtractErr())

	region, err := regions.Create(ctx, admin, regions.CreateOpts{ID: "RegionTwo"}).Extract()
	require.NoError(t, err)
	svc, err := services.Create(ctx, admin, services.CreateOpts{Type: "dns", Extra: map[string]any{"name": "designate"}}).Extract()
	require.NoError(t, err)
	ep, err := endpoints.Create(ctx, admin, endpoints.CreateOpts{
		ServiceID: svc.ID, Availability: gophercloud.AvailabilityPublic, URL: "http://dns.example", Region: region.ID, Name: "dns",
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, "RegionTwo", ep.Region)
	err = regions.Delete(ctx, admin, region.ID).ExtractErr()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusForbidden), err)
	require.NoError(t, services.Delete(ctx, admin, svc.ID).ExtractErr())
	require.NoError(t, regions.Delete(ctx, admin, region.ID).ExtractErr())

	require.NoError(t, users.ChangePassword(ctx, admin, u.ID, users.ChangePasswordOpts{OriginalPassword: "pw", Password: "new"}).ExtractErr())
	_, err = s.client(t, gophercloud.AuthOptions{Username: "ann", Password: "pw", DomainName: "Default", TenantID: child.ID})
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusUnauthorized), err)
	_, err = s.client(t, gophercloud.AuthOptions{Username: "ann", Password: "new", DomainName: "Default", TenantID: child.ID})
	require.NoError(t, err)
}
