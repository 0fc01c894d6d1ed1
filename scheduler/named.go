package scheduler

import (
	"maps"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// AllHostsFilter lets every host pass.
type AllHostsFilter struct{}

// Name implements [Filter].
func (AllHostsFilter) Name() string { return "AllHostsFilter" }

// Prepare implements [Filter].
func (AllHostsFilter) Prepare(*Request) Check { return Check{} }

// namedFilters are this package's filters by Nova's names, with their defaults.
func namedFilters() map[string]Filter {
	out := map[string]Filter{}
	for _, f := range []Filter{
		AllHostsFilter{},
		ComputeFilter{},
		ResourceFilter{},
		AvailabilityZoneFilter{},
		ComputeCapabilitiesFilter{},
		ImagePropertiesFilter{},
		TraitFilter{},
		SameHostFilter{},
		DifferentHostFilter{},
		ServerGroupAffinityFilter{},
		ServerGroupAntiAffinityFilter{},
		SimpleCIDRAffinityFilter{},
		AggregateImagePropertiesIsolation{},
		AggregateInstanceExtraSpecsFilter{},
		AggregateMultiTenancyIsolation{},
		AggregateTypeAffinityFilter{},
		IsolatedHostsFilter{},
		IoOpsFilter{},
		NumInstancesFilter{},
		JSONFilter{},
		MetricsFilter{},
		NUMATopologyFilter{},
		PciPassthroughFilter{},
	} {
		out[f.Name()] = f
	}
	// These three are parts of ResourceFilter, and aggregates' own limits of the
	// plain filters.
	for old, now := range map[string]Filter{
		"CoreFilter": ResourceFilter{}, "RamFilter": ResourceFilter{}, "DiskFilter": ResourceFilter{},
		"AggregateCoreFilter": ResourceFilter{}, "AggregateRamFilter": ResourceFilter{}, "AggregateDiskFilter": ResourceFilter{},
		"AggregateIoOpsFilter": IoOpsFilter{}, "AggregateNumInstancesFilter": NumInstancesFilter{},
	} {
		out[old] = now
	}
	return out
}

// FilterNames returns the names that [FilterNamed] knows, sorted.
func FilterNames() []string { return slices.Sorted(maps.Keys(namedFilters())) }

// FilterNamed returns a filter of this package by the name that Nova's option
// enabled_filters has for it, with its defaults. It fails with
// nephos.ErrInvalid if there is none.
func FilterNamed(name string) (Filter, error) {
	if f := namedFilters()[name]; f != nil {
		return f, nil
	}
	return nil, nephos.Errorf(nephos.ErrInvalid, "there is no filter %.64q: use some of %s", name, strings.Join(FilterNames(), ", ")).WithField("filters")
}

// FiltersNamed returns filters in the order of their names, each once.
func FiltersNamed(names ...string) ([]Filter, error) {
	out := []Filter{}
	seen := map[string]bool{}
	for _, name := range names {
		f, err := FilterNamed(name)
		if err != nil {
			return nil, err
		}
		if !seen[f.Name()] {
			out = append(out, f)
		}
		seen[f.Name()] = true
	}
	return out, nil
}

func namedWeighers() map[string]WeigherConfig {
	out := map[string]WeigherConfig{}
	for _, c := range append(DefaultWeighers(),
		WeigherConfig{PCIWeigher{}, 1, "pci_weight_multiplier"},
		WeigherConfig{NumInstancesWeigher{}, 0, "num_instances_weight_multiplier"},
		WeigherConfig{HypervisorVersionWeigher{}, 1, "hypervisor_version_weight_multiplier"},
		WeigherConfig{LoadWeigher{}, 1, ""},
	) {
		out[c.Weigher.Name()] = c
	}
	return out
}

// WeigherNames returns the names that [WeigherNamed] knows, sorted.
func WeigherNames() []string { return slices.Sorted(maps.Keys(namedWeighers())) }

// WeigherNamed returns a weigher of this package by its name, with Nova's
// default multiplier. It fails with nephos.ErrInvalid if there is none.
func WeigherNamed(name string) (WeigherConfig, error) {
	if c, ok := namedWeighers()[name]; ok {
		return c, nil
	}
	return WeigherConfig{}, nephos.Errorf(nephos.ErrInvalid, "there is no weigher %.64q: use some of %s", name, strings.Join(WeigherNames(), ", ")).WithField("weighers")
}
