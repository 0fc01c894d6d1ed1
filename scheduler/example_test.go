package scheduler_test

import (
	"fmt"

	"github.com/nephos-cloud/nephos/scheduler"
)

func Example() {
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i, memory := range []int64{4096, 16384, 8192} {
		_ = snap.Put(scheduler.Host{
			ID: fmt.Sprintf("host%d", i+1), Up: true, Enabled: true,
			Inventory: map[string]scheduler.Inventory{
				scheduler.VCPU:     {Total: 8},
				scheduler.MemoryMB: {Total: memory, Ratio: 1},
			},
		})
	}
	s, _ := scheduler.New(scheduler.Config{})

	d, _ := s.Select(snap, scheduler.Request{
		ID: "server", Resources: scheduler.Resources{scheduler.VCPU: 2, scheduler.MemoryMB: 6000},
	}, scheduler.Options{Alternates: 1})
	fmt.Println(d.Choices[0].Host.Name, "or", d.Choices[0].Alternates[0].Name)

	_, err := s.Select(snap, scheduler.Request{
		ID: "server", Resources: scheduler.Resources{scheduler.MemoryMB: 16896},
	}, scheduler.Options{})
	fmt.Println(err)
	// Output:
	// host2 or host3
	// No valid host was found. There are not enough hosts available. No valid host: 3 hosts, 3 lack memory (nearest short of 512 MiB).
}

// A filter of one's own is a name and a function.
func ExampleNewFilter() {
	tidy := scheduler.NewFilter("TidyFilter", func(req *scheduler.Request, h scheduler.HostView) scheduler.Verdict {
		if h.NumInstances() < 2 {
			return scheduler.Verdict{}
		}
		return scheduler.Verdict{Reason: "too crowded", Fix: "move servers away"}
	})
	s, _ := scheduler.New(scheduler.Config{Filters: append(scheduler.DefaultFilters(), tidy)})
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	_ = snap.Put(scheduler.Host{ID: "host1", Up: true, Enabled: true, NumInstances: 2})
	d, _ := s.Select(snap, scheduler.Request{ID: "server"}, scheduler.Options{})
	fmt.Println(d.Explanation.Summary())
	// Output: No valid host: 1 host, 1 too crowded
}
