package scheduler_test

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nephos-cloud/nephos/scheduler"
)

// gen draws small values, so that they often meet.
type gen struct{ *rapid.T }

func (g gen) n(lo, hi int, name string) int        { return rapid.IntRange(lo, hi).Draw(g.T, name) }
func (g gen) maybe(name string) bool               { return rapid.Bool().Draw(g.T, name) }
func (g gen) one(name string, of ...string) string { return rapid.SampledFrom(of).Draw(g.T, name) }

func (g gen) some(name string, of ...string) []string {
	var out []string
	for _, s := range of {
		if g.maybe(name + s) {
			out = append(out, s)
		}
	}
	return out
}

// sorted walks a map in the order of its keys, so that draws are reproducible.
func sorted(m map[string][]string) iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// host draws a host that differs in everything that filters look at.
func (g gen) host(id string) scheduler.Host {
	h := scheduler.Host{
		ID: id, Up: g.n(0, 9, "up") > 0, Enabled: g.n(0, 9, "enabled") > 0, Zone: g.one("zone", "", "az1", "az2"),
		NumInstances: g.n(0, 4, "instances"), NumIOOps: g.n(0, 4, "io"), Traits: g.some("trait", "A", "B"),
		Inventory: map[string]scheduler.Inventory{}, Used: scheduler.Resources{}, Attributes: map[string]string{},
	}
	for _, class := range []string{scheduler.VCPU, scheduler.MemoryMB, scheduler.DiskGB, "CUSTOM_X"} {
		if g.n(0, 9, "has") > 0 {
			h.Inventory[class] = scheduler.Inventory{
				Total: int64(g.n(0, 8, "total")), Reserved: int64(g.n(0, 2, "reserved")), Ratio: float64(g.n(0, 4, "ratio")) / 2,
				MaxUnit: int64(g.n(0, 4, "max")), MinUnit: int64(g.n(0, 2, "min")), StepSize: int64(g.n(0, 2, "step")),
			}
			h.Used[class] = int64(g.n(0, 6, "used"))
		}
	}
	if g.maybe("ip") {
		h.Attributes["host_ip"] = g.one("host_ip", "10.0.0.1", "10.0.0.130", "10.0.1.1", "bad")
	}
	if g.maybe("arch") {
		h.Supported = []scheduler.Guest{{Arch: g.one("host arch", "x86_64", "aarch64"), HVType: g.one("hv", "kvm", "xen"), VMMode: "hvm"}}
	}
	if g.maybe("metric") {
		h.Metrics = map[string]float64{"m": 1}
	}
	for i := range g.n(0, 2, "aggregates") {
		a := scheduler.Aggregate{ID: fmt.Sprint(i), Metadata: map[string]string{}}
		for key, values := range sorted(map[string][]string{
			"availability_zone": {"az1", "az2"}, "os_distro": {"windows", "debian", "windows, debian"}, "filter_tenant_id": {"p1", "p2,p1"},
			"filter_tenant_id7": {"p2"}, "instance_type": {"small", "small,big", "big"}, "max_instances_per_host": {"1", "3", "x"},
			"max_io_ops_per_host": {"2"}, "ssd": {"true", "false"}, "cpu_allocation_ratio": {"2", "0", "x"},
		}) {
			if g.n(0, 3, key) == 0 {
				a.Metadata[key] = g.one(key, values...)
			}
		}
		h.Aggregates = append(h.Aggregates, a)
	}
	return h
}

func (g gen) request() scheduler.Request {
	req := scheduler.Request{
		ID: "r", ProjectID: g.one("project", "p1", "p2", "p3"), Zone: g.one("asked zone", "", "az1", "nova"), FlavorName: g.one("flavor", "small", "big"),
		ImageID: g.one("image", "", "i1", "i2"), Resources: scheduler.Resources{}, ExtraSpecs: map[string]string{}, ImageProperties: map[string]string{},
		Hints: map[string][]string{}, ServerHosts: map[string]string{"s1": "h1", "s2": "h2"},
	}
	for _, class := range []string{scheduler.VCPU, scheduler.MemoryMB, scheduler.DiskGB, "CUSTOM_X"} {
		req.Resources[class] = int64(g.n(0, 4, "want "+class))
	}
	for key, values := range sorted(map[string][]string{"trait:A": {"required", "forbidden", "preferred"}, "trait:B": {"required", "forbidden"}, "aggregate_instance_extra_specs:ssd": {"true", "<or> true <or> false"}}) {
		if g.n(0, 2, key) == 0 {
			req.ExtraSpecs[key] = g.one(key, values...)
		}
	}
	for key, values := range sorted(map[string][]string{"os_distro": {"windows", "debian"}, "hw_architecture": {"x86_64", "aarch64"}, "img_hv_type": {"kvm", "xen"}}) {
		if g.maybe(key) {
			req.ImageProperties[key] = g.one(key, values...)
		}
	}
	for key, values := range sorted(map[string][]string{
		"same_host": {"s1", "s2", "s9"}, "different_host": {"s1", "s2", "s9"}, "build_near_host_ip": {"10.0.0.7"}, "cidr": {"/24", "25"},
		"query": {`[">=","$num_instances",2]`, `["or",["=","$vcpus_used",0],["in","$host","h1"]]`, `["not",["<","$num_io_ops",1]]`},
	}) {
		if g.n(0, 2, key) == 0 {
			req.Hints[key] = []string{g.one(key, values...)}
		}
	}
	if g.maybe("group") {
		req.Group = &scheduler.Group{
			Policy: g.one("policy", scheduler.Affinity, scheduler.AntiAffinity, scheduler.SoftAffinity), MaxServerPerHost: g.n(0, 2, "most"),
			MembersByHost: map[string]int{"h1": g.n(0, 2, "members")},
		}
	}
	return req
}

