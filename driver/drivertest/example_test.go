package drivertest_test

import (
	"context"
	"fmt"
	"os"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
)

// A suite runs outside of go test too, and counts.
func ExampleRunner() {
	state := fake.NewState()
	tests := hypervisortest.Tests(func(t drivertest.T) hypervisor.Driver {
		d, err := fake.Open(fake.Config{CloudID: "example", State: state, Without: []string{hypervisor.CanRescue}})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}, hypervisortest.Options{CloudID: "example", Alive: true, GuestAgent: true})
	result := drivertest.Runner{Out: os.Stderr}.Run(context.Background(), tests)
	fmt.Println(result.Passed+result.Skipped == len(tests), result.Failed)
	// Output: true 0
}
