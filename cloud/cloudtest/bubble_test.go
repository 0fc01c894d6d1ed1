package cloudtest_test

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/remoteconsoles"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

// In a bubble the cloud works in the background, as in production, and by the
// bubble's clock.
func TestABubblesClockRulesALiveCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		c := cloudtest.New(t, cloudtest.Options{Live: true, Hosts: 1, Compose: func(cfg *cloud.Config) { cfg.TokenLifetime = time.Minute }})
		time.Sleep(time.Second) // the hosts have said that they are there
		p := c.Project()
		compute := p.Member().Compute
		s := boot(t, p, compute, "one")
		require.NoError(t, servers.WaitForStatus(t.Context(), compute, s.ID, "ACTIVE"))
		compute.ReauthFunc = nil
		time.Sleep(90 * time.Second)
		_, err := servers.Get(t.Context(), compute, s.ID).Extract()
		require.True(t, gophercloud.ResponseCodeIs(err, http.StatusUnauthorized), "%v", err)

		h := c.HostOf(s.ID)
		h.Kill()
		time.Sleep(2 * time.Minute)
		records, err := c.Compute.ListServices(c.AsAdmin(), h.Name, "nova-compute")
		require.NoError(t, err)
		require.False(t, records[0].Up)
		h.Revive()
		synctest.Wait()
		time.Sleep(time.Second)
		guest, ok := c.Guest(s.ID)
		require.True(t, ok)
		require.Equal(t, "running", string(guest.State))
		require.Greater(t, time.Since(begun), 3*time.Minute)
	})
}

func TestAConsoleIsAWebsocketInMemory(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	compute := p.Member().Compute
	s := boot(t, p, compute, "one")
	c.Settle()
	compute.Microversion = "2.6"
	console, err := remoteconsoles.Create(t.Context(), compute, s.ID, remoteconsoles.CreateOpts{
		Protocol: remoteconsoles.ConsoleProtocolSerial, Type: remoteconsoles.ConsoleTypeSerial,
	}).Extract()
	require.NoError(t, err)
	ws, _, err := websocket.Dial(t.Context(), console.URL, &websocket.DialOptions{HTTPClient: c.Client(), Subprotocols: []string{"binary"}})
	require.NoError(t, err)
	defer ws.CloseNow()
	_, text, err := ws.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "one login: ", string(text))
	require.NoError(t, ws.Write(t.Context(), websocket.MessageBinary, []byte("root\n")))
	_, text, err = ws.Read(t.Context())
	require.NoError(t, err)
	require.Contains(t, string(text), "root")
}

func TestAnswersStreamInMemory(t *testing.T) {
	c := cloudtest.New(t)
	p := c.Project()
	member := p.Member()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/watch/v1/events", nil)
	require.NoError(t, err)
	r.Header.Set("X-Auth-Token", member.Provider.Token())
	resp, err := c.Client().Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	s := boot(t, p, member.Compute, "one")
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), s.ID) {
			return
		}
	}
	t.Fatal("the stream ended and told nothing of the server")
}
