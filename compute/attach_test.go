package compute_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/network"
)

func TestVolumesComeAndGo(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	v := c.volume(false)
	d, err := c.service.AttachVolume(c.user(), s.ID, compute.AttachRequest{VolumeID: v.ID})
	require.NoError(t, err)
	require.Equal(t, "/dev/vdb", d.Device)
	require.Equal(t, blockstorage.Reserved, c.volumeNow(v.ID).Status)
	_, err = c.service.AttachVolume(c.user(), s.ID, compute.AttachRequest{VolumeID: v.ID})
	require.ErrorContains(t, err, "is already attached to instances")
	c.settle()
	require.Equal(t, blockstorage.InUse, c.volumeNow(v.ID).Status)
	require.Equal(t, []string{"root", v.ID}, c.guests(s.ID)[0].Disks)
	require.Len(t, c.server(s.ID).Disks, 1)
	require.Contains(t, c.moments(s.ID), "volume")

	require.NoError(t, c.service.DetachVolume(c.user(), s.ID, v.ID))
	require.Equal(t, blockstorage.Detaching, c.volumeNow(v.ID).Status)
	c.settle()
	require.Equal(t, blockstorage.Available, c.volumeNow(v.ID).Status)
	require.Equal(t, []string{"root"}, c.guests(s.ID)[0].Disks)
	require.Empty(t, c.server(s.ID).Disks)
	_, err = c.service.VolumeAttachment(c.user(), s.ID, v.ID)
	require.ErrorContains(t, err, "is not attached")
}

// moments are the events of a server's create.
func (c *testCloud) moments(id string) (names []string) {
	c.t.Helper()
	actions, _, err := c.service.ListActions(c.user(), id, compute.ActionFilter{}, page())
	require.NoError(c.t, err)
	create := actions[len(actions)-1]
	require.Equal(c.t, "create", create.Action)
	whole, err := c.service.Action(c.user(), id, create.RequestID)
	require.NoError(c.t, err)
	for _, e := range whole.Events {
		names = append(names, e.Name)
	}
	return names
}

func TestBootFromANewVolume(t *testing.T) {
	c := newCloud(t, 1, nil)
	zero := 0
	s := c.boot(compute.BootRequest{Disks: []compute.DiskRequest{{
		Source: "image", SourceID: c.images.id, Destination: "volume", BootIndex: &zero, SizeGiB: 1, DeleteOnTermination: true,
	}, {Source: "blank", Destination: "volume", SizeGiB: 2}}})
	for range 5 {
		c.settle()
		c.clock.Advance(timeStep)
	}
	c.settle()
	s = c.server(s.ID)
	require.Equal(t, compute.Active, s.VMState, "%+v", s.Fault)
	require.Empty(t, s.ImageID)
	require.Len(t, s.Disks, 2)
	require.Equal(t, []string{"queued", "scheduled", "volume", "network", "defined", "running", "compute__do_build_and_run_instance"}, c.moments(s.ID))
	require.Equal(t, blockstorage.InUse, c.volumeNow(s.Disks[0].VolumeID).Status)

	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	for range 5 {
		c.settle()
		c.clock.Advance(timeStep)
	}
	c.settle()
	_, err := c.volumes.Volume(c.user(), s.Disks[0].VolumeID)
	require.Error(t, err, "it goes with the server")
	require.Equal(t, blockstorage.Available, c.volumeNow(s.Disks[1].VolumeID).Status)
	c.empty()
}

func TestBootFromAVolume(t *testing.T) {
	c := newCloud(t, 1, nil)
	v := c.volume(true)
	zero := 0
	disks := []compute.DiskRequest{{Source: "volume", SourceID: v.ID, BootIndex: &zero}}
	s := c.boot(compute.BootRequest{Disks: disks})
	c.settle()
	require.Equal(t, compute.Active, c.server(s.ID).VMState, "%+v", c.server(s.ID).Fault)
	_, err := c.service.Boot(c.user(), compute.BootRequest{Name: "two", FlavorID: c.flavor(1, 64, 1), Disks: disks})
	require.ErrorContains(t, err, "Invalid volume")
	require.ErrorContains(t, c.service.DetachVolume(c.user(), s.ID, v.ID), "Cannot detach a root device volume")
	require.NoError(t, c.service.DeleteServer(c.user(), s.ID, false))
	c.settle()
	require.Equal(t, blockstorage.Available, c.volumeNow(v.ID).Status)
}

