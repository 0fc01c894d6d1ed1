package network_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
)

func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "network.db"), store.Options{})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx, network.Migrations()); err != nil {
		panic(err)
	}
	enforcer, err := policy.New(policy.Base(), network.Rules())
	if err != nil {
		panic(err)
	}
	s, err := network.New(network.Config{Store: db, Policy: enforcer})
	if err != nil {
		panic(err)
	}

	ctx = nephos.WithCaller(ctx, nephos.Caller{UserID: "ann", ProjectID: "red", Roles: []string{"member", "reader"}})
	nets, err := s.CreateNetworks(ctx, []network.NetworkSpec{{Name: "blue"}})
	if err != nil {
		panic(err)
	}
	_, err = s.CreateSubnets(ctx, []network.SubnetSpec{{NetworkID: nets[0].ID, IPVersion: 4, CIDR: netip.MustParsePrefix("10.0.0.0/24")}})
	if err != nil {
		panic(err)
	}
	ports, err := s.CreatePorts(ctx, []network.PortSpec{{NetworkID: nets[0].ID}, {NetworkID: nets[0].ID}})
	if err != nil {
		panic(err)
	}
	for _, p := range ports {
		fmt.Println(p.FixedIPs[0].IP)
	}
	// Output:
	// 10.0.0.2
	// 10.0.0.3
}
