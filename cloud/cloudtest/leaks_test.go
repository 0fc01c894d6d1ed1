package cloudtest_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/extensions/layer3/floatingips"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/network"
	fakenetwork "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/volume"
	fakevolume "github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// told keeps what would fail a test.
type told struct {
	testing.TB
	text string
}

func (l *told) Helper() {}
func (l *told) Fatalf(format string, args ...any) {
	l.text = fmt.Sprintf(format, args...)
	panic(l)
}

func leaks(c *cloudtest.Cloud) string {
	l := &told{}
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(l) {
				panic(r)
			}
		}()
		c.NoLeaks(l)
	}()
	return l.text
}

func TestNoLeaksFindsEverything(t *testing.T) {
	ctx := context.Background()
	c := cloudtest.New(t)
	p := c.Project()
	for _, one := range []struct {
		name string
		leak func(t *testing.T, c *cloudtest.Cloud, p *cloudtest.Project) (want string)
	}{
		{"a floating IP", func(t *testing.T, _ *cloudtest.Cloud, p *cloudtest.Project) string {
			f, err := floatingips.Create(ctx, p.Member().Network, floatingips.CreateOpts{FloatingNetworkID: p.ExternalID}).Extract()
			require.NoError(t, err)
			return "network_floatingips " + f.ID
		}},
		{"a claim", func(t *testing.T, c *cloudtest.Cloud, _ *cloudtest.Project) string {
			require.NoError(t, c.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.ExecContext(ctx, `INSERT INTO placement_allocations (consumer_uuid, provider_uuid, class, used, created_at)
					SELECT 'nobody', uuid, 'VCPU', 1, ? FROM placement_providers LIMIT 1`, tx.Now())
				return err
			}))
			return "placement_allocations nobody"
		}},
		{"a guest", func(t *testing.T, c *cloudtest.Cloud, _ *cloudtest.Project) string {
			d, err := fakehypervisor.Open(fakehypervisor.Config{State: c.Hosts[1].Hypervisor, Clock: c.Clock})
			require.NoError(t, err)
			require.NoError(t, d.Ensure(ctx, "ghost", hypervisor.Spec{CloudID: "test", Name: "boo", VCPUs: 1, MemoryMiB: 64}))
			return "guest ghost on host-2 boo"
		}},
		{"a tap", func(t *testing.T, c *cloudtest.Cloud, p *cloudtest.Project) string {
			d := fakenetwork.Open(c.Wires, fakenetwork.Options{Host: "host-1"})
			require.NoError(t, d.EnsureNetwork(ctx, p.NetworkID, network.Network{}))
			_, err := d.EnsurePort(ctx, "tap", network.Port{NetworkID: p.NetworkID, MAC: "fa:16:3e:00:00:01", Addresses: []network.Address{{IP: netip.MustParseAddr("10.0.0.9")}}})
			require.NoError(t, err)
			return "plugged port tap on host-1"
		}},
		{"a disk in the pool", func(t *testing.T, c *cloudtest.Cloud, _ *cloudtest.Project) string {
			d := fakevolume.New(fakevolume.Config{State: c.Volumes, Clock: c.Clock})
			require.NoError(t, d.Create(ctx, "disk", volume.Spec{SizeGiB: 1}))
			return "pool volume disk"
		}},
		{"a blob", func(t *testing.T, c *cloudtest.Cloud, _ *cloudtest.Project) string {
			_, err := c.Blobs.Put(ctx, "bytes", bytes.NewReader([]byte("x")), 1)
			require.NoError(t, err)
			return "blob bytes 1 bytes"
		}},
		{"a file", func(t *testing.T, c *cloudtest.Cloud, p *cloudtest.Project) string {
			id := active(t, c, p, p.Member().Compute)
			c.Mark()
			paths, err := filepath.Glob(filepath.Join(filepath.Dir(c.WriteCloudsYAML()), "host-*"))
			require.NoError(t, err)
			require.Len(t, paths, 3)
			require.NoError(t, os.MkdirAll(filepath.Join(paths[2], "servers", "other-than-"+id), 0o700))
			return "file host-3/servers/other-than-" + id
		}},
		{"work", func(t *testing.T, c *cloudtest.Cloud, _ *cloudtest.Project) string {
			c.Hosts[0].Silence() // or the cloud would have to come to rest
			require.NoError(t, c.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
				return reconcile.Enqueue(ctx, tx, "compute.server", "later", tx.Now().Add(forever))
			}))
			return "work compute.server later"
		}},
	} {
		t.Run(one.name, func(t *testing.T) {
			require.Empty(t, leaks(c))
			want := one.leak(t, c, p)
			require.Contains(t, leaks(c), want)
			c.Mark() // this leak belongs to the set-up of the next
		})
	}
}

const forever = 1 << 60

// Clients may come all at once.
func TestClientsAtTheSameTime(t *testing.T) {
	c := cloudtest.New(t, cloudtest.Options{Listen: true})
	p := c.Project()
	var wg sync.WaitGroup
	for i := range many {
		wg.Go(func() {
			compute := p.Member().Compute
			life(t, c, p, compute)
			resp, err := http.Get(c.URL + "/healthz") // by the socket
			if err != nil {
				t.Error(i, err)
				return
			}
			resp.Body.Close()
		})
	}
	wg.Wait()
	http.DefaultClient.CloseIdleConnections()
	c.NoLeaks(t)
}
