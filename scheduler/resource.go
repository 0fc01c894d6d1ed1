package scheduler

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/nephos-cloud/nephos"
)

// The resource classes that every host has. Others are as good: any standard
// class of Placement, or a class of one's own that begins with CUSTOM_.
const (
	VCPU     = "VCPU"
	MemoryMB = "MEMORY_MB" // in MiB
	DiskGB   = "DISK_GB"   // in GiB
	PCPU     = "PCPU"      // CPUs that a server has for itself
)

// maxAmount bounds every amount, so that sums of them cannot overflow.
const maxAmount = 1 << 53

// Resources are amounts by resource class. A class with amount 0 is as good as
// absent.
type Resources map[string]int64

// Add returns the sum of both; neither is changed.
func (r Resources) Add(o Resources) Resources {
	sum := make(Resources, len(r)+len(o))
	maps.Copy(sum, r)
	for class, n := range o {
		sum[class] += n
	}
	return sum
}

// classes returns the classes in order, so that walks are reproducible.
func (r Resources) classes() []string { return slices.Sorted(maps.Keys(r)) }

// check says whether each class has a valid name and a sane amount.
func (r Resources) check(what string) error {
	for class, n := range r {
		if err := checkClass(class); err != nil {
			return err
		}
		if n < 0 || n > maxAmount {
			return nephos.Errorf(nephos.ErrInvalid, "%s of %s is %d, which is not between 0 and %d", what, class, n, int64(maxAmount)).WithField(class)
		}
	}
	return nil
}

// checkClass accepts the names that Placement accepts for a resource class.
func checkClass(class string) error {
	ok := class != "" && len(class) <= 255
	for i := range len(class) {
		c := class[i]
		ok = ok && (c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')
	}
	if !ok {
		return nephos.Errorf(nephos.ErrInvalid, "resource class %.64q is not a name of capital letters, digits and underscores", class)
	}
	return nil
}

// Inventory is what a host has of one resource class, with the meaning of
// Placement's inventories: (Total - Reserved) * Ratio may be handed out, in
// multiples of StepSize, and to one server between MinUnit and MaxUnit.
type Inventory struct {
	Total    int64
	Reserved int64
	// Ratio is the allocation ratio; 0 means the default of the class.
	Ratio float64
	// MinUnit and StepSize 0 mean 1; MaxUnit 0 means no bound for one server.
	MinUnit, MaxUnit, StepSize int64
}

// Capacity is what may be handed out under the given ratio, rounded down.
func (i Inventory) Capacity(ratio float64) int64 {
	c := math.Floor(float64(i.Total-i.Reserved) * ratio)
	return int64(min(max(c, 0), maxAmount))
}

// Fits says whether one server may have the amount from this inventory, apart
// from what is in use.
func (i Inventory) Fits(amount int64) bool {
	return amount >= max(i.MinUnit, 1) && (i.MaxUnit == 0 || amount <= i.MaxUnit) && amount%max(i.StepSize, 1) == 0
}

func (i Inventory) check(class string) error {
	bad := func(field string, v any) error {
		return nephos.Errorf(nephos.ErrInvalid, "inventory of %s has %s %v", class, field, v).WithField(field)
	}
	switch {
	case i.Total < 0 || i.Total > maxAmount:
		return bad("total", i.Total)
	case i.Reserved < 0 || i.Reserved > maxAmount:
		return bad("reserved", i.Reserved)
	case i.Ratio < 0 || i.Ratio > 1e6 || math.IsNaN(i.Ratio):
		return bad("allocation_ratio", i.Ratio)
	case i.MinUnit < 0 || i.MaxUnit < 0 || i.StepSize < 0:
		return bad("units", fmt.Sprint(i.MinUnit, i.MaxUnit, i.StepSize))
	}
	return nil
}

// DefaultRatios returns the allocation ratios that Nova used for its CoreFilter,
// RamFilter and DiskFilter: 16 for VCPU, 1.5 for MEMORY_MB, 1 for DISK_GB.
// Every other class has ratio 1.
func DefaultRatios() map[string]float64 {
	return map[string]float64{VCPU: 16, MemoryMB: 1.5, DiskGB: 1}
}

// ratioKeys are the keys of aggregate metadata that set a ratio for the
// aggregate's hosts; of several aggregates' values the smallest counts.
func ratioKey(class string) string {
	switch class {
	case VCPU:
		return "cpu_allocation_ratio"
	case MemoryMB:
		return "ram_allocation_ratio"
	case DiskGB:
		return "disk_allocation_ratio"
	}
	return ""
}

// Ratio returns the allocation ratio that holds for a class on this host: the
// smallest that its aggregates set (cpu_allocation_ratio, ram_allocation_ratio,
// disk_allocation_ratio), else the inventory's own, else that of defaults (nil:
// [DefaultRatios]), else 1.
func (h *Host) Ratio(class string, defaults map[string]float64) float64 {
	return h.ratio(class, h.Inventory[class], defaults)
}

func (h *Host) ratio(class string, inv Inventory, defaults map[string]float64) float64 {
	best := 0.0
	if key := ratioKey(class); key != "" {
		for _, a := range h.Aggregates {
			v, ok := a.Metadata[key]
			if !ok {
				continue
			}
			f, err := strconv.ParseFloat(v, 64)
			if err == nil && f > 0 && f <= 1e6 && (best == 0 || f < best) {
				best = f
			}
		}
	}
	if best > 0 {
		return best
	}
	if r := inv.Ratio; r > 0 {
		return r
	}
	if defaults == nil {
		defaults = DefaultRatios()
	}
	if r := defaults[class]; r > 0 {
		return r
	}
	return 1
}

// classWord is how people call a class.
func classWord(class string) string {
	switch class {
	case VCPU:
		return "VCPUs"
	case MemoryMB:
		return "memory"
	case DiskGB:
		return "disk"
	}
	return class
}

// amountOf writes an amount with its unit, as "512 MiB".
func amountOf(class string, n int64) string {
	s := strconv.FormatInt(n, 10)
	switch class {
	case MemoryMB:
		return s + " MiB"
	case DiskGB:
		return s + " GiB"
	case VCPU:
		if n == 1 {
			return "1 VCPU"
		}
		return s + " VCPUs"
	}
	return s + " " + class
}
