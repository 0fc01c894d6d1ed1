package cloudtest

import (
	"context"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

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
	return c.login(t, c.Auth())
}

func (c *Cloud) login(t testing.TB, auth gophercloud.AuthOptions) *gophercloud.ProviderClient {
	t.Helper()
	p, err := openstack.NewClient(auth.IdentityEndpoint)
	require.NoError(t, err)
	p.HTTPClient = *c.client
	require.NoError(t, openstack.Authenticate(context.Background(), p, auth))
	return p
}

// Admin is the admin in the project admin, for calls of the services
// themselves.
func (c *Cloud) Admin() context.Context {
	return nephos.WithCaller(context.Background(), c.Cloud.Admin())
}
