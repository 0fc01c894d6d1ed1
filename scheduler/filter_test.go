package scheduler_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/scheduler"
)

// host returns a host that passes everything, with the edits applied.
func host(id string, edit ...func(*scheduler.Host)) scheduler.Host {
	h := scheduler.Host{
		ID: id, Up: true, Enabled: true,
		Inventory: map[string]scheduler.Inventory{
			scheduler.VCPU: {Total: 8}, scheduler.MemoryMB: {Total: 16384}, scheduler.DiskGB: {Total: 100},
		},
		Used: scheduler.Resources{},
	}
	for _, e := range edit {
		e(&h)
	}
	return h
}

func snapshot(t testing.TB, hosts ...scheduler.Host) *scheduler.Snapshot {
	t.Helper()
	s := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for _, h := range hosts {
		require.NoError(t, s.Put(h))
	}
	return s
}

func meta(pairs ...string) scheduler.Aggregate {
	a := scheduler.Aggregate{ID: "a", Metadata: map[string]string{}}
	for i := 0; i < len(pairs); i += 2 {
		a.Metadata[pairs[i]] = pairs[i+1]
	}
	return a
}

func TestFilters(t *testing.T) {
	type H = *scheduler.Host
	aggregates := func(as ...scheduler.Aggregate) func(H) { return func(h H) { h.Aggregates = as } }
	attr := func(k, v string) func(H) { return func(h H) { h.Attributes = map[string]string{k: v} } }
	guest := func(g ...scheduler.Guest) func(H) { return func(h H) { h.Supported = g } }
	spec := func(k, v string) scheduler.Request {
		return scheduler.Request{ExtraSpecs: map[string]string{k: v}}
	}
	image := func(kv ...string) scheduler.Request {
		r := scheduler.Request{ImageProperties: map[string]string{}}
		for i := 0; i < len(kv); i += 2 {
			r.ImageProperties[kv[i]] = kv[i+1]
		}
		return r
	}
	wants := func(class string, n int64) scheduler.Request {
		return scheduler.Request{Resources: scheduler.Resources{class: n}}
	}
	kvm := scheduler.Guest{Arch: "x86_64", HVType: "kvm", VMMode: "hvm"}

	for _, c := range []struct {
		name   string
		filter scheduler.Filter
		host   func(H)
		req    scheduler.Request
		reason string // empty: passes
	}{
		{"up and enabled", nil, func(H) {}, scheduler.Request{}, ""},
		{"down", nil, func(h H) { h.Up = false }, scheduler.Request{}, "down"},
		{"disabled", nil, func(h H) { h.Enabled = false }, scheduler.Request{}, "disabled"},
		{"down and disabled", nil, func(h H) { h.Up, h.Enabled = false, false }, scheduler.Request{}, "down"},

		{"cores by ratio 16", nil, func(H) {}, wants(scheduler.VCPU, 128), ""},
		{"cores beyond the ratio", nil, func(H) {}, wants(scheduler.VCPU, 129), "lack VCPUs"},
		{"memory by ratio 1.5", nil, func(H) {}, wants(scheduler.MemoryMB, 24576), ""},
		{"memory beyond the ratio", nil, func(H) {}, wants(scheduler.MemoryMB, 24577), "lack memory"},
		{"disk by ratio 1", nil, func(H) {}, wants(scheduler.DiskGB, 100), ""},
		{"disk beyond", nil, func(H) {}, wants(scheduler.DiskGB, 101), "lack disk"},
		{"own ratio", nil, func(h H) { h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: 8, Ratio: 1} }, wants(scheduler.VCPU, 9), "lack VCPUs"},
		{"aggregate ratio", nil, aggregates(meta("cpu_allocation_ratio", "4"), meta("cpu_allocation_ratio", "2")), wants(scheduler.VCPU, 17), "lack VCPUs"},
		{"aggregate ratio fits", nil, aggregates(meta("cpu_allocation_ratio", "2")), wants(scheduler.VCPU, 16), ""},
		{"bad aggregate ratio is passed over", nil, aggregates(meta("cpu_allocation_ratio", "x")), wants(scheduler.VCPU, 128), ""},
		{"reserved", nil, func(h H) { h.Inventory[scheduler.DiskGB] = scheduler.Inventory{Total: 100, Reserved: 20} }, wants(scheduler.DiskGB, 81), "lack disk"},
		{"used", nil, func(h H) { h.Used[scheduler.DiskGB] = 50 }, wants(scheduler.DiskGB, 51), "lack disk"},
		{"overcommitted, nothing wanted", nil, func(h H) { h.Used[scheduler.DiskGB] = 500 }, wants(scheduler.VCPU, 1), ""},
		{"max unit", nil, func(h H) { h.Inventory[scheduler.VCPU] = scheduler.Inventory{Total: 8, MaxUnit: 8} }, wants(scheduler.VCPU, 9), "do not give that amount of VCPUs to one server"},
		{"min unit", nil, func(h H) { h.Inventory[scheduler.DiskGB] = scheduler.Inventory{Total: 100, MinUnit: 10} }, wants(scheduler.DiskGB, 9), "do not give that amount of disk to one server"},
		{"step size", nil, func(h H) { h.Inventory[scheduler.DiskGB] = scheduler.Inventory{Total: 100, StepSize: 10} }, wants(scheduler.DiskGB, 15), "do not give that amount of disk to one server"},
		{"custom class", nil, func(h H) { h.Inventory["CUSTOM_GPU"] = scheduler.Inventory{Total: 2} }, wants("CUSTOM_GPU", 2), ""},
		{"custom class beyond", nil, func(h H) { h.Inventory["CUSTOM_GPU"] = scheduler.Inventory{Total: 2} }, wants("CUSTOM_GPU", 3), "lack CUSTOM_GPU"},
		{"custom class absent", nil, func(H) {}, wants("CUSTOM_GPU", 1), "lack CUSTOM_GPU"},

		{"zone", scheduler.AvailabilityZoneFilter{}, func(h H) { h.Zone = "az1" }, scheduler.Request{Zone: "az1"}, ""},
		{"other zone", scheduler.AvailabilityZoneFilter{}, func(h H) { h.Zone = "az1" }, scheduler.Request{Zone: "az2"}, "in another zone"},
		{"zone of an aggregate", scheduler.AvailabilityZoneFilter{}, aggregates(meta("availability_zone", "az1")), scheduler.Request{Zone: "az1"}, ""},
		{"no zone is nova", scheduler.AvailabilityZoneFilter{}, func(H) {}, scheduler.Request{Zone: "nova"}, ""},
		{"no zone is not az1", scheduler.AvailabilityZoneFilter{}, func(H) {}, scheduler.Request{Zone: "az1"}, "in another zone"},

		{"architecture", scheduler.ImagePropertiesFilter{}, guest(kvm), image("hw_architecture", "x86_64", "img_hv_type", "kvm", "hw_vm_mode", "hvm"), ""},
		{"architecture by another name", scheduler.ImagePropertiesFilter{}, guest(kvm), image("architecture", "amd64"), ""},
		{"other architecture", scheduler.ImagePropertiesFilter{}, guest(kvm), image("hw_architecture", "aarch64"), "cannot run the image"},
		{"other hypervisor", scheduler.ImagePropertiesFilter{}, guest(kvm), image("img_hv_type", "xen"), "cannot run the image"},
		{"other mode", scheduler.ImagePropertiesFilter{}, guest(kvm), image("hw_vm_mode", "xen"), "cannot run the image"},
		{"all from one kind of guest", scheduler.ImagePropertiesFilter{}, guest(kvm, scheduler.Guest{Arch: "i686", HVType: "xen", VMMode: "xen"}), image("hw_architecture", "x86_64", "img_hv_type", "xen"), "cannot run the image"},
		{"nothing asked of a host that says nothing", scheduler.ImagePropertiesFilter{}, func(H) {}, image("os_distro", "debian"), ""},
		{"asked of a host that says nothing", scheduler.ImagePropertiesFilter{}, func(H) {}, image("hw_architecture", "x86_64"), "cannot run the image"},
		{"hypervisor version", scheduler.ImagePropertiesFilter{}, func(h H) {
			h.Supported, h.Attributes = []scheduler.Guest{kvm}, map[string]string{"hypervisor_version": "6002000"}
		}, image("img_hv_type", "kvm", "img_hv_requested_version", ">=6.0, <6.3"), ""},
		{"other hypervisor version", scheduler.ImagePropertiesFilter{}, func(h H) {
			h.Supported, h.Attributes = []scheduler.Guest{kvm}, map[string]string{"hypervisor_version": "6002000"}
		}, image("img_hv_type", "kvm", "img_hv_requested_version", ">=6.3"), "have another hypervisor version than the image needs"},

		{"required trait", scheduler.TraitFilter{}, func(h H) { h.Traits = []string{"HW_B", "HW_A"} }, spec("trait:HW_A", "required"), ""},
		{"required trait absent", scheduler.TraitFilter{}, func(H) {}, spec("trait:HW_A", "required"), "lack a required trait"},
		{"trait of the image", scheduler.TraitFilter{}, func(H) {}, image("trait:HW_A", "required"), "lack a required trait"},
		{"forbidden trait", scheduler.TraitFilter{}, func(h H) { h.Traits = []string{"HW_A"} }, spec("trait:HW_A", "forbidden"), "have a forbidden trait"},

		{"capability", scheduler.ComputeCapabilitiesFilter{}, attr("hypervisor_type", "QEMU"), spec("capabilities:hypervisor_type", "s== QEMU"), ""},
		{"capability differs", scheduler.ComputeCapabilitiesFilter{}, attr("hypervisor_type", "QEMU"), spec("capabilities:hypervisor_type", "s!= QEMU"), "do not meet a capability of the flavor"},
		{"capability absent", scheduler.ComputeCapabilitiesFilter{}, func(H) {}, spec("capabilities:hypervisor_type", "QEMU"), "lack a capability of the flavor"},
		{"unscoped and absent", scheduler.ComputeCapabilitiesFilter{}, func(H) {}, spec("gold", "true"), ""},
		{"unscoped and different", scheduler.ComputeCapabilitiesFilter{}, attr("gold", "false"), spec("gold", "true"), "do not meet a capability of the flavor"},
		{"another scope", scheduler.ComputeCapabilitiesFilter{}, func(H) {}, spec("hw:watchdog_action", "reset"), ""},
		{"inside JSON", scheduler.ComputeCapabilitiesFilter{}, attr("cpu_info", `{"features":["aes","avx"],"topology":{"cores":4}}`), spec("capabilities:cpu_info:features", "<in> aes"), ""},
		{"deep inside JSON", scheduler.ComputeCapabilitiesFilter{}, attr("cpu_info", `{"topology":{"cores":4}}`), spec("capabilities:cpu_info:topology:cores", ">= 5"), "do not meet a capability of the flavor"},
		{"not JSON", scheduler.ComputeCapabilitiesFilter{}, attr("cpu_info", `{`), spec("capabilities:cpu_info:features", "x"), "lack a capability of the flavor"},
		{"free memory", scheduler.ComputeCapabilitiesFilter{}, func(h H) { h.Used[scheduler.MemoryMB] = 384 }, spec("capabilities:free_ram_mb", ">= 16000"), ""},

		{"aggregate extra spec", scheduler.AggregateInstanceExtraSpecsFilter{}, aggregates(meta("ssd", "true, yes")), spec("aggregate_instance_extra_specs:ssd", "yes"), ""},
		{"aggregate extra spec differs", scheduler.AggregateInstanceExtraSpecsFilter{}, aggregates(meta("ssd", "no")), spec("ssd", "yes"), "not in an aggregate for the flavor"},
		{"aggregate extra spec absent", scheduler.AggregateInstanceExtraSpecsFilter{}, func(H) {}, spec("ssd", "yes"), "not in an aggregate for the flavor"},
		{"isolated for others", scheduler.AggregateMultiTenancyIsolation{}, aggregates(meta("filter_tenant_id", "p2,p3")), scheduler.Request{ProjectID: "p1"}, "kept for other projects"},
		{"isolated for us", scheduler.AggregateMultiTenancyIsolation{}, aggregates(meta("filter_tenant_id", "p2, p1")), scheduler.Request{ProjectID: "p1"}, ""},
		{"too many servers", scheduler.NumInstancesFilter{Max: 3}, func(h H) { h.NumInstances = 3 }, scheduler.Request{}, "have too many servers"},
		{"too many for the aggregate", scheduler.NumInstancesFilter{}, func(h H) { h.NumInstances = 2; aggregates(meta("max_instances_per_host", "2"))(h) }, scheduler.Request{}, "have too many servers"},
		{"too busy", scheduler.IoOpsFilter{}, func(h H) { h.NumIOOps = 8 }, scheduler.Request{}, "busy with builds and moves"},
		{"just not too busy", scheduler.IoOpsFilter{}, func(h H) { h.NumIOOps = 7 }, scheduler.Request{}, ""},

		{"same host", scheduler.SameHostFilter{}, func(H) {}, scheduler.Request{Hints: map[string][]string{"same_host": {"s0", "s1"}}, ServerHosts: map[string]string{"s1": "h1"}}, ""},
		{"not the same host", scheduler.SameHostFilter{}, func(H) {}, scheduler.Request{Hints: map[string][]string{"same_host": {"s1"}}}, "not the host of the server named by same_host"},
		{"different host", scheduler.DifferentHostFilter{}, func(H) {}, scheduler.Request{Hints: map[string][]string{"different_host": {"s1"}}}, ""},
		{"not a different host", scheduler.DifferentHostFilter{}, func(H) {}, scheduler.Request{Hints: map[string][]string{"different_host": {"s1"}}, ServerHosts: map[string]string{"s1": "h1"}}, "host of a server named by different_host"},

		{"affinity, first member", scheduler.ServerGroupAffinityFilter{}, func(H) {}, scheduler.Request{Group: &scheduler.Group{Policy: scheduler.Affinity}}, ""},
		{"affinity, here", scheduler.ServerGroupAffinityFilter{}, func(H) {}, scheduler.Request{Group: &scheduler.Group{Policy: scheduler.Affinity, MembersByHost: map[string]int{"h1": 1}}}, ""},
		{"affinity, elsewhere", scheduler.ServerGroupAffinityFilter{}, func(H) {}, scheduler.Request{Group: &scheduler.Group{Policy: scheduler.Affinity, MembersByHost: map[string]int{"gone": 1}}}, "not the host of the server group"},
		{"anti-affinity, elsewhere", scheduler.ServerGroupAntiAffinityFilter{}, func(H) {}, scheduler.Request{Group: &scheduler.Group{Policy: scheduler.AntiAffinity, MembersByHost: map[string]int{"h2": 1}}}, ""},
		{"anti-affinity, here", scheduler.ServerGroupAntiAffinityFilter{}, func(H) {}, scheduler.Request{Group: &scheduler.Group{Policy: scheduler.AntiAffinity, MembersByHost: map[string]int{"h1": 1}}}, "already have enough of the server group"},
		{"anti-affinity, one more", scheduler.ServerGroupAntiAffinityFilter{}, func(H) {}, scheduler.Request{Group: &scheduler.Group{Policy: scheduler.AntiAffinity, MaxServerPerHost: 2, MembersByHost: map[string]int{"h1": 1}}}, ""},

		{"forced", nil, func(h H) { h.Name = "compute1" }, scheduler.Request{ForcedHost: "compute1"}, ""},
		{"forced elsewhere", nil, func(h H) { h.Name = "compute1" }, scheduler.Request{ForcedHost: "compute2"}, "not the host asked for"},
		{"forced onto a host in another zone", scheduler.AvailabilityZoneFilter{}, func(H) {}, scheduler.Request{ForcedHost: "h1", Zone: "az9"}, ""},
		{"forced onto a host without cells", nil, func(H) {}, scheduler.Request{
			ForcedNode: "h1", Resources: scheduler.Resources{scheduler.VCPU: 2}, ExtraSpecs: map[string]string{"hw:numa_nodes": "1"},
		}, "without NUMA cells"},
		{"forced onto a host without devices", nil, func(H) {}, scheduler.Request{ForcedNode: "h1", PCI: []scheduler.PCIRequest{{Count: 1}}}, "lack PCI devices"},
		{"realtime", nil, func(H) {}, spec("hw:cpu_realtime", "yes"), "do not offer hw:cpu_realtime"},
		{"not realtime", nil, func(H) {}, spec("hw:cpu_realtime", "no"), ""},
		{"an image's module", nil, func(H) {}, scheduler.Request{ImageProperties: map[string]string{"hw_tpm_version": "2.0"}}, "do not offer hw_tpm_version"},
		{"forced secure boot", nil, func(H) {}, scheduler.Request{ForcedHost: "h1", ExtraSpecs: map[string]string{"os:secure_boot": "required"}}, "do not offer os:secure_boot"},
		{"forced onto a full host", nil, func(H) {}, scheduler.Request{ForcedNode: "h1", Resources: scheduler.Resources{scheduler.DiskGB: 101}}, "lack disk"},
		{"requested in another zone", scheduler.AvailabilityZoneFilter{}, func(H) {}, scheduler.Request{RequestedHost: "h1", Zone: "az9"}, "in another zone"},
		{"refused", nil, func(H) {}, scheduler.Request{Refused: map[string]string{"h1": "filled up meanwhile"}}, "filled up meanwhile"},
		{"another refused", nil, func(H) {}, scheduler.Request{Refused: map[string]string{"h2": "filled up meanwhile"}}, ""},
		{"ignored", nil, func(H) {}, scheduler.Request{IgnoreHosts: []string{"h1"}}, "excluded by the request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			filters := []scheduler.Filter{}
			if c.filter != nil {
				filters = append(filters, c.filter)
			}
			s, err := scheduler.New(scheduler.Config{Filters: filters})
			require.NoError(t, err)
			snap := snapshot(t, host("h1", c.host))
			d, err := s.Select(snap, c.req, scheduler.Options{})
			j, jerr := s.Judge(snap, c.req, []string{"h1", "unknown"})
			require.NoError(t, jerr)
			require.Len(t, j, 1)
			if c.reason == "" {
				require.NoError(t, err)
				require.Equal(t, "h1", d.Choices[0].Host.ID)
				require.True(t, j[0].Passed)
				return
			}
			require.Error(t, err)
			require.Equal(t, c.reason, d.Explanation.Nearest.Verdicts[0].Reason)
			require.Equal(t, c.reason, j[0].Verdicts[0].Reason)
			require.Contains(t, d.Explanation.Summary(), "1 "+c.reason)
		})
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		value, req string
		want       bool
	}{
		{"1", "1", true},
		{"", "1", false},
		{"3", "1", false},
		{"222", "2", false},
		{"4", "> 2", false}, // Nova has no such operator: the text is compared
		{"2", "= 2", true},
		{"3", "= 2", true},
		{"1", "= 2", false},
		{"abc", "= 2", false},
		{"123", "== 123", true},
		{"123.0", "== 123", true},
		{"124", "== 123", false},
		{"124", "!= 123", true},
		{"123", "!= 123", false},
		{"234", ">= 234", true},
		{"1000", ">= 234", true},
		{"233", ">= 234", false},
		{"2", "<= 2", true},
		{"3", "<= 2", false},
		{"123", "s== 123", true},
		{"1234", "s== 123", false},
		{"1234", "s!= 123", true},
		{"1000", "s>= 234", false},
		{"2", "s> 11", true},
		{"12", "s< 2", true},
		{"b", "s<= a", false},
		{"12311321", "<in> 11", true},
		{"12310321", "<in> 11", false},
		{"x", "<in> x y", true},
		{"12", "<or> 11 <or> 12", true},
		{"13", "<or> 11 <or> 12", false},
		{"11", "<or> 11", true},
		{"", "<or>", false},
		{"['aes', 'mmx', 'aux']", "<all-in> aes mmx", true},
		{"['aes', 'mmx']", "<all-in> aes txt", false},
		{"x", "<all-in>", false},
		{"x", "==", false},
		{"x", "s==", false},
		{"", "", true},
		{" ", "", false},
	} {
		require.Equal(t, c.want, scheduler.Match(c.value, c.req), "%q %q", c.value, c.req)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("1", "<or> 1 <or>")
	f.Add("['a']", "<all-in> a")
	f.Add("0x1p-2", "== .25")
	f.Fuzz(func(t *testing.T, value, req string) {
		scheduler.Match(value, req) // must not panic
		words := strings.Fields(value)
		if len(words) == 0 {
			return
		}
		w := words[0]
		for _, op := range []string{"s== ", "s>= ", "s<= ", "<in> ", "<or> ", "<all-in> "} {
			require.True(t, scheduler.Match(w, op+w), "%s%s", op, w)
		}
		require.False(t, scheduler.Match(w, "s!= "+w))
	})
}
