package scheduler_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// Whatever the user's hint says, the host passes or is turned away with a
// reason, and the scheduler goes on.
func FuzzJSONFilter(f *testing.F) {
	f.Add(`[">=","$free_ram_mb",1024]`)
	f.Add(`["not",["and",["in","$host","a"],["=",1,null,true]]]`)
	f.Add(strings.Repeat(`["or",`, 50))
	f.Add(`["<",{"a":1},[]]`)
	s := newScheduler(f, scheduler.Config{Filters: []scheduler.Filter{scheduler.JSONFilter{}}})
	snap := snapshot(f, host("h1", func(h *scheduler.Host) { h.Attributes = map[string]string{"cpu_info": `{"a":[1]}`} }))
	f.Fuzz(func(t *testing.T, query string) {
		d, err := s.Select(snap, scheduler.Request{Hints: map[string][]string{"query": {query}}}, scheduler.Options{})
		if err != nil {
			require.ErrorIs(t, err, nephos.ErrNoCapacity)
			require.NotContains(t, d.Explanation.Nearest.Verdicts[0].Reason, "could not be judged")
		}
	})
}

// A topology that is read makes up the server, whole.
func FuzzParseNUMA(f *testing.F) {
	f.Add("2", "0-1,^1", "512", "dedicated", "2MB", "^0", int64(4), int64(1024))
	f.Add("1", "", "", "mixed", "large", "0-1", int64(3), int64(1024))
	f.Fuzz(func(t *testing.T, nodes, cpus, mem, policy, pages, mask string, vcpus, memory int64) {
		specs := map[string]string{
			"hw:numa_nodes": nodes, "hw:numa_cpus.0": cpus, "hw:numa_mem.0": mem, "hw:cpu_policy": policy, "hw:mem_page_size": pages, "hw:cpu_dedicated_mask": mask,
		}
		n, err := scheduler.ParseNUMA(specs, nil, vcpus, memory)
		if err != nil {
			require.ErrorIs(t, err, nephos.ErrInvalid)
			return
		}
		if n == nil {
			return
		}
		var c, m int64
		for _, cell := range n.Cells {
			c, m = c+cell.VCPUs+cell.PCPUs, m+cell.MemoryMB
		}
		require.Equal(t, []int64{vcpus, memory}, []int64{c, m})
	})
}