// aggregateValues collects what aggregates say, in the plainest way.
func aggregateValues(h scheduler.Host, key string) (out []string) {
	for _, a := range h.Aggregates {
		if v, ok := a.Metadata[key]; ok {
			for _, part := range strings.Split(v, ",") {
				out = append(out, strings.TrimSpace(part))
			}
		}
	}
	return out
}

func least(h scheduler.Host, key string, otherwise int) int {
	var all []int
	for _, a := range h.Aggregates {
		if n, err := strconv.Atoi(a.Metadata[key]); err == nil {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return otherwise
	}
	return slices.Min(all)
}

// oracles say in the plainest words which hosts each filter lets pass.
var oracles = []struct {
	filter scheduler.Filter
	passes func(req scheduler.Request, h scheduler.Host) bool
}{
	{scheduler.ComputeFilter{}, func(_ scheduler.Request, h scheduler.Host) bool { return h.Up && h.Enabled }},
	{scheduler.ResourceFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		for class, want := range req.Resources {
			if want == 0 {
				continue
			}
			i := h.Inventory[class]
			capacity := float64(i.Total-i.Reserved) * h.Ratio(class, nil)
			if float64(h.Used[class]+want) > capacity || want < i.MinUnit || i.MaxUnit > 0 && want > i.MaxUnit || i.StepSize > 0 && want%i.StepSize != 0 {
				return false
			}
		}
		return true
	}},
	{scheduler.AvailabilityZoneFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		zones := aggregateValues(h, "availability_zone")
		if h.Zone != "" {
			zones = append(zones, h.Zone)
		}
		return req.Zone == "" || slices.Contains(zones, req.Zone) || len(zones) == 0 && req.Zone == "nova"
	}},
	{scheduler.TraitFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		for key, v := range req.ExtraSpecs {
			t, ok := strings.CutPrefix(key, "trait:")
			if has := slices.Contains(h.Traits, t); ok && (v == "required" && !has || v == "forbidden" && has) {
				return false
			}
		}
		return true
	}},
	{scheduler.ImagePropertiesFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		arch, hv := req.ImageProperties["hw_architecture"], req.ImageProperties["img_hv_type"]
		return arch == "" && hv == "" || slices.ContainsFunc(h.Supported, func(g scheduler.Guest) bool {
			return (arch == "" || g.Arch == arch) && (hv == "" || g.HVType == hv)
		})
	}},
	{scheduler.AggregateInstanceExtraSpecsFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		values := aggregateValues(h, "ssd")
		switch req.ExtraSpecs["aggregate_instance_extra_specs:ssd"] {
		case "":
			return true
		case "true":
			return slices.Contains(values, "true")
		}
		return len(values) > 0
	}},
	{scheduler.AggregateImagePropertiesIsolation{}, func(req scheduler.Request, h scheduler.Host) bool {
		values, want := aggregateValues(h, "os_distro"), req.ImageProperties["os_distro"]
		return want == "" || len(values) == 0 || slices.Contains(values, want)
	}},
	{scheduler.AggregateMultiTenancyIsolation{}, func(req scheduler.Request, h scheduler.Host) bool {
		allowed := append(aggregateValues(h, "filter_tenant_id"), aggregateValues(h, "filter_tenant_id7")...)
		return len(allowed) == 0 || slices.Contains(allowed, req.ProjectID)
	}},
	{scheduler.AggregateTypeAffinityFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		values := aggregateValues(h, "instance_type")
		return len(values) == 0 || slices.Contains(values, req.FlavorName)
	}},
	{scheduler.NumInstancesFilter{Max: 4}, func(_ scheduler.Request, h scheduler.Host) bool {
		return h.NumInstances < least(h, "max_instances_per_host", 4)
	}},
	{scheduler.IoOpsFilter{Max: 3}, func(_ scheduler.Request, h scheduler.Host) bool {
		return h.NumIOOps < least(h, "max_io_ops_per_host", 3)
	}},
	{scheduler.IsolatedHostsFilter{Images: []string{"i1"}, Hosts: []string{"h1"}}, func(req scheduler.Request, h scheduler.Host) bool {
		return (req.ImageID == "i1") == (h.ID == "h1")
	}},
	{scheduler.SameHostFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		s := req.Hints["same_host"]
		return len(s) == 0 || req.ServerHosts[s[0]] == h.ID
	}},
	{scheduler.DifferentHostFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		s := req.Hints["different_host"]
		return len(s) == 0 || req.ServerHosts[s[0]] != h.ID
	}},
	{scheduler.ServerGroupAffinityFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		g := req.Group
		return g == nil || g.Policy != scheduler.Affinity || g.MembersByHost["h1"] == 0 || g.MembersByHost[h.ID] > 0
	}},
	{scheduler.ServerGroupAntiAffinityFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		g := req.Group
		return g == nil || g.Policy != scheduler.AntiAffinity || g.MembersByHost[h.ID] < max(g.MaxServerPerHost, 1)
	}},
	{scheduler.SimpleCIDRAffinityFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		if req.Hints["build_near_host_ip"] == nil {
			return true
		}
		bits := 24
		if c := req.Hints["cidr"]; c != nil && c[0] == "25" {
			bits = 25
		}
		ip, err := netip.ParseAddr(h.Attributes["host_ip"])
		return err == nil && netip.PrefixFrom(netip.MustParseAddr("10.0.0.7"), bits).Masked().Contains(ip)
	}},
	{scheduler.JSONFilter{}, func(req scheduler.Request, h scheduler.Host) bool {
		q := req.Hints["query"]
		switch {
		case q == nil:
			return true
		case strings.HasPrefix(q[0], `[">="`):
			return h.NumInstances >= 2
		case strings.HasPrefix(q[0], `["or"`):
			return h.Used[scheduler.VCPU] == 0 || h.ID == "h1"
		}
		return h.NumIOOps >= 1
	}},
	{scheduler.MetricsFilter{Names: []string{"m"}}, func(_ scheduler.Request, h scheduler.Host) bool { return h.Metrics != nil }},
}

