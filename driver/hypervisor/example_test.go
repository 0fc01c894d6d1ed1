package hypervisor_test

import (
	"context"
	"fmt"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

// Ensure makes the guest what the spec says, Start powers it on.
func ExampleNode() {
	ctx := context.Background()
	d, err := fake.Open(fake.Config{CloudID: "cloud"})
	if err != nil {
		panic(err)
	}
	node, err := hypervisor.NewNode(ctx, d, hypervisor.NodeOptions{})
	if err != nil {
		panic(err)
	}
	defer node.Close()
	spec := hypervisor.Spec{
		CloudID: "cloud", Name: "web", VCPUs: 1, MemoryMiB: 128,
		Disks: []driver.Disk{{ID: "root", Source: driver.Connection{Type: "local"}, SizeBytes: 1 << 30}},
	}
	for range 2 { // twice is as good as once
		if err := node.Ensure(ctx, "guest-1", spec); err != nil {
			panic(err)
		}
		if err := node.Start(ctx, "guest-1"); err != nil {
			panic(err)
		}
	}
	guest, err := node.Get(ctx, "guest-1")
	fmt.Println(guest.Name, guest.State, guest.Disks, err)
	fmt.Println(node.Can(hypervisor.CanSnapshot))
	// Output:
	// web running [root] <nil>
	// true
}
