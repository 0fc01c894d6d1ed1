package scheduler_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// asks asks one filter about one host: reason is empty if it passes.
func asks(t *testing.T, f scheduler.Filter, edit func(*scheduler.Host), req scheduler.Request, reason string) {
	t.Helper()
	s := newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{f}})
	d, err := s.Select(snapshot(t, host("h1", edit)), req, scheduler.Options{})
	if reason == "" {
		require.NoError(t, err)
		require.Equal(t, "h1", d.Choices[0].Host.ID)
		return
	}
	require.ErrorIs(t, err, nephos.ErrNoCapacity)
	require.Equal(t, reason, d.Explanation.Nearest.Verdicts[0].Reason, d.Explanation.Nearest.Verdicts[0].Saw)
}

func node(n int) *int { return &n }

// The examples of Nova's administrator guide, and the edges around them.
func TestNovasDocumentedFilters(t *testing.T) {
	type H = *scheduler.Host
	type R = scheduler.Request
	nothing := func(H) {}
	in := func(kv ...string) func(H) { return func(h H) { h.Aggregates = []scheduler.Aggregate{meta(kv...)} } }
	image := func(k, v string) R { return R{ImageProperties: map[string]string{k: v}} }
	hint := func(kv ...string) R {
		r := R{Hints: map[string][]string{}}
		for i := 0; i < len(kv); i += 2 {
			r.Hints[kv[i]] = []string{kv[i+1]}
		}
		return r
	}
	query := func(q string) R { return hint("query", q) }
	at := func(ip string) func(H) { return func(h H) { h.Attributes = map[string]string{"host_ip": ip} } }
	isolation := scheduler.AggregateImagePropertiesIsolation{}
	spaced := scheduler.AggregateImagePropertiesIsolation{Namespace: "iso", Separator: "_"}
	isolated := scheduler.IsolatedHostsFilter{Images: []string{"i1", "i2"}, Hosts: []string{"h1"}}
	open := scheduler.IsolatedHostsFilter{Images: []string{"i1"}, Hosts: []string{"h1"}, Open: true}
	elsewhere := scheduler.IsolatedHostsFilter{Images: []string{"i1"}, Hosts: []string{"h2"}}
	const (
		otherImages = "kept for other images"
		noMeet      = "do not meet the hint query"
		noRead      = "not comparable with the hint query, which cannot be read"
		outside     = "outside the network asked for"
	)
	for _, c := range []struct {
		name   string
		filter scheduler.Filter
		host   func(H)
		req    R
		reason string
	}{
		{"a Windows image on a Windows aggregate", isolation, in("os_distro", "windows"), image("os_distro", "windows"), ""},
		{"a Linux image on a Windows aggregate", isolation, in("os_distro", "windows"), image("os_distro", "debian"), otherImages},
		{"an image that says nothing", isolation, in("os_distro", "windows"), image("os_type", "windows"), ""},
		{"a host in no aggregate", isolation, nothing, image("os_distro", "windows"), ""},
		{"one of several values", isolation, in("os_distro", "debian, windows"), image("os_distro", "windows"), ""},
		{"outside the namespace", spaced, in("os_distro", "windows"), image("os_distro", "debian"), ""},
		{"inside the namespace", spaced, in("iso_os", "windows"), image("iso_os", "debian"), otherImages},

		{"tenant X on its aggregate", scheduler.AggregateMultiTenancyIsolation{}, in("filter_tenant_id", "X"), R{ProjectID: "X"}, ""},
		{"tenant Y on X's aggregate", scheduler.AggregateMultiTenancyIsolation{}, in("filter_tenant_id", "X"), R{ProjectID: "Y"}, "kept for other projects"},
		{"tenant Y on a free host", scheduler.AggregateMultiTenancyIsolation{}, nothing, R{ProjectID: "Y"}, ""},
		{"one of several tenants", scheduler.AggregateMultiTenancyIsolation{}, in("filter_tenant_id", "X, Y"), R{ProjectID: "Y"}, ""},
		{"a key with a suffix", scheduler.AggregateMultiTenancyIsolation{}, in("filter_tenant_id", "X", "filter_tenant_id3", "Y"), R{ProjectID: "Y"}, ""},

		{"a flavor of the aggregate", scheduler.AggregateTypeAffinityFilter{}, in("instance_type", "m1.nano,m1.small"), R{FlavorName: "m1.small"}, ""},
		{"another flavor", scheduler.AggregateTypeAffinityFilter{}, in("instance_type", "m1.nano"), R{FlavorName: "m1.small"}, "kept for other flavors"},
		{"no flavor is named", scheduler.AggregateTypeAffinityFilter{}, in("x", "y"), R{FlavorName: "m1.small"}, ""},

		{"an isolated image on an isolated host", isolated, nothing, R{ImageID: "i2"}, ""},
		{"another image on an isolated host", isolated, nothing, R{ImageID: "i3"}, "kept for isolated images"},
		{"a volume on an isolated host", isolated, nothing, R{}, "kept for isolated images"},
		{"a volume on an open isolated host", open, nothing, R{}, ""},
		{"an isolated image elsewhere", elsewhere, nothing, R{ImageID: "i1"}, "not for isolated images"},

		{"enough memory by query", scheduler.JSONFilter{}, nothing, query(`[">=","$free_ram_mb",1024]`), ""},
		{"too little by query", scheduler.JSONFilter{}, nothing, query(`[">=","$free_ram_mb",16385]`), noMeet},
		{"and", scheduler.JSONFilter{}, nothing, query(`["and",[">=","$free_ram_mb",1024],["<","$vcpus_used",1]]`), ""},
		{"or", scheduler.JSONFilter{}, nothing, query(`["or",[">","$vcpus_total",8],["=","$free_disk_mb",102400]]`), ""},
		{"not", scheduler.JSONFilter{}, nothing, query(`["not",["=","$hypervisor_hostname","h1"]]`), noMeet},
		{"in", scheduler.JSONFilter{}, nothing, query(`["in","$hypervisor_hostname","h0","h1"]`), ""},
		{"not in", scheduler.JSONFilter{}, nothing, query(`["in","$hypervisor_hostname","h0"]`), noMeet},
		{"with each of the others", scheduler.JSONFilter{}, nothing, query(`["<=","$vcpus_total",8,7]`), noMeet},
		{"total memory", scheduler.JSONFilter{}, nothing, query(`["=","$total_usable_ram_mb",16384]`), ""},
		{"an unknown fact", scheduler.JSONFilter{}, nothing, query(`[">","$nonesuch",0]`), noMeet},
		{"one operand", scheduler.JSONFilter{}, nothing, query(`["="," $free_ram_mb"]`), noMeet},
		{"into an attribute", scheduler.JSONFilter{}, func(h H) { h.Attributes = map[string]string{"stats": `{"io":{"n":3}}`} }, query(`["=","$stats.io.n",3]`), ""},
		{"a list in the request", scheduler.JSONFilter{}, nothing, R{Hints: map[string][]string{"query": {">=", "$free_ram_mb", "1024"}}}, ""},
		{"no query", scheduler.JSONFilter{}, nothing, query(""), ""},
		{"an unknown operator", scheduler.JSONFilter{}, nothing, query(`["~","$free_ram_mb",1]`), noRead},
		{"too many operands", scheduler.JSONFilter{}, nothing, query(`["or"` + strings.Repeat(`,"$a.b"`, 300) + `]`), noRead},
		{"no list", scheduler.JSONFilter{}, nothing, query(`{"a":1}`), noRead},
		{"an empty list", scheduler.JSONFilter{}, nothing, query(`["and",[]]`), noRead},
		{"more than a list", scheduler.JSONFilter{}, nothing, query(`["and"] x`), noRead},
		{"a number and text", scheduler.JSONFilter{}, nothing, query(`["<","$free_ram_mb","x"]`), "not comparable as the hint query asks"},

		{"near", scheduler.SimpleCIDRAffinityFilter{}, at("192.168.1.77"), hint("build_near_host_ip", "192.168.1.1", "cidr", "/24"), ""},
		{"near, without a slash", scheduler.SimpleCIDRAffinityFilter{}, at("192.168.1.77"), hint("build_near_host_ip", "192.168.1.1", "cidr", "24"), ""},
		{"near by default", scheduler.SimpleCIDRAffinityFilter{}, at("192.168.1.77"), hint("build_near_host_ip", "192.168.1.1"), ""},
		{"far", scheduler.SimpleCIDRAffinityFilter{}, at("192.168.2.77"), hint("build_near_host_ip", "192.168.1.1"), outside},
		{"far by a long prefix", scheduler.SimpleCIDRAffinityFilter{}, at("192.168.1.77"), hint("build_near_host_ip", "192.168.1.1", "cidr", "/30"), outside},
		{"IPv6", scheduler.SimpleCIDRAffinityFilter{}, at("fd00::7"), hint("build_near_host_ip", "fd00::1", "cidr", "/64"), ""},
		{"no address", scheduler.SimpleCIDRAffinityFilter{}, nothing, hint("build_near_host_ip", "192.168.1.1"), outside},
		{"no hint", scheduler.SimpleCIDRAffinityFilter{}, nothing, hint("cidr", "/24"), ""},
		{"no network", scheduler.SimpleCIDRAffinityFilter{}, at("192.168.1.77"), hint("build_near_host_ip", "here"), "not comparable with the hints build_near_host_ip and cidr, which are no network"},

		{"a metric", scheduler.MetricsFilter{Names: []string{"cpu.percent"}}, func(h H) { h.Metrics = map[string]float64{"cpu.percent": 0} }, R{}, ""},
		{"no metric", scheduler.MetricsFilter{Names: []string{"cpu.percent"}}, nothing, R{}, "do not report a metric"},
		{"all hosts", scheduler.AllHostsFilter{}, nothing, R{}, ""},

		{"a capability in a scope", scheduler.ComputeCapabilitiesFilter{}, func(h H) { h.Attributes = map[string]string{"cpu_info": `{"features":["aes","mmx"]}`} }, R{ExtraSpecs: map[string]string{"capabilities:cpu_info:features": "<all-in> aes mmx"}}, ""},
		{"a number of servers", scheduler.ComputeCapabilitiesFilter{}, func(h H) { h.NumInstances = 11 }, R{ExtraSpecs: map[string]string{"capabilities:num_instances": "<= 10"}}, "do not meet a capability of the flavor"},
		{"a host by name", scheduler.ComputeCapabilitiesFilter{}, func(h H) { h.Name = "compute_01" }, R{ExtraSpecs: map[string]string{"capabilities:host": "<in> compute"}}, ""},
		{"trait of a group", scheduler.TraitFilter{}, nothing, R{ExtraSpecs: map[string]string{"trait1:HW_CPU_X86_AVX": "required"}}, "lack a required trait"},
	} {
		t.Run(c.name, func(t *testing.T) { asks(t, c.filter, c.host, c.req, c.reason) })
	}
}

