package compute_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/agent"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehv "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	netdriver "github.com/nephos-cloud/nephos/driver/network"
	fakenet "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

// live is a cloud that runs by itself, on a database that syncs.
func live(b *testing.B, hosts int) (*compute.Service, *store.DB, context.Context, compute.BootRequest) {
	db, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "nephos.db"), store.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { _ = db.Close() })
	require.NoError(b, db.Migrate(b.Context(), migrations()...))
	enforcer, err := policy.New(policy.Base(), compute.Rules(), network.Rules())
	require.NoError(b, err)
	mem := bus.NewMemory(nil)
	fleet := agent.NewFleet(mem, nil)
	net, err := network.New(network.Config{Store: db, Policy: enforcer, Fleet: fleet, Quotas: map[string]int{"port": -1}})
	require.NoError(b, err)
	claims, err := sqlstore.New(sqlstore.Config{Store: db})
	require.NoError(b, err)
	images := newImages(b)
	svc, err := compute.New(compute.Config{
		Store: db, Policy: enforcer, Fleet: fleet, Claims: claims, Images: images, Ports: net,
		Quotas: map[string]int{"instances": -1, "cores": -1, "ram": -1},
	})
	require.NoError(b, err)
	queue := reconcile.New(reconcile.Config{Store: db})
	for _, k := range append(svc.Kinds(), net.Kinds()...) {
		queue.Add(k)
	}
	fleet.Observe(net, driver.KindNetwork, driver.KindPort, driver.KindRouter, driver.KindSecurityGroup)
	fleet.Observe(svc, driver.KindServer)
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	b.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() { queue.Run(ctx) })
	wg.Go(func() { _ = fleet.Run(ctx) })
	wg.Go(func() { svc.Run(ctx) })
	for i := range hosts {
		name := fmt.Sprint("host-", i)
		hv, err := fakehv.Open(fakehv.Config{CloudID: "cloud", Name: name, Host: hypervisor.Host{VCPUs: 1 << 16, MemoryMiB: 1 << 30, DiskGiB: 1 << 24}})
		require.NoError(b, err)
		node, err := hypervisor.NewNode(ctx, hv, hypervisor.NodeOptions{})
		require.NoError(b, err)
		netNode, err := netdriver.NewNode(ctx, fakenet.Open(fakenet.NewState(nil), fakenet.Options{}), netdriver.NodeOptions{})
		require.NoError(b, err)
		a, err := agent.New(agent.Config{Host: name, CloudID: "cloud", Dir: b.TempDir(), Bus: mem, Hypervisor: node, Network: netNode})
		require.NoError(b, err)
		wg.Go(func() { _ = a.Run(ctx) })
	}
	admin := nephos.WithCaller(b.Context(), nephos.Caller{UserID: "admin", ProjectID: "admin", Roles: []string{"admin", "member", "reader"}})
	me := nephos.WithCaller(b.Context(), nephos.Caller{UserID: user, ProjectID: project, Roles: []string{"member", "reader"}})
	nets, err := net.CreateNetworks(me, []network.NetworkSpec{{Name: "private"}})
	require.NoError(b, err)
	_, err = net.CreateSubnets(me, []network.SubnetSpec{{NetworkID: nets[0].ID, IPVersion: 4, CIDR: netip.MustParsePrefix("10.0.0.0/8")}})
	require.NoError(b, err)
	flavor, err := svc.CreateFlavor(admin, compute.FlavorSpec{Name: "f", VCPUs: 1, MemoryMiB: 64, DiskGiB: 1})
	require.NoError(b, err)
	for {
		n, err := db.Reader().NewSelect().Table("compute_hosts").Where("up").Count(ctx)
		require.NoError(b, err)
		if int(n) == hosts {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return svc, db, me, compute.BootRequest{Name: "n", ImageID: images.id, FlavorID: flavor.ID}
}

// BenchmarkBoot measures a boot from the request to a running server, with
// everything but HTTP and real guests.
func BenchmarkBoot(b *testing.B) {
	svc, db, me, req := live(b, 10)
	wake, stop := db.Watch(store.EventTopic)
	defer stop()
	b.ResetTimer()
	var wg sync.WaitGroup
	todo := make(chan struct{})
	for range 16 {
		wg.Go(func() {
			for range todo {
				if _, err := svc.Boot(me, req); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		todo <- struct{}{}
	}
	close(todo)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "accepted/s")
	for {
		n, err := db.Reader().NewSelect().Table("compute_servers").Where("vm_state = 'active'").Count(b.Context())
		require.NoError(b, err)
		if int(n) == b.N {
			break
		}
		select {
		case <-wake:
			time.Sleep(20 * time.Millisecond)
		case <-time.After(time.Second):
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "active/s")
}

// BenchmarkDetail measures a list of 1000 servers with all their details.
func BenchmarkDetail(b *testing.B) {
	svc, db, me, req := live(b, 10)
	req.MinCount, req.MaxCount = 1000, 1000
	_, err := svc.Boot(me, req)
	require.NoError(b, err)
	for {
		n, err := db.Reader().NewSelect().Table("compute_servers").Where("vm_state = 'active'").Count(b.Context())
		require.NoError(b, err)
		if n == 1000 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.ResetTimer()
	for b.Loop() {
		list, _, err := svc.ListServers(me, compute.ServerFilter{Disks: true, HostStatus: true}, page())
		require.NoError(b, err)
		require.Len(b, list, 1000)
	}
}
