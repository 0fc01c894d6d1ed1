package cloudtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

// Clients are gophercloud's for one person in one project.
type Clients struct {
	Provider *gophercloud.ProviderClient

	Identity, Image, Network, BlockStorage, Compute, Placement *gophercloud.ServiceClient
}

// Auth is how the admin logs in.
func (c *Cloud) Auth() gophercloud.AuthOptions { return c.auth("admin", "admin") }

func (c *Cloud) auth(user, project string) gophercloud.AuthOptions {
	return gophercloud.AuthOptions{
		IdentityEndpoint: c.AuthURL, Username: user, Password: AdminPassword, DomainName: "Default", TenantName: project, AllowReauth: true,
	}
}

// Provider returns a gophercloud client, logged in as the admin.
func (c *Cloud) Provider(t testing.TB) *gophercloud.ProviderClient {
	t.Helper()
	p, err := c.login(c.Auth())
	require.NoError(t, err)
	return p
}

// Clients returns gophercloud's clients, logged in as the admin.
func (c *Cloud) Clients() *Clients {
	c.t.Helper()
	return c.clients(c.Auth())
}

func (c *Cloud) login(auth gophercloud.AuthOptions) (*gophercloud.ProviderClient, error) {
	p, err := openstack.NewClient(auth.IdentityEndpoint)
	if err != nil {
		return nil, err
	}
	p.HTTPClient = *c.client
	return p, openstack.Authenticate(context.Background(), p, auth)
}

func (c *Cloud) clients(auth gophercloud.AuthOptions) *Clients {
	c.t.Helper()
	p, err := c.login(auth)
	require.NoError(c.t, err)
	out := &Clients{Provider: p}
	for _, one := range []struct {
		field **gophercloud.ServiceClient
		make  func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)
	}{
		{&out.Identity, openstack.NewIdentityV3},
		{&out.Image, openstack.NewImageV2},
		{&out.Network, openstack.NewNetworkV2},
		{&out.BlockStorage, openstack.NewBlockStorageV3},
		{&out.Compute, openstack.NewComputeV2},
		{&out.Placement, openstack.NewPlacementV1},
	} {
		*one.field, err = one.make(p, gophercloud.EndpointOpts{Region: region})
		require.NoError(c.t, err)
	}
	return out
}

const region = "RegionOne"

// AsAdmin is the admin in the project admin, for calls of the services
// themselves.
func (c *Cloud) AsAdmin() context.Context {
	caller := c.Cloud.Admin()
	caller.RequestID = "req-" + c.config.IDs.New()
	return nephos.WithCaller(context.Background(), caller)
}

// CloudsYAML returns a clouds.yaml with the cloud "admin" and, for each project,
// one of its name, whose user is the project's member. It serves clients in
// other processes if the cloud listens.
func (c *Cloud) CloudsYAML(projects ...*Project) []byte {
	var b strings.Builder
	b.WriteString("clouds:\n")
	entry := func(name, user, project string) {
		fmt.Fprintf(&b, `  %s:
    auth:
      auth_url: %s
      username: %s
      password: %s
      project_name: %s
      user_domain_name: Default
      project_domain_name: Default
    region_name: %s
    identity_api_version: 3
`, name, c.AuthURL, user, AdminPassword, project, region)
	}
	entry("admin", "admin", "admin")
	for _, p := range projects {
		entry(p.Name, p.MemberName, p.Name)
	}
	return []byte(b.String())
}

// WriteCloudsYAML writes what [Cloud.CloudsYAML] returns to a file that goes with
// the test, for the environment variable OS_CLIENT_CONFIG_FILE, and returns its
// path.
func (c *Cloud) WriteCloudsYAML(projects ...*Project) string {
	c.t.Helper()
	path := filepath.Join(c.dir, "clouds.yaml")
	require.NoError(c.t, os.WriteFile(path, c.CloudsYAML(projects...), 0o600))
	return path
}