func TestNUMATopologyFilter(t *testing.T) {
	type R = map[string]string
	cells := func(c ...scheduler.NUMACell) func(*scheduler.Host) {
		return func(h *scheduler.Host) {
			h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: 16, Ratio: 2}
			h.Inventory[scheduler.MemoryMB] = scheduler.Inventory{Total: 16384, Ratio: 1}
			h.NUMA = c
		}
	}
	two := cells(
		scheduler.NUMACell{ID: 0, VCPUs: 4, PCPUs: 2, MemoryMB: 4096, Pages: map[int64]int64{2048: 512}},
		scheduler.NUMACell{ID: 1, VCPUs: 4, PCPUs: 4, MemoryMB: 4096, Pages: map[int64]int64{1048576: 2}},
	)
	const unread = "without an answer to a NUMA topology that cannot be read"
	for _, c := range []struct {
		name        string
		host        func(*scheduler.Host)
		cpus, mem   int64
		spec, image R
		reason      string
		claim       scheduler.Resources
	}{
		{"no topology on any host", func(*scheduler.Host) {}, 2, 1024, nil, nil, "", nil},
		{"shared is none", func(*scheduler.Host) {}, 2, 1024, R{"hw:cpu_policy": "shared"}, nil, "", nil},
		{"a topology on a host without", func(*scheduler.Host) {}, 2, 1024, R{"hw:numa_nodes": "1"}, nil, "without NUMA cells", nil},
		{"two cells", two, 4, 2048, R{"hw:numa_nodes": "2"}, nil, "", scheduler.Resources{"CUSTOM_NUMA0_VCPU": 2, "CUSTOM_NUMA1_VCPU": 2, "CUSTOM_NUMA0_MEMORY_MB": 1024, "CUSTOM_NUMA1_MEMORY_MB": 1024}},
		{"of the image", two, 4, 2048, nil, R{"hw_numa_nodes": "3"}, unread, nil},
		{"three cells", two, 3, 3072, nil, R{"hw_numa_nodes": "3"}, "have too few NUMA cells", nil},
		{"more CPUs than a cell has", two, 5, 1024, R{"hw:numa_nodes": "1"}, nil, "have no NUMA cells that fit together", nil},
		{"unequal cells", two, 4, 3072, R{"hw:numa_nodes": "2", "hw:numa_cpus.0": "0", "hw:numa_cpus.1": "1-3", "hw:numa_mem.0": "1024", "hw:numa_mem.1": "2048"}, nil, "", scheduler.Resources{"CUSTOM_NUMA0_VCPU": 1, "CUSTOM_NUMA1_VCPU": 3, "CUSTOM_NUMA0_MEMORY_MB": 1024, "CUSTOM_NUMA1_MEMORY_MB": 2048}},
		{"dedicated", two, 4, 1024, R{"hw:cpu_policy": "dedicated"}, nil, "", scheduler.Resources{"CUSTOM_NUMA1_PCPU": 4, "CUSTOM_NUMA1_MEMORY_MB": 1024}},
		{"too many dedicated", two, 5, 1024, R{"hw:cpu_policy": "dedicated"}, nil, "lack dedicated CPUs in a NUMA cell", nil},
		{"dedicated over two, the greater first", two, 6, 1024, R{"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2", "hw:numa_cpus.0": "0-3", "hw:numa_cpus.1": "4,5", "hw:numa_mem.0": "512", "hw:numa_mem.1": "512"}, nil, "", scheduler.Resources{"CUSTOM_NUMA1_PCPU": 4, "CUSTOM_NUMA0_PCPU": 2, "CUSTOM_NUMA0_MEMORY_MB": 512, "CUSTOM_NUMA1_MEMORY_MB": 512}},
		{"mixed", two, 4, 1024, R{"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"}, nil, "", scheduler.Resources{"CUSTOM_NUMA1_PCPU": 3, "CUSTOM_NUMA1_VCPU": 1, "CUSTOM_NUMA1_MEMORY_MB": 1024}},
		{"mixed without a mask", two, 4, 1024, R{"hw:cpu_policy": "mixed"}, nil, unread, nil},
		{"image dedicated, flavor shared", two, 4, 1024, R{"hw:cpu_policy": "shared"}, R{"hw_cpu_policy": "dedicated"}, unread, nil},
		{"image shared, flavor dedicated", two, 2, 1024, R{"hw:cpu_policy": "dedicated"}, R{"hw_cpu_policy": "shared"}, "", scheduler.Resources{"CUSTOM_NUMA0_PCPU": 2, "CUSTOM_NUMA0_MEMORY_MB": 1024}},
		{"pages of 2 MiB", two, 2, 1024, R{"hw:mem_page_size": "2MB"}, nil, "", scheduler.Resources{"CUSTOM_NUMA0_VCPU": 2, "CUSTOM_NUMA0_PAGES_2048": 512}},
		{"large pages", two, 2, 2048, R{"hw:mem_page_size": "large"}, nil, "", scheduler.Resources{"CUSTOM_NUMA1_VCPU": 2, "CUSTOM_NUMA1_PAGES_1048576": 2}},
		{"too many pages", two, 2, 1026, R{"hw:mem_page_size": "2048"}, nil, "lack pages of the size asked for", nil},
		{"not divisible into pages", two, 2, 1025, R{"hw:mem_page_size": "2048"}, nil, "lack pages of the size asked for", nil},
		{"small pages", two, 2, 4096, R{"hw:mem_page_size": "small"}, nil, "", scheduler.Resources{"CUSTOM_NUMA0_VCPU": 2, "CUSTOM_NUMA0_MEMORY_MB": 4096}},
		{"small pages beyond the cell", two, 2, 4097, R{"hw:mem_page_size": "small"}, nil, "lack pages of the size asked for", nil},
		{"any pages", two, 2, 1536, R{"hw:mem_page_size": "any"}, nil, "", scheduler.Resources{"CUSTOM_NUMA0_VCPU": 2, "CUSTOM_NUMA0_MEMORY_MB": 1536}},
		{"the image chooses among large", two, 2, 1024, R{"hw:mem_page_size": "large"}, R{"hw_mem_page_size": "2048"}, "", scheduler.Resources{"CUSTOM_NUMA0_VCPU": 2, "CUSTOM_NUMA0_PAGES_2048": 512}},
		{"the image may not choose", two, 2, 1024, nil, R{"hw_mem_page_size": "2048"}, unread, nil},
		{"memory of a cell", two, 2, 4097, R{"hw:numa_nodes": "1"}, nil, "lack memory in a NUMA cell", nil},
		{"threads", two, 2, 1024, R{"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "require"}, nil, "without CPU threads", nil},
		{"isolated threads", two, 2, 1024, R{"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "isolate"}, nil, "", scheduler.Resources{"CUSTOM_NUMA0_PCPU": 2, "CUSTOM_NUMA0_MEMORY_MB": 1024}},
		{"not divisible", two, 3, 1024, R{"hw:numa_nodes": "2"}, nil, unread, nil},
		{"a CPU twice", two, 2, 1024, R{"hw:numa_nodes": "2", "hw:numa_cpus.0": "0", "hw:numa_cpus.1": "0", "hw:numa_mem.0": "512", "hw:numa_mem.1": "512"}, nil, unread, nil},
		{"CPUs left over", two, 3, 1024, R{"hw:numa_nodes": "2", "hw:numa_cpus.0": "0", "hw:numa_cpus.1": "1", "hw:numa_mem.0": "512", "hw:numa_mem.1": "512"}, nil, unread, nil},
		{"no number", two, 2, 1024, R{"hw:numa_nodes": "-1"}, nil, unread, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := scheduler.Request{
				Resources: scheduler.Resources{scheduler.VCPU: c.cpus, scheduler.MemoryMB: c.mem}, ExtraSpecs: c.spec, ImageProperties: c.image,
			}
			asks(t, scheduler.NUMATopologyFilter{}, c.host, req, c.reason)
			if c.reason != "" {
				return
			}
			s := newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{scheduler.NUMATopologyFilter{}}})
			d, err := s.Select(snapshot(t, host("h1", c.host)), req, scheduler.Options{})
			require.NoError(t, err)
			if c.claim == nil {
				require.Nil(t, d.Choices[0].Claim)
				return
			}
			require.Equal(t, c.claim.Add(req.Resources), d.Choices[0].Claim)
		})
	}
}

