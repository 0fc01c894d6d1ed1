//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/keypairs"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/remoteconsoles"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/imagedata"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/external"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/routers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/groups"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/security/rules"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"
	"github.com/stretchr/testify/require"
)

func (c *cloud) upload(name, path string) string {
	c.t.Helper()
	ctx := c.t.Context()
	img, err := images.Create(ctx, c.image, images.CreateOpts{Name: name, DiskFormat: "qcow2", ContainerFormat: "bare"}).Extract()
	require.NoError(c.t, err)
	f, err := os.Open(path)
	require.NoError(c.t, err)
	defer f.Close()
	require.NoError(c.t, imagedata.Upload(ctx, c.image, img.ID, f).ExtractErr())
	img, err = images.Get(ctx, c.image, img.ID).Extract()
	require.NoError(c.t, err)
	require.Equal(c.t, images.ImageStatusActive, img.Status)
	return img.ID
}

func (c *cloud) flavor(name string, memory int) string {
	c.t.Helper()
	disk := 1
	f, err := flavors.Create(c.t.Context(), c.compute, flavors.CreateOpts{Name: name, RAM: memory, VCPUs: 1, Disk: &disk}).Extract()
	require.NoError(c.t, err)
	return f.ID
}

// lan is a network behind a router, and a group that lets ping and ssh in.
type lan struct{ public, network, subnet, router, group string }

func (c *cloud) lan(name, cidr string) lan {
	c.t.Helper()
	ctx, yes := c.t.Context(), true
	page, err := networks.List(c.network, external.ListOptsExt{ListOptsBuilder: networks.ListOpts{}, External: &yes}).AllPages(ctx)
	require.NoError(c.t, err)
	found, err := networks.ExtractNetworks(page)
	require.NoError(c.t, err)
	require.Len(c.t, found, 1)
	l := lan{public: found[0].ID}
	n, err := networks.Create(ctx, c.network, networks.CreateOpts{Name: name}).Extract()
	require.NoError(c.t, err)
	s, err := subnets.Create(ctx, c.network, subnets.CreateOpts{
		NetworkID: n.ID, Name: name, CIDR: cidr, IPVersion: gophercloud.IPv4, DNSNameservers: []string{"192.0.2.53"},
	}).Extract()
	require.NoError(c.t, err)
	r, err := routers.Create(ctx, c.network, routers.CreateOpts{Name: name, GatewayInfo: &routers.GatewayInfo{NetworkID: l.public}}).Extract()
	require.NoError(c.t, err)
	_, err = routers.AddInterface(ctx, c.network, r.ID, routers.AddInterfaceOpts{SubnetID: s.ID}).Extract()
	require.NoError(c.t, err)
	g, err := groups.Create(ctx, c.network, groups.CreateOpts{Name: name}).Extract()
	require.NoError(c.t, err)
	l.network, l.subnet, l.router, l.group = n.ID, s.ID, r.ID, g.ID
	c.allow(g.ID, rules.CreateOpts{Protocol: rules.ProtocolICMP})
	c.allow(g.ID, rules.CreateOpts{Protocol: rules.ProtocolTCP, PortRangeMin: 22, PortRangeMax: 22})
	return l
}

func (c *cloud) allow(group string, o rules.CreateOpts) {
	c.t.Helper()
	o.SecGroupID, o.Direction, o.EtherType = group, rules.DirIngress, rules.EtherType4
	_, err := rules.Create(c.t.Context(), c.network, o).Extract()
	require.NoError(c.t, err)
}

func (c *cloud) deleteLAN(l lan) {
	c.t.Helper()
	ctx := c.t.Context()
	_, err := routers.RemoveInterface(ctx, c.network, l.router, routers.RemoveInterfaceOpts{SubnetID: l.subnet}).Extract()
	require.NoError(c.t, err)
	require.NoError(c.t, routers.Delete(ctx, c.network, l.router).ExtractErr())
	require.NoError(c.t, networks.Delete(ctx, c.network, l.network).ExtractErr())
	require.NoError(c.t, groups.Delete(ctx, c.network, l.group).ExtractErr())
}

// boot asks for a server, which has the key test.
func (c *cloud) boot(o servers.CreateOpts) string {
	c.t.Helper()
	s, err := servers.Create(c.t.Context(), c.compute, keypairs.CreateOptsExt{CreateOptsBuilder: o, KeyName: "test"}, nil).Extract()
	require.NoError(c.t, err)
	return s.ID
}

func (c *cloud) server(id string) *servers.Server {
	c.t.Helper()
	s, err := servers.Get(c.t.Context(), c.compute, id).Extract()
	require.NoError(c.t, err)
	return s
}

