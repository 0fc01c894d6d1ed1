package cloudtest_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/networks"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	networking "github.com/nephos-cloud/nephos/network"
)

func TestGuestsBootFetchAndCrashAsTheyAreTold(t *testing.T) {
	c := cloudtest.New(t)
	c.Guests.Add(
		cloudtest.Guest{Boots: time.Minute, Prints: "hello\nworld\n", Fetches: cloudtest.CloudInit},
		cloudtest.Guest{Name: "weak-*", CrashAfter: time.Hour},
	)
	p := c.Project()
	compute := p.Member().Compute
	s, err := servers.Create(t.Context(), compute, servers.CreateOpts{
		Name: "strong", ImageRef: p.ImageID, FlavorRef: p.FlavorID, Networks: []servers.Network{{UUID: p.NetworkID}},
		UserData: []byte("#!/bin/sh\necho nephos\n"),
	}, nil).Extract()
	require.NoError(t, err)
	weak := boot(t, p, compute, "weak-1")
	c.Work()
	require.Empty(t, c.Console(s.ID))
	c.Advance(30 * time.Second)
	require.Equal(t, "hello\n", c.Console(s.ID))
	c.Settle()
	log := c.Console(s.ID)
	require.Contains(t, log, "ci-info: address 10.0.0.")
	require.Contains(t, log, "cloud-init: /openstack/latest/user_data: 200, 22 bytes\r\n  #!/bin/sh\r\n  echo nephos\r\n")
	require.Contains(t, log, "cloud-init: done")
	text, err := servers.ShowConsoleOutput(t.Context(), compute, s.ID, servers.ShowConsoleOutputOpts{}).Extract()
	require.NoError(t, err)
	require.Equal(t, log, text)

	var meta struct{ UUID, Name string }
	require.NoError(t, json.Unmarshal(c.Metadata(s.ID, "/openstack/latest/meta_data.json"), &meta))
	require.Equal(t, s.ID, meta.UUID)
	require.Equal(t, "strong", meta.Name)
	require.Equal(t, "strong", string(c.Metadata(s.ID, "/latest/meta-data/hostname"))[:6])

	c.Advance(2 * time.Hour)
	require.NotEqual(t, "ACTIVE", status(t, compute, weak.ID))
	require.Equal(t, "ACTIVE", status(t, compute, s.ID))
	c.PowerOff(s.ID)
	require.Equal(t, "SHUTOFF", status(t, compute, s.ID))
}

func TestReachabilityIsEvaluated(t *testing.T) {
	c := cloudtest.New(t)
	p, other := c.Project(), c.Project()
	compute := p.Member().Compute
	one, two := boot(t, p, compute, "one"), boot(t, p, compute, "two")
	stranger := boot(t, other, other.Member().Compute, "stranger")
	c.Settle()
	check := func(want bool, from, to, proto string, port int) {
		t.Helper()
		ok, why := c.Reachable(from, to, proto, port)
		require.Equal(t, want, ok, why)
	}
	check(true, one.ID, two.ID, "tcp", 22)
	check(false, one.ID, two.ID, "tcp", 80)
	check(true, one.ID, "198.51.100.1", "tcp", 80)
	public := p.FloatingIP(one.ID)
	check(true, "", public, "tcp", 22)
	check(false, "", public, "tcp", 80)
	check(true, stranger.ID, public, "tcp", 22)
	all, _, err := c.Network.ListFloatingIPs(c.AsAdmin(), networking.Filter{}, nephos.Page{Limit: 10})
	require.NoError(t, err)
	check(true, "", all[0].ID, "tcp", 22)
	check(true, all[0].PortID, two.ID, "tcp", 22)
	check(false, "", "10.0.0.1", "tcp", 22)
}

func TestExplanations(t *testing.T) {
	c := cloudtest.New(t, cloudtest.Options{Host: hypervisor.Host{MemoryMiB: 2048}})
	p := c.Project()
	compute := p.Member().Compute
	s := boot(t, p, compute, "one")
	c.Settle()
	why := c.Explain(s.ID)
	require.NotNil(t, why.Placement)
	require.Contains(t, why.String(), "chosen: "+c.HostOf(s.ID).Name)

	big, err := flavors.Create(t.Context(), c.Clients().Compute, flavors.CreateOpts{Name: "big", RAM: 4096, VCPUs: 1, Disk: gophercloud.IntToPointer(1)}).Extract()
	require.NoError(t, err)
	p.FlavorID = big.ID
	s = boot(t, p, compute, "too big")
	c.Settle()
	require.Equal(t, "ERROR", status(t, compute, s.ID))
	require.Contains(t, c.Explain(s.ID).String(), "No valid host: 3 hosts")

	_, err = networks.Create(t.Context(), p.Reader().Network, networks.CreateOpts{Name: "no"}).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusForbidden), "%v", err)
	why = c.Explain(err)
	require.Len(t, why.Denials, 1)
	require.Equal(t, "create_network", why.Denials[0].Rule)
	require.Contains(t, why.String(), "role:member")
}

func TestEventsAreExpected(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	s := boot(t, p, p.Member().Compute, "one")
	c.Settle()
	require.NoError(t, servers.Delete(t.Context(), p.Member().Compute, s.ID).ExtractErr())
	c.Settle()
	c.ExpectEvents(s.ID, "server.create", "server.*", "server.delete")
}