// Each filter lets pass just the hosts that its plain description lets pass, and
// says why it does not the others.
func TestFiltersKeepTheirWord(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := gen{rt}
		snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
		hosts := map[string]scheduler.Host{}
		for i := range g.n(1, 6, "hosts") {
			h := g.host(fmt.Sprint("h", i))
			hosts[h.ID] = h
			require.NoError(rt, snap.Put(h))
		}
		req := g.request()
		for _, o := range oracles {
			s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{o.filter}})
			require.NoError(rt, err)
			judged, err := s.Judge(snap, req, slices.Sorted(maps.Keys(hosts)))
			require.NoError(rt, err)
			for _, j := range judged {
				rejected := slices.ContainsFunc(j.Verdicts, func(v scheduler.NamedRejection) bool { return v.Filter == o.filter.Name() })
				want := o.passes(req, hosts[j.Host.ID])
				if rejected == want {
					rt.Fatalf("%s lets host pass: %v, and should: %v\nhost %+v\nrequest %+v", o.filter.Name(), !rejected, want, hosts[j.Host.ID], req)
				}
			}
		}
	})
}

// A NUMA topology fits just if some way of giving cells fits, tried one by one.
func TestNUMAFitsIfAnyWayFits(t *testing.T) {
	s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{scheduler.NUMATopologyFilter{}}})
	require.NoError(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		g := gen{rt}
		var cells []scheduler.NUMACell
		for i := range g.n(1, 4, "cells") {
			cells = append(cells, scheduler.NUMACell{ID: i, PCPUs: int64(g.n(0, 4, "pcpus")), MemoryMB: int64(g.n(0, 4, "memory"))})
		}
		n := g.n(1, 3, "nodes")
		spec := map[string]string{"hw:cpu_policy": "dedicated", "hw:numa_nodes": fmt.Sprint(n)}
		var cpus, mem int64
		var want [][2]int64
		for i := range n {
			c, m := int64(g.n(1, 3, "cpus")), int64(g.n(1, 3, "mem"))
			spec[fmt.Sprint("hw:numa_cpus.", i)], spec[fmt.Sprint("hw:numa_mem.", i)] = fmt.Sprintf("%d-%d", cpus, cpus+c-1), fmt.Sprint(m)
			cpus, mem, want = cpus+c, mem+m, append(want, [2]int64{c, m})
		}
		var fits func(i int, taken int) bool
		fits = func(i, taken int) bool {
			if i == n {
				return true
			}
			for k, c := range cells {
				if taken&(1<<k) == 0 && want[i][0] <= c.PCPUs && want[i][1] <= c.MemoryMB && fits(i+1, taken|1<<k) {
					return true
				}
			}
			return false
		}
		snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{Ratios: map[string]float64{}})
		require.NoError(rt, snap.Put(host("h", func(h *scheduler.Host) { h.NUMA = cells; h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: 100} })))
		req := scheduler.Request{Resources: scheduler.Resources{scheduler.VCPU: cpus, scheduler.MemoryMB: mem}, ExtraSpecs: spec}
		d, err := s.Select(snap, req, scheduler.Options{})
		require.Equal(rt, fits(0, 0), err == nil, "%v on %+v: %v", spec, cells, err)
		if err == nil {
			require.NoError(rt, snap.Claim("h", d.Choices[0].Claim))
		}
	})
}

