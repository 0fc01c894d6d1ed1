package compute

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// extraSpec describes the extra specs that Nova documents, whose values are
// checked since microversion 2.86.
type extraSpec struct {
	name  string // a regular expression
	kind  string // int, bool, text
	lo    int    // of an int; -1: it has no minimum
	hi    int    // 0: no maximum
	match string // of a text
	oneOf string // of a text, separated by blanks
}

const (
	levels = "custom high normal low"
	cpuSet = `\^?\d+((-\d+)?(,\^?\d+(-\d+)?)?)*`
	group  = `([a-zA-Z0-9_-]{1,64})?`
)

// extraSpecs is the table of the Compute API's extra specs.
func extraSpecs() []extraSpec {
	list := []extraSpec{
		{name: "accel:device_profile"},
		{name: "aggregate_instance_extra_specs:.+"},
		{name: "vmware:(hw_version|storage_policy)"},
		{name: "capabilities:(id|uuid|service_id|host|vcpus|memory_mb|local_gb|vcpus_used|memory_mb_used|local_gb_used|" +
			"hypervisor_type|hypervisor_version|hypervisor_hostname|free_ram_mb|free_disk_gb|current_workload|running_vms|" +
			"disk_available_least|host_ip|mapped|cpu_allocation_ratio|ram_allocation_ratio|disk_allocation_ratio|" +
			"total_usable_ram_mb|total_usable_disk_gb|disk_mb_used|free_disk_mb|vcpus_total|num_instances|num_io_ops|" +
			"failed_builds|aggregates|cell_uuid|updated)"},
		{name: `capabilities:(cpu_info|metrics|stats|numa_topology|supported_hv_specs|pci_device_pools|nodename|pci_stats|` +
			`supported_instances|limits|instances)(:\w+)*`},
		{name: "hide_hypervisor_id", kind: "bool"},
		{name: "group_policy", oneOf: "isolate none"},
		{name: "hw:cpu_realtime|hw:hide_hypervisor_id|hw:locked_memory|hw:boot_menu|hw:vif_multiqueue_enabled|" +
			"hw:mem_encryption|hw:pmu|hw:ephemeral_encryption|hw_rng:allowed", kind: "bool"},
		{name: "hw:cpu_realtime_mask", match: `(\^)?\d+((-\d+)?(,\^?\d+(-\d+)?)?)*`},
		{name: "hw:cpu_policy", oneOf: "dedicated shared mixed"},
		{name: "hw:cpu_thread_policy", oneOf: "prefer isolate require"},
		{name: "hw:emulator_threads_policy", oneOf: "isolate share"},
		{name: `hw:cpu_dedicated_mask|hw:numa_cpus\.\d+`, match: cpuSet},
		{name: "hw:mem_page_size", match: `(large|small|any|\d+([kKMGT]i?)?(b|bit|B)?)`},
		{name: `hw:(numa_nodes|numa_mem\.\d+|cpu_sockets|cpu_cores|cpu_threads|max_cpu_sockets|max_cpu_cores|max_cpu_threads)`, kind: "int", lo: 1},
		{name: "hw:pci_numa_affinity_policy", oneOf: "required preferred legacy socket"},
		{name: "hw:pmem", match: `([a-zA-Z0-9_]+(,)?)+`},
		{name: "hw:serial_port_count|hw_rng:rate_bytes|hw_rng:rate_period|hw_video:ram_max_mb", kind: "int"},
		{name: "hw:tpm_model", oneOf: "tpm-tis tpm-crb"},
		{name: "hw:tpm_version", oneOf: "1.2 2.0"},
		{name: "hw:watchdog_action", oneOf: "none pause poweroff reset disabled"},
		{name: "hw:viommu_model", oneOf: "intel smmuv3 virtio auto"},
		{name: "hw:ephemeral_encryption_format", oneOf: "plain luks"},
		{name: "os:secure_boot", oneOf: "disabled required"},
		{name: "os:resolution", oneOf: "1024x768 1280x1024 1600x1200 1920x1200 2560x1600 3840x2160"},
		{name: "os:monitors", kind: "int", lo: 1, hi: 8},
		{name: "os:vram", oneOf: "64 128 256 512 1024"},
		{name: "pci_passthrough:alias", match: `[^:]+:\d+(?:\s*,\s*[^:]+:\d+)*`},
		{name: "quota:(cpu|memory|disk_io|vif)_shares_level", oneOf: levels},
		{name: "quota:(cpu|memory|disk_io|vif)_(limit|shares_share)|quota:cpu_(shares|period)|" +
			"quota:disk_(read|write|total)_(bytes|iops)_sec|quota:vif_(inbound|outbound)_(average|peak|burst)", kind: "int"},
		{name: "quota:(cpu|memory|disk_io|vif)_reservation|quota:cpu_quota", kind: "int", lo: -1},
		{name: "resources" + group + ":[A-Z0-9_]+", kind: "int", lo: -1},
		{name: "trait" + group + ":[A-Z0-9_]+", oneOf: "required forbidden"},
	}
	return list
}

// namespaces are the known first parts of keys.
const namespaces = "accel|aggregate_instance_extra_specs|vmware|capabilities|hw|hw_rng|hw_video|os|pci_passthrough|quota|resources" + group + "|trait" + group

type compiledSpec struct {
	extraSpec
	name, match *regexp.Regexp
}

// compiledSpecs makes the table ready once.
var compiledSpecs = sync.OnceValues(func() ([]compiledSpec, *regexp.Regexp) {
	var out []compiledSpec
	for _, e := range extraSpecs() {
		c := compiledSpec{extraSpec: e, name: regexp.MustCompile("^(?:" + e.name + ")$")}
		if e.match != "" {
			c.match = regexp.MustCompile("^(?:" + e.match + ")$")
		}
		out = append(out, c)
	}
	return out, regexp.MustCompile("^(?:" + namespaces + ")$")
})

// checkExtraSpec refuses a value that a documented key cannot have, and an
// undocumented key in a documented namespace.
func checkExtraSpec(key, value string) error {
	specs, known := compiledSpecs()
	for _, c := range specs {
		if c.name.MatchString(key) {
			return c.check(value)
		}
	}
	if namespace, _, ok := strings.Cut(key, ":"); ok && known.MatchString(namespace) {
		return invalid("Validation failed; extra spec '%s' does not appear to be a valid extra spec.", clip(key)).WithField(key)
	}
	return nil
}

func (c *compiledSpec) check(value string) error {
	fail := func(format string, args ...any) error {
		return invalid("Validation failed; "+format, args...).WithField("extra_specs")
	}
	v := clip(value)
	switch c.kind {
	case "int":
		n, err := strconv.Atoi(strings.TrimSpace(value))
		switch {
		case err != nil:
			return fail("'%s' is not a valid integer value.", v)
		case c.hi > 0 && n > c.hi:
			return fail("'%s' is greater than the max value of '%d'.", v, c.hi)
		case c.lo >= 0 && n < c.lo:
			return fail("'%s' is less than the min value of '%d'.", v, c.lo)
		}
	case "bool":
		if !slices.Contains(strings.Fields("1 t true on y yes 0 f false off n no"), strings.ToLower(strings.TrimSpace(value))) {
			return fail("'%s' is not a valid boolean-like value.", v)
		}
	default:
		if c.match != nil && !c.match.MatchString(value) {
			return fail("'%s' is not of the format '%s'.", v, c.extraSpec.match)
		}
		if list := strings.Fields(c.oneOf); len(list) > 0 && !slices.Contains(list, value) {
			return fail("'%s' is not one of: %s.", v, strings.Join(list, ", "))
		}
	}
	return nil
}