// Servers of one request, and claims, use up the cells.
func TestNUMACellsAreClaimed(t *testing.T) {
	snap := snapshot(t, host("h1", func(h *scheduler.Host) {
		h.NUMA = []scheduler.NUMACell{{ID: 0, PCPUs: 4, MemoryMB: 4096}, {ID: 1, PCPUs: 4, MemoryMB: 4096}}
	}))
	s := newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{scheduler.NUMATopologyFilter{}}})
	req := scheduler.Request{
		ID: "s", Count: 4, Resources: scheduler.Resources{scheduler.VCPU: 2, scheduler.MemoryMB: 512},
		ExtraSpecs: map[string]string{"hw:cpu_policy": "dedicated"},
	}
	d, err := s.Select(snap, req, scheduler.Options{})
	require.NoError(t, err)
	for _, c := range d.Choices {
		require.NoError(t, snap.Claim("h1", c.Claim))
	}
	require.ErrorIs(t, snap.Claim("h1", d.Choices[0].Claim), nephos.ErrNoCapacity)
	req.Count = 1
	_, err = s.Select(snap, req, scheduler.Options{})
	require.ErrorContains(t, err, "1 lack dedicated CPUs in a NUMA cell (nearest short of 2 PCPU)")
	require.NoError(t, snap.Release("h1", d.Choices[3].Claim))
	_, err = s.Select(snap, req, scheduler.Options{})
	require.NoError(t, err)

	h, ok := snap.Get("h1")
	require.True(t, ok)
	again := snapshot(t, h)
	back, _ := again.Get("h1")
	require.Equal(t, h, back, "a host that is read and put again stays what it is")
}

