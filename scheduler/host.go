package scheduler

import (
	"fmt"
	"maps"
	"math"

	"github.com/nephos-cloud/nephos"
)

// Host is one host as the scheduler sees it: plain data that the owner of the
// host's record puts into a [Snapshot].
type Host struct {
	// ID identifies the host in the snapshot, in claims, and in a request's
	// IgnoreHosts, MembersByHost and ServerHosts.
	ID string
	// Name is the name that users and operators force a host by; empty means ID.
	Name string
	// Node is the hypervisor's own host name; empty means Name.
	Node string
	// Zone is the availability zone; empty means that of the aggregates'
	// metadata (availability_zone), or else the zone filter's default.
	Zone       string
	Aggregates []Aggregate

	// Enabled is false while an operator keeps new servers away; Up is false
	// while the host does not report.
	Enabled, Up    bool
	DisabledReason string

	Inventory map[string]Inventory
	Used      Resources

	// Traits are names like HW_CPU_X86_AVX2 and CUSTOM_GOLD.
	Traits []string
	// Attributes are facts by their Nova names: hypervisor_type,
	// hypervisor_version, hypervisor_hostname, cpu_info (JSON) and so on.
	Attributes map[string]string
	// Supported lists what kinds of guest the host runs.
	Supported []Guest

	NumInstances, NumIOOps, FailedBuilds int

	// NUMA describes the host's NUMA cells, for [NUMATopologyFilter].
	NUMA []NUMACell
	// PCI lists the devices that servers may be given, for
	// [PciPassthroughFilter].
	PCI []PCIPool
	// Metrics are measurements by name, such as cpu.user.percent, for
	// [MetricsWeigher].
	Metrics map[string]float64
	// Pool is set if this is not a host of servers but a pool of storage.
	Pool *Pool

	// Generation rises with each change of the host's record; Put refuses an
	// older one. 0 is never older.
	Generation int64
}

// Aggregate is a group of hosts with metadata.
type Aggregate struct {
	ID       string
	Name     string
	Metadata map[string]string
}

// Guest is a kind of guest that a host runs: architecture, virtualization type
// and mode, by Nova's names ("x86_64", "kvm", "hvm").
type Guest struct {
	Arch, HVType, VMMode string
}

// HostRef names a host.
type HostRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Zone string `json:"zone,omitempty"`
}

// Bounds on one host, which keep what comes from outside from filling memory.
const (
	maxName       = 255
	maxClasses    = 256
	maxTraits     = 1024
	maxAttributes = 1024
	maxAggregates = 256
	maxGuests     = 256
)

func (h *Host) check() error {
	bad := func(field string) error {
		return nephos.Errorf(nephos.ErrInvalid, "host %.64q has an invalid or too large %s", h.ID, field).WithField(field)
	}
	switch {
	case h.ID == "" || len(h.ID) > maxName:
		return bad("id")
	case len(h.Name) > maxName || len(h.Node) > maxName || len(h.Zone) > maxName:
		return bad("name")
	case len(h.Inventory) > maxClasses || len(h.Used) > maxClasses:
		return bad("inventory")
	case len(h.Traits) > maxTraits:
		return bad("traits")
	case len(h.Attributes) > maxAttributes:
		return bad("attributes")
	case len(h.Aggregates) > maxAggregates:
		return bad("aggregates")
	case len(h.Supported) > maxGuests:
		return bad("supported")
	case len(h.Metrics) > maxAttributes:
		return bad("metrics")
	case h.NumInstances < 0 || h.NumIOOps < 0 || h.FailedBuilds < 0 ||
		h.NumInstances > 1<<30 || h.NumIOOps > 1<<30 || h.FailedBuilds > 1<<30:
		return bad("counters")
	}
	for class, inv := range h.Inventory {
		if err := checkClass(class); err != nil {
			return err
		}
		if err := inv.check(class); err != nil {
			return err
		}
	}
	for name, value := range h.Metrics {
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nephos.Errorf(nephos.ErrInvalid, "host %.64q: metric %.64q is not a number", h.ID, name).WithField("metrics")
		}
	}
	if err := checkNUMA(h.NUMA); err != nil {
		return fmt.Errorf("host %.64q: %w", h.ID, err)
	}
	if err := checkPCI(h.PCI); err != nil {
		return fmt.Errorf("host %.64q: %w", h.ID, err)
	}
	if h.Pool != nil {
		if err := h.Pool.check(); err != nil {
			return err
		}
	}
	return h.Used.check("use")
}

// Inventories returns all that the host has by resource class: Inventory, and
// what its NUMA cells and PCI pools have under classes of their own, which
// replace those in Inventory. Whoever keeps claims keeps these. The cells have the
// host's ratios, by the given defaults; see [Host.Ratio].
func (h *Host) Inventories(defaults map[string]float64) map[string]Inventory {
	if len(h.NUMA) == 0 && len(h.PCI) == 0 {
		return h.Inventory
	}
	all := maps.Clone(h.Inventory)
	if all == nil {
		all = map[string]Inventory{}
	}
	for _, c := range h.NUMA {
		c.inventories(all, h.Ratio(VCPU, defaults), h.Ratio(MemoryMB, defaults))
	}
	for _, p := range h.PCI {
		all[p.Class()] = Inventory{Total: p.Count, Ratio: 1}
	}
	return all
}
