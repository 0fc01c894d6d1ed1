// Command plugin-hypervisor is a hypervisor driver in a process of its own: all
// that an author's main has to do is to open a driver and serve it. Here the
// driver is the simulated one; put yours in its place.
package main

import (
	"fmt"
	"os"

	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

func main() {
	d, err := fake.Open(fake.Config{CloudID: os.Getenv("NEPHOS_CLOUD_ID"), Name: "plugged"})
	if err == nil {
		err = plugin.Serve(d)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin-hypervisor:", err)
		os.Exit(1)
	}
}
