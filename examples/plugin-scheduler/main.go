// Command plugin-scheduler is an extension of the scheduler in a process of its
// own: it keeps servers that back one another up out of one rack.
//
// Hosts tell their rack in an attribute or an aggregate's metadata, "rack". A
// server with the hint not_rack=r1 goes to no host of that rack, and racks with
// more room come first. A configuration names the program:
//
//	{"extensions": [{"name": "RackFilter", "path": "/usr/lib/nephos/plugin-scheduler", "timeout": "500ms"}]}
//
//	allinone -scheduler FILE
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/nephos-cloud/nephos/driver/plugin"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

func main() {
	if err := plugin.Serve(Racks{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Racks filters and weighs hosts by their racks. It keeps nothing: what it is
// asked holds all that it needs.
type Racks struct{}

// The compiler tells when a method is missing.
var (
	_ extension.Extension = Racks{}
	_ extension.Judger    = Racks{}
	_ extension.Weigher   = Racks{}
)

// Describe tells the name and version that logs show.
func (Racks) Describe() (name, version string) { return "racks", "1.0" }

// Ready says that it can answer. One that asks an inventory elsewhere would see
// here whether that is there.
func (Racks) Ready(context.Context) error { return nil }

func rackOf(h extension.Host) string {
	if r := h.Attributes["rack"]; r != "" {
		return r
	}
	for _, a := range h.Aggregates {
		if r := a.Metadata["rack"]; r != "" {
			return r
		}
	}
	return ""
}

// Judge turns hosts of the unwanted racks away: one answer for each host, in
// their order.
func (Racks) Judge(_ context.Context, req extension.Request, hosts []extension.Host) ([]scheduler.Verdict, error) {
	unwanted := map[string]bool{}
	for _, hint := range req.Hints {
		if hint.Name == "not_rack" {
			for _, rack := range hint.Values {
				unwanted[rack] = true
			}
		}
	}
	out := make([]scheduler.Verdict, len(hosts))
	for i, h := range hosts {
		if rack := rackOf(h); rack != "" && unwanted[rack] {
			// Users see the reason, and only operators what was seen.
			out[i] = scheduler.Verdict{Reason: "in an unwanted rack", Saw: rack, Fix: "ask without not_rack"}
		}
	}
	return out, nil
}

// Weigh gives each host the VCPUs that are free in its rack.
func (Racks) Weigh(_ context.Context, _ extension.Request, hosts []extension.Host) ([]float64, error) {
	free := map[string]int64{}
	for _, h := range hosts {
		free[rackOf(h)] += h.Free[scheduler.VCPU]
	}
	out := make([]float64, len(hosts))
	for i, h := range hosts {
		out[i] = float64(free[rackOf(h)])
	}
	return out, nil
}