// Claims and releases neither make nor lose capacity, whatever happens in
// between, and what was chosen can be claimed.
func TestCapacityIsConserved(t *testing.T) {
	s, err := scheduler.New(scheduler.Config{Filters: []scheduler.Filter{
		scheduler.NUMATopologyFilter{},
		scheduler.PciPassthroughFilter{Aliases: []scheduler.PCIAlias{{Name: "gpu", Specs: []scheduler.PCISpec{{VendorID: "10de"}}}}},
		scheduler.ServerGroupAntiAffinityFilter{},
	}})
	require.NoError(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		g := gen{rt}
		snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
		ids := []string{"a", "b", "c"}
		for _, id := range ids {
			require.NoError(rt, snap.Put(host(id, func(h *scheduler.Host) {
				h.NUMA = []scheduler.NUMACell{{ID: 0, PCPUs: 2, MemoryMB: 4096}, {ID: 1, PCPUs: 2, MemoryMB: 4096}}
				h.PCI = []scheduler.PCIPool{{VendorID: "10de", ProductID: "0001", Count: 2}}
			})))
		}
		type claim struct {
			host string
			want scheduler.Resources
		}
		var held []claim
		check := func() {
			for _, id := range ids {
				h, ok := snap.Get(id)
				require.True(rt, ok)
				sum := scheduler.Resources{}
				n := 0
				for _, c := range held {
					if c.host == id {
						sum, n = sum.Add(c.want), n+1
					}
				}
				require.Equal(rt, n, h.NumInstances)
				for class, inv := range h.Inventory {
					require.Equal(rt, sum[class], h.Used[class], "%s of %s", class, id)
					ratio := inv.Ratio
					if ratio == 0 {
						ratio = h.Ratio(class, nil)
					}
					require.LessOrEqual(rt, float64(h.Used[class]), float64(inv.Total)*ratio, "%s of %s", class, id)
				}
			}
		}
		for range g.n(1, 30, "steps") {
			switch g.n(0, 4, "step") {
			case 0, 1, 2:
				req := scheduler.Request{
					ID: fmt.Sprint(len(held)), Count: g.n(1, 3, "count"), ExtraSpecs: map[string]string{},
					Resources: scheduler.Resources{scheduler.VCPU: int64(g.n(1, 2, "vcpus")), scheduler.MemoryMB: int64(g.n(1, 8, "mem")) * 512, scheduler.DiskGB: int64(g.n(0, 40, "disk"))},
				}
				if g.maybe("pinned") {
					req.ExtraSpecs["hw:cpu_policy"] = "dedicated"
				}
				if g.maybe("device") {
					req.ExtraSpecs["pci_passthrough:alias"] = "gpu:1"
				}
				if g.maybe("apart") {
					req.Group = &scheduler.Group{Policy: scheduler.AntiAffinity, MaxServerPerHost: g.n(1, 2, "most")}
				}
				d, err := s.Select(snap, req, scheduler.Options{Seed: uint64(len(held))})
				if err != nil {
					continue
				}
				per := map[string]int{}
				for _, c := range d.Choices {
					want := c.Claim
					if want == nil {
						want = req.Resources
					}
					require.NoError(rt, snap.Claim(c.Host.ID, want), "what was chosen together can be claimed together")
					held = append(held, claim{c.Host.ID, want})
					per[c.Host.ID]++
				}
				for id, n := range per {
					if req.Group != nil {
						require.LessOrEqual(rt, n, req.Group.MaxServerPerHost, id)
					}
				}
			case 3:
				if len(held) > 0 {
					k := g.n(0, len(held)-1, "which")
					require.NoError(rt, snap.Release(held[k].host, held[k].want))
					held = slices.Delete(held, k, k+1)
				}
			default: // the owner puts the host again
				h, _ := snap.Get(g.one("again", ids...))
				h.Enabled = g.maybe("enabled")
				require.NoError(rt, snap.Put(h))
			}
			check()
		}
		for _, c := range held {
			require.NoError(rt, snap.Release(c.host, c.want))
		}
		held = nil
		check()
	})
}
