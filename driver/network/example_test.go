package network_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/fake"
)

// A guest's port on a network, with a group that lets ssh in. The fake driver
// stands for any other.
func ExampleNode() {
	ctx := context.Background()
	driver := fake.Open(fake.NewState(nil), fake.Options{})
	node, err := network.NewNode(ctx, driver, network.NodeOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Close()

	ssh := 22
	_ = node.EnsureNetwork(ctx, "net", network.Network{Subnets: []network.Subnet{{
		ID: "subnet", CIDR: netip.MustParsePrefix("10.0.0.0/24"), DHCP: true,
	}}})
	_ = node.EnsureSecurityGroup(ctx, "ssh", network.SecurityGroup{Stateful: true, Rules: []network.Rule{
		{Direction: "egress"},
		{Direction: "ingress", Protocol: "tcp", PortMin: &ssh, PortMax: &ssh},
	}})
	for i, id := range []string{"one", "two"} {
		binding, err := node.EnsurePort(ctx, id, network.Port{
			NetworkID: "net", MAC: fmt.Sprintf("fa:16:3e:00:00:%02x", i), AdminUp: true, PortSecurity: true,
			Addresses:      []network.Address{{SubnetID: "subnet", IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)})}},
			SecurityGroups: []string{"ssh"},
		})
		fmt.Println(binding.Device, err)
	}
	fmt.Println(driver.Reachable("one", netip.MustParseAddr("10.0.0.11"), "tcp", 22))
	fmt.Println(driver.Reachable("one", netip.MustParseAddr("10.0.0.11"), "tcp", 80))
	// Output:
	// tapone <nil>
	// taptwo <nil>
	// true port two
	// false no ingress rule of port two lets it in
}

// A back end that is told once for all hosts: the network service says where the
// port's guest runs.
func ExampleControl() {
	ctx := context.Background()
	control, err := network.NewControl(ctx, fake.OpenController(fake.NewState(nil), fake.ControllerOptions{}), network.NodeOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer control.Close()
	_ = control.EnsureNetwork(ctx, "net", network.Network{})
	_ = control.EnsurePort(ctx, "port", network.Port{NetworkID: "net", MAC: "fa:16:3e:00:00:01", AdminUp: true})
	_, err = control.Bind(ctx, "port", "host1", network.BindOptions{})
	bound, _ := control.Bound(ctx)
	fmt.Println(bound, err)
	// Output: map[port:host1] <nil>
}
