package acceptance

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/projects"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/roles"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/users"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

// prepare makes what the tests expect to find in a cloud and returns the
// environment that tells them of it and of the user who runs them.
func prepare(t *testing.T, c *cloudtest.Cloud, user string) []string {
	ctx := t.Context()
	client := c.Provider(t)
	if user != "admin" {
		addUser(t, client, user)
	}
	region := gophercloud.EndpointOpts{Region: "RegionOne"}

	glance, err := openstack.NewImageV2(client, region)
	require.NoError(t, err)
	public := images.ImageVisibilityPublic
	image, err := images.Create(ctx, glance, images.CreateOpts{
		Name: "cirros", DiskFormat: "raw", ContainerFormat: "bare", Visibility: &public,
	}).Extract()
	require.NoError(t, err)
	require.NoError(t, imagedata.Upload(ctx, glance, image.ID, bytes.NewReader(make([]byte, 1<<20))).ExtractErr())

	neutron, err := openstack.NewNetworkV2(client, region)
	require.NoError(t, err)
	shared := true
	private, err := networks.Create(ctx, neutron, networks.CreateOpts{Name: "private", Shared: &shared}).Extract()
	require.NoError(t, err)
	subnet, err := subnets.Create(ctx, neutron, subnets.CreateOpts{
		NetworkID: private.ID, Name: "private-subnet", CIDR: "10.0.0.0/22", IPVersion: gophercloud.IPv4,
	}).Extract()
	require.NoError(t, err)
	pages, err := networks.List(neutron, networks.ListOpts{Name: "public"}).AllPages(ctx)
	require.NoError(t, err)
	external, err := networks.ExtractNetworks(pages)
	require.NoError(t, err)
	require.Len(t, external, 1)

	nova, err := openstack.NewComputeV2(client, region)
	require.NoError(t, err)
	ephemeral, disk, diskResize := 10, 10, 11
	for _, f := range []flavors.CreateOpts{
		{ID: "99", Name: "m1.acctest", RAM: 512, VCPUs: 1, Disk: &disk, Ephemeral: &ephemeral},
		{ID: "98", Name: "m1.resize", RAM: 512, VCPUs: 1, Disk: &diskResize, Ephemeral: &ephemeral},
	} {
		_, err := flavors.Create(ctx, nova, f).Extract()
		require.NoError(t, err)
	}

	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OS_") {
			env = append(env, e)
		}
	}
	return append(env,
		"OS_AUTH_URL="+c.AuthURL,
		"OS_USERNAME="+user,
		"OS_PASSWORD="+cloudtest.AdminPassword,
		"OS_PROJECT_NAME="+user,
		"OS_DOMAIN_NAME=Default",
		"OS_REGION_NAME=RegionOne",
		"OS_BRANCH=master", // the release that is claimed
		"OS_IMAGE_ID="+image.ID,
		"OS_FLAVOR_ID=99",
		"OS_FLAVOR_ID_RESIZE=98",
		"OS_NETWORK_NAME=private",
		"OS_NETWORK_ID="+private.ID,
		"OS_SUBNET_ID="+subnet.ID,
		"OS_POOL_NAME=public",
		"OS_EXTGW_ID="+external[0].ID,
	)
}

// addUser makes a project and its only member, both of that name, with the
// admin's password.
func addUser(t *testing.T, client *gophercloud.ProviderClient, name string) {
	ctx := t.Context()
	keystone, err := openstack.NewIdentityV3(client, gophercloud.EndpointOpts{Region: "RegionOne"})
	require.NoError(t, err)
	project, err := projects.Create(ctx, keystone, projects.CreateOpts{Name: name, DomainID: "default"}).Extract()
	require.NoError(t, err)
	user, err := users.Create(ctx, keystone, users.CreateOpts{Name: name, DomainID: "default", Password: cloudtest.AdminPassword}).Extract()
	require.NoError(t, err)
	pages, err := roles.List(keystone, roles.ListOpts{Name: "member"}).AllPages(ctx)
	require.NoError(t, err)
	member, err := roles.ExtractRoles(pages)
	require.NoError(t, err)
	require.Len(t, member, 1)
	require.NoError(t, roles.Assign(ctx, keystone, member[0].ID, roles.AssignOpts{UserID: user.ID, ProjectID: project.ID}).ExtractErr())
}
