// Command plugin-hypervisor is a hypervisor driver in a process of its own: a
// tutorial for authors. Its guests only pretend to run, so that what is left to
// read is what every driver must do. To try it:
//
//	go build -o /tmp/paper ./examples/plugin-hypervisor
//	go run ./driver/plugin/certify /tmp/paper
//	examples/allinone -hypervisor /tmp/paper
//
// Read on in driver.go, then in the package comment of driver, which lists the
// duties, and of driver/plugin, which says how a plugin is run.
package main

import (
	"fmt"
	"os"

	"github.com/nephos-cloud/nephos/driver/plugin"
)

func main() {
	// A plugin sees two things of its host's: which cloud it works for, and a
	// directory that is the same with each start. The first becomes a label of
	// each guest, so that two clouds can share a host without touching each
	// other's guests; the second is this driver's hypervisor.
	d, err := Open(os.Getenv("NEPHOS_CLOUD_ID"), os.Getenv("NEPHOS_PLUGIN_DIR"))
	if err == nil {
		// Serve returns when the host has ended the plugin, or is gone.
		err = plugin.Serve(d)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin-hypervisor:", err)
		os.Exit(1)
	}
}