func TestAddressesFollowTheNetwork(t *testing.T) {
	c := newCloud(t, 1, nil)
	s := c.running()
	yes := true
	ext, err := c.network.CreateNetworks(c.admin(), []network.NetworkSpec{{Name: "public", External: &yes}})
	require.NoError(t, err)
	_, err = c.network.CreateSubnets(c.admin(), []network.SubnetSpec{{NetworkID: ext[0].ID, IPVersion: 4, CIDR: netip.MustParsePrefix("192.0.2.0/24")}})
	require.NoError(t, err)
	routers, err := c.network.CreateRouters(c.user(), []network.RouterSpec{{Name: "r", Gateway: &network.GatewaySpec{NetworkID: ext[0].ID}}})
	require.NoError(t, err)
	_, err = c.network.AddRouterInterface(c.user(), routers[0].ID, network.InterfaceRequest{SubnetID: s.NICs[0].Addresses[0].Subnet.ID})
	require.NoError(t, err)
	fips, err := c.network.CreateFloatingIPs(c.user(), []network.FloatingIPSpec{{NetworkID: ext[0].ID, PortID: s.NICs[0].PortID}})
	require.NoError(t, err)
	c.settle()
	require.Equal(t, []string{fips[0].Address.String()}, c.server(s.ID).NICs[0].Addresses[0].Floating)
	require.NoError(t, c.network.DeleteFloatingIP(c.user(), fips[0].ID))
	c.settle()
	require.Empty(t, c.server(s.ID).NICs[0].Addresses[0].Floating)

	require.NoError(t, c.network.DeletePort(c.user(), s.NICs[0].PortID))
	c.settle()
	require.Empty(t, c.server(s.ID).NICs, "a card goes with its port")
	require.Empty(t, c.guests(s.ID)[0].NICs)
}

func TestServersShareAVolume(t *testing.T) {
	c := newCloud(t, 2, nil)
	one, two := c.running(), c.running()
	_, err := c.volumes.CreateType(c.admin(), blockstorage.TypeSpec{Name: "shared", IsPublic: true, ExtraSpecs: map[string]string{"multiattach": "<is> True"}})
	require.NoError(t, err)
	v, err := c.volumes.CreateVolume(c.user(), blockstorage.VolumeSpec{SizeGiB: 1, Type: "shared"})
	require.NoError(t, err)
	c.settle()
	_, err = c.service.AttachVolume(c.user(), one.ID, compute.AttachRequest{VolumeID: v.ID})
	require.EqualError(t, err, "Multiattach volumes are only supported starting with compute API version 2.60.")
	require.ErrorIs(t, err, nephos.ErrInvalid)
	for _, s := range []string{one.ID, two.ID} {
		_, err = c.service.AttachVolume(c.user(), s, compute.AttachRequest{VolumeID: v.ID, SharedToo: true})
		require.NoError(t, err)
		c.settle()
		require.Equal(t, []string{"root", v.ID}, c.guests(s)[0].Disks)
	}
	require.Len(t, c.volumeNow(v.ID).Attachments, 2)
	_, err = c.service.AttachVolume(c.user(), two.ID, compute.AttachRequest{VolumeID: v.ID, SharedToo: true})
	require.ErrorContains(t, err, "already attached")

	require.NoError(t, c.service.DetachVolume(c.user(), one.ID, v.ID))
	c.settle()
	require.Equal(t, []string{"root"}, c.guests(one.ID)[0].Disks)
	require.Equal(t, []string{"root", v.ID}, c.guests(two.ID)[0].Disks)
	require.Equal(t, blockstorage.InUse, c.volumeNow(v.ID).Status)
	require.NoError(t, c.service.DeleteServer(c.user(), two.ID, false))
	c.settle()
	require.Equal(t, blockstorage.Available, c.volumeNow(v.ID).Status)
	require.Empty(t, c.volumeNow(v.ID).Attachments)
}