// awaitStatus waits for a server to be in the status with nothing under way.
func (c *cloud) awaitStatus(id, status string) {
	c.t.Helper()
	c.await("server "+id+" "+status, func() (bool, error) {
		s, err := servers.Get(c.t.Context(), c.compute, id).Extract()
		if err != nil {
			return false, err
		}
		if s.Status == "ERROR" && status != "ERROR" {
			return false, fmt.Errorf("it is in ERROR: %s: %s", s.Fault.Message, s.Fault.Details)
		}
		return s.Status == status && s.TaskState == "", nil
	})
}

func (c *cloud) deleteServers(ids ...string) {
	c.t.Helper()
	for _, id := range ids {
		require.NoError(c.t, servers.Delete(c.t.Context(), c.compute, id).ExtractErr())
	}
	for _, id := range ids {
		c.await("the end of server "+id, func() (bool, error) {
			return gone(servers.Get(c.t.Context(), c.compute, id).Err)
		})
	}
}

// gone says whether the error is that there is no such thing.
func gone(err error) (bool, error) {
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return true, nil
	}
	return false, err
}

func (c *cloud) consoleLog(id string) string {
	c.t.Helper()
	text, err := servers.ShowConsoleOutput(c.t.Context(), c.compute, id, servers.ShowConsoleOutputOpts{}).Extract()
	require.NoError(c.t, err)
	return text
}

// awaitConsole waits for the guest to have written the text n times.
func (c *cloud) awaitConsole(id, text string, n int) string {
	c.t.Helper()
	var said string
	c.await(fmt.Sprintf("%q on the console of %s", text, id), func() (_ bool, err error) {
		said, err = servers.ShowConsoleOutput(c.t.Context(), c.compute, id, servers.ShowConsoleOutputOpts{}).Extract()
		return strings.Count(said, text) >= n, err
	})
	return said
}

// float gives the server's port a floating IP.
func (c *cloud) float(server, public string) (id, address string) {
	c.t.Helper()
	page, err := ports.List(c.network, ports.ListOpts{DeviceID: server}).AllPages(c.t.Context())
	require.NoError(c.t, err)
	found, err := ports.ExtractPorts(page)
	require.NoError(c.t, err)
	require.Len(c.t, found, 1)
	f, err := floatingips.Create(c.t.Context(), c.network, floatingips.CreateOpts{FloatingNetworkID: public, PortID: found[0].ID}).Extract()
	require.NoError(c.t, err)
	return f.ID, f.FloatingIP
}

// makeVolume returns the id of a volume of 1 GiB that is available.
func (c *cloud) makeVolume(o volumes.CreateOpts) string {
	c.t.Helper()
	o.Size = 1
	v, err := volumes.Create(c.t.Context(), c.volume, o, nil).Extract()
	require.NoError(c.t, err)
	c.awaitVolume(v.ID, "available")
	return v.ID
}

func (c *cloud) awaitVolume(id, status string) {
	c.t.Helper()
	c.await("volume "+id+" "+status, func() (bool, error) {
		v, err := volumes.Get(c.t.Context(), c.volume, id).Extract()
		if err == nil && strings.HasPrefix(v.Status, "error") {
			err = fmt.Errorf("it is %s", v.Status)
		}
		return err == nil && v.Status == status, err
	})
}

// openConsole opens a console by a token that is good once.
func (c *cloud) openConsole(id string, protocol remoteconsoles.ConsoleProtocol, kind remoteconsoles.ConsoleType) io.ReadWriteCloser {
	c.t.Helper()
	ctx := c.t.Context()
	rc, err := remoteconsoles.Create(ctx, c.compute, id, remoteconsoles.CreateOpts{Protocol: protocol, Type: kind}).Extract()
	require.NoError(c.t, err)
	url := "ws" + strings.TrimPrefix(strings.TrimPrefix(rc.URL, "http"), "ws")
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{"binary"}})
	require.NoError(c.t, err, url)
	_, resp, err := websocket.Dial(ctx, url, nil)
	require.Error(c.t, err, "the token was good twice")
	require.Equal(c.t, http.StatusForbidden, resp.StatusCode)
	conn := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// readUntil reads until the text has come.
func (c *cloud) readUntil(r io.Reader, text string) string {
	c.t.Helper()
	var said []byte
	chunk := make([]byte, 4096)
	for !strings.Contains(string(said), text) {
		n, err := r.Read(chunk)
		said = append(said, chunk[:n]...)
		require.NoError(c.t, err, "waiting for %q, it said %q", text, said)
	}
	return string(said)
}
