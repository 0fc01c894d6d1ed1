package cloudtest_test

import (
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

func TestSmoke(t *testing.T) {
	c := cloudtest.New(t)
	ctx := t.Context()
	p := c.Provider(t)
	var region gophercloud.EndpointOpts
	comp, err := openstack.NewComputeV2(p, region)
	require.NoError(t, err)
	netw, err := openstack.NewNetworkV2(p, region)
	require.NoError(t, err)
	imag, err := openstack.NewImageV2(p, region)
	require.NoError(t, err)
	img, err := images.Create(ctx, imag, images.CreateOpts{Name: "one", DiskFormat: "raw", ContainerFormat: "bare"}).Extract()
	require.NoError(t, err)
	require.NoError(t, imagedata.Upload(ctx, imag, img.ID, strings.NewReader(strings.Repeat("x", 4096))).ExtractErr())
	n, err := networks.Create(ctx, netw, networks.CreateOpts{Name: "one"}).Extract()
	require.NoError(t, err)
	_, err = subnets.Create(ctx, netw, subnets.CreateOpts{NetworkID: n.ID, CIDR: "10.0.0.0/24", IPVersion: 4}).Extract()
	require.NoError(t, err)
	s, err := servers.Create(ctx, comp, servers.CreateOpts{
		Name: "one", ImageRef: img.ID, FlavorRef: "1", Networks: []servers.Network{{UUID: n.ID}},
	}, nil).Extract()
	require.NoError(t, err)
	require.NoError(t, servers.WaitForStatus(ctx, comp, s.ID, "ACTIVE"))
	require.NoError(t, servers.Delete(ctx, comp, s.ID).ExtractErr())
	_, err = servers.Get(ctx, comp, s.ID).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 404))
	c.Settle()
}