func TestPciPassthroughFilter(t *testing.T) {
	gpu := scheduler.PCIAlias{Name: "gpu", Specs: []scheduler.PCISpec{{VendorID: "10de", ProductID: "1eb8"}}}
	nic := scheduler.PCIAlias{Name: "nic", Specs: []scheduler.PCISpec{{VendorID: "8086", DevType: scheduler.PCIVirtual, Tags: map[string]string{"physical_network": "net1"}}}}
	any := scheduler.PCIAlias{Name: "any", Specs: []scheduler.PCISpec{{VendorID: "10de"}, {VendorID: "8086"}}}
	near := scheduler.PCIAlias{Name: "near", Specs: gpu.Specs, NUMA: "required"}
	f := scheduler.PciPassthroughFilter{Aliases: []scheduler.PCIAlias{gpu, nic, any, near}}
	devices := func(p ...scheduler.PCIPool) func(*scheduler.Host) { return func(h *scheduler.Host) { h.PCI = p } }
	gpus := scheduler.PCIPool{VendorID: "10de", ProductID: "1eb8", Count: 2}
	nics := scheduler.PCIPool{VendorID: "8086", ProductID: "1515", DevType: scheduler.PCIVirtual, Count: 1, Tags: map[string]string{"physical_network": "net1"}}
	const lack, unread = "lack PCI devices", "without an answer to a request for PCI devices that cannot be read"
	for _, c := range []struct {
		name, alias string
		host        func(*scheduler.Host)
		reason      string
	}{
		{"none asked", "", devices(), ""},
		{"one", "gpu:1", devices(gpus), ""},
		{"as many as there are", "gpu:2", devices(gpus), ""},
		{"too many", "gpu:3", devices(gpus), lack},
		{"no devices", "gpu:1", devices(), lack},
		{"by type and tag", "nic:1", devices(nics), ""},
		{"another tag", "nic:1", devices(scheduler.PCIPool{VendorID: "8086", ProductID: "1515", DevType: scheduler.PCIVirtual, Count: 1, Tags: map[string]string{"physical_network": "net2"}}), lack},
		{"two kinds", "gpu:2,nic:1", devices(gpus, nics), ""},
		{"either kind yields to the choosy", "any:1,gpu:2", devices(gpus, nics), ""},
		{"all taken together", "any:2,gpu:2", devices(gpus, nics), "lack PCI devices near the server's NUMA cells"},
		{"an unknown alias", "fpga:1", devices(gpus), unread},
		{"no number", "gpu:x", devices(gpus), unread},
	} {
		t.Run(c.name, func(t *testing.T) {
			asks(t, f, c.host, scheduler.Request{ExtraSpecs: map[string]string{"pci_passthrough:alias": c.alias}}, c.reason)
		})
	}

	t.Run("near the cells", func(t *testing.T) {
		s := newScheduler(t, scheduler.Config{Filters: []scheduler.Filter{scheduler.NUMATopologyFilter{}, f}})
		at := func(cell *int, policy string) (scheduler.Decision, error) {
			p := gpus
			p.NUMANode = cell
			snap := snapshot(t, host("h1", devices(p), func(h *scheduler.Host) {
				h.NUMA = []scheduler.NUMACell{{ID: 0, VCPUs: 4, PCPUs: 2, MemoryMB: 8192}, {ID: 1, VCPUs: 4, PCPUs: 2, MemoryMB: 8192}, {ID: 2, MemoryMB: 8192}}
			}))
			return s.Select(snap, scheduler.Request{
				Resources:  scheduler.Resources{scheduler.VCPU: 2, scheduler.MemoryMB: 1024},
				ExtraSpecs: map[string]string{"hw:cpu_policy": "dedicated", "pci_passthrough:alias": "gpu:1", "hw:pci_numa_affinity_policy": policy},
			}, scheduler.Options{})
		}
		d, err := at(node(1), "required")
		require.NoError(t, err)
		require.Equal(t, int64(2), d.Choices[0].Claim["CUSTOM_NUMA1_PCPU"], "the server goes where the device is")
		require.Equal(t, int64(1), d.Choices[0].Claim["CUSTOM_PCI_10DE_1EB8_NUMA1"])
		_, err = at(node(2), "required")
		require.ErrorContains(t, err, "1 lack PCI devices near the server's NUMA cells")
		_, err = at(node(2), "preferred")
		require.NoError(t, err)
		_, err = at(nil, "legacy")
		require.NoError(t, err)
		_, err = at(nil, "required")
		require.Error(t, err)
	})
}

func TestBadHostsChangeNothing(t *testing.T) {
	snap := snapshot(t, host("h1"))
	before, _ := snap.Get("h1")
	for name, edit := range map[string]func(*scheduler.Host){
		"negative total":   func(h *scheduler.Host) { h.Inventory["VCPU"] = scheduler.Inventory{Total: -1} },
		"negative ratio":   func(h *scheduler.Host) { h.Inventory["VCPU"] = scheduler.Inventory{Total: 1, Ratio: -1} },
		"negative use":     func(h *scheduler.Host) { h.Used["VCPU"] = -1 },
		"unknown class":    func(h *scheduler.Host) { h.Inventory["vcpu"] = scheduler.Inventory{Total: 1} },
		"two equal cells":  func(h *scheduler.Host) { h.NUMA = []scheduler.NUMACell{{ID: 1}, {ID: 1}} },
		"negative CPUs":    func(h *scheduler.Host) { h.NUMA = []scheduler.NUMACell{{PCPUs: -1}} },
		"page of no size":  func(h *scheduler.Host) { h.NUMA = []scheduler.NUMACell{{Pages: map[int64]int64{0: 1}}} },
		"bad vendor":       func(h *scheduler.Host) { h.PCI = []scheduler.PCIPool{{VendorID: "zzzz", ProductID: "0001"}} },
		"negative devices": func(h *scheduler.Host) { h.PCI = []scheduler.PCIPool{{VendorID: "8086", ProductID: "0001", Count: -1}} },
		"two pools as one": func(h *scheduler.Host) {
			p := scheduler.PCIPool{VendorID: "8086", ProductID: "0001"}
			h.PCI = []scheduler.PCIPool{p, p}
		},
		"metric is infinite": func(h *scheduler.Host) { h.Metrics = map[string]float64{"x": inf} },
	} {
		require.ErrorIs(t, snap.Put(host("h1", edit)), nephos.ErrInvalid, name)
		after, _ := snap.Get("h1")
		require.Equal(t, before, after, name)
	}
}
