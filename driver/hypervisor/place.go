package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Topology is how a guest's processors look to it: Sockets of Cores of Threads
// each, whose product is the number of processors. All are positive, or all zero.
type Topology struct{ Sockets, Cores, Threads int }

// Cell is one NUMA cell of a guest, and where it is on the host.
type Cell struct {
	// Host is the id of the host's cell that all its memory comes from.
	Host int
	// MemoryMiB is the cell's part of the guest's memory.
	MemoryMiB int
	// PageKiB is the size of the huge pages that its memory is made of; 0 leaves
	// it in pages of the usual size.
	PageKiB int `json:",omitempty"`
	// Pins are the cell's processors, one each.
	Pins []Pin
}

// Pin says where one of a guest's processors runs: on any of the host's CPUs
// listed, and on no other.
type Pin struct {
	VCPU int   // of the guest, from 0
	CPUs []int // of the host; one, if the guest has it for itself
}

// Placement is where a running guest is, as the host tells, not as it was asked
// for.
type Placement struct {
	Pins  []Pin // by VCPU, rising
	Cells []int // the host's cell of each of the guest's, in their order
}

// Placer puts guests where Spec.NUMA says: Start returns once each processor runs
// on its pins only, and all memory comes from its cells. It keeps nobody else off
// these: who gives out the host's parts gives none twice.
//
// A driver that is one tells by [Host] what there is to give: cells, Dedicated
// processors for those who ask for their own, and Pages. Ensure refuses with
// ErrInvalid cells, processors or pages of a size that the host does not tell of,
// unless the guest has them already; see [Host.Holds].
type Placer interface {
	// Placement asks where a guest is. One that is off is ErrConflict.
	Placement(ctx context.Context, id string) (Placement, error)
}

// DevicePasser gives guests devices of the host, by Spec.PCI. Ensure refuses with
// ErrInvalid one that Host.PCI does not tell of, and Start with ErrConflict one
// that another guest has. A guest that has devices is not moved alive:
// CheckMigration is ErrConflict.
type DevicePasser interface {
	// Devices returns the addresses of the host's devices that a running guest
	// has, sorted. One that is off is ErrConflict.
	Devices(ctx context.Context, id string) ([]string, error)
}

var pciAddress = regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$`)

// Bounds on a guest's place.
const (
	maxCPU        = 1 << 20 // of the host
	maxGuestCells = 64
	maxGuestPCI   = 256
)

// validatePlace checks what says where a guest is.
func (s Spec) validatePlace() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	t := s.Topology
	if t != (Topology{}) && (t.Sockets < 1 || t.Cores < 1 || t.Threads < 1 || t.Sockets > s.VCPUs || t.Cores > s.VCPUs || t.Threads > s.VCPUs ||
		t.Sockets*t.Cores*t.Threads != s.VCPUs) {
		return bad("topology is %d sockets of %d cores of %d threads, which are not the %d vcpus", t.Sockets, t.Cores, t.Threads, s.VCPUs)
	}
	if len(s.NUMA) == 0 && len(s.EmulatorCPUs) > 0 {
		return bad("EmulatorCPUs is set for a guest without NUMA")
	}
	if len(s.NUMA) > maxGuestCells {
		return bad("numa has %d cells, at most %d fit", len(s.NUMA), maxGuestCells)
	}
	if err := checkCPUs(s.EmulatorCPUs); err != nil {
		return fmt.Errorf("EmulatorCPUs: %w", err)
	}
	memory, vcpus := 0, map[int]bool{}
	for i, c := range s.NUMA {
		switch {
		case c.Host < 0 || c.Host > maxCPU:
			return bad("numa[%d].Host is %d", i, c.Host)
		case c.MemoryMiB < 1 || c.MemoryMiB > s.MemoryMiB:
			return bad("numa[%d].MemoryMiB is %d, want a part of the guest's %d", i, c.MemoryMiB, s.MemoryMiB)
		case c.PageKiB < 0 || c.PageKiB > 1<<30 || c.PageKiB > 0 && c.MemoryMiB<<10%c.PageKiB != 0:
			return bad("numa[%d].PageKiB is %d, which does not divide %d MiB", i, c.PageKiB, c.MemoryMiB)
		}
		memory += c.MemoryMiB
		for _, p := range c.Pins {
			if p.VCPU < 0 || p.VCPU >= s.VCPUs || vcpus[p.VCPU] {
				return bad("numa[%d].Pins has processor %d, which is none of the guest's %d or there twice", i, p.VCPU, s.VCPUs)
			}
			vcpus[p.VCPU] = true
			if err := checkCPUs(p.CPUs); err != nil || len(p.CPUs) == 0 {
				return errors.Join(bad("numa[%d].Pins: processor %d has no valid list of the host's", i, p.VCPU), err)
			}
		}
	}
	if len(s.NUMA) > 0 && (memory != s.MemoryMiB || len(vcpus) != s.VCPUs) {
		return bad("numa has %d processors and %d MiB of the guest's %d and %d", len(vcpus), memory, s.VCPUs, s.MemoryMiB)
	}
	if len(s.PCI) > maxGuestPCI {
		return bad("pci has %d devices, at most %d fit", len(s.PCI), maxGuestPCI)
	}
	seen := map[string]bool{}
	for _, a := range s.PCI {
		if !pciAddress.MatchString(a) || seen[a] {
			return bad("pci has %.80q, want addresses such as 0000:81:00.0, each once", a)
		}
		seen[a] = true
	}
	return nil
}

func checkCPUs(cpus []int) error {
	seen := map[int]bool{}
	for _, c := range cpus {
		if c < 0 || c > maxCPU || seen[c] {
			return fmt.Errorf("processor %d of the host is out of bounds or there twice: %w", c, nephos.ErrInvalid)
		}
		seen[c] = true
	}
	return nil
}

// ParseCPUs reads a list of a host's processors, as operators write it: 0-3,^2,8.
// It fails with nephos.ErrInvalid if it is none.
func ParseCPUs(s string) ([]int, error) {
	in, out := map[int]bool{}, map[int]bool{}
	for part := range strings.SplitSeq(s, ",") {
		part, into := strings.TrimSpace(part), in
		if part == "" {
			continue
		}
		if rest, ok := strings.CutPrefix(part, "^"); ok {
			part, into = rest, out
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.Atoi(strings.TrimSpace(from))
		b, err2 := strconv.Atoi(strings.TrimSpace(to))
		if err1 != nil || err2 != nil || a < 0 || b < a || b > maxCPU || b-a > 1<<16 {
			return nil, fmt.Errorf("list of processors %.80q: want numbers and ranges such as 0-3,^2,8: %w", s, nephos.ErrInvalid)
		}
		for cpu := a; cpu <= b; cpu++ {
			into[cpu] = true
		}
	}
	var cpus []int
	for cpu := range in {
		if !out[cpu] {
			cpus = append(cpus, cpu)
		}
	}
	slices.Sort(cpus)
	return cpus, nil
}

// SamePlace says whether two specs want the same of the host. A guest that has
// what it wants keeps it, whatever the host tells of since.
func (s Spec) SamePlace(other Spec) bool {
	return slices.Equal(s.PCI, other.PCI) && slices.Equal(s.EmulatorCPUs, other.EmulatorCPUs) &&
		slices.EqualFunc(s.NUMA, other.NUMA, func(a, b Cell) bool {
			return a.Host == b.Host && a.MemoryMiB == b.MemoryMiB && a.PageKiB == b.PageKiB &&
				slices.EqualFunc(a.Pins, b.Pins, func(x, y Pin) bool { return x.VCPU == y.VCPU && slices.Equal(x.CPUs, y.CPUs) })
		})
}

// Holds returns an error that wraps ErrInvalid and names the field when the spec
// wants a cell, processors, pages or a device that the host does not tell of.
// Drivers ask in Ensure, of a guest that does not have the place already.
func (h Host) Holds(s Spec) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s, which the host does not offer: %w", fmt.Sprintf(format, args...), nephos.ErrInvalid)
	}
	cpus := map[int]bool{}
	for _, c := range h.NUMA {
		for _, list := range [][]int{c.CPUs, c.Dedicated} {
			for _, cpu := range list {
				cpus[cpu] = true
			}
		}
	}
	all := func(list []int) bool {
		for _, cpu := range list {
			if !cpus[cpu] {
				return false
			}
		}
		return true
	}
	if !all(s.EmulatorCPUs) {
		return bad("EmulatorCPUs are %v", s.EmulatorCPUs)
	}
	for i, c := range s.NUMA {
		found := false
		for _, x := range h.NUMA {
			if x.ID == c.Host {
				found = true
				if c.PageKiB > 0 && x.Pages[int64(c.PageKiB)] < int64(c.MemoryMiB)<<10/int64(c.PageKiB) {
					return bad("numa[%d] wants %d MiB in pages of %d KiB of cell %d", i, c.MemoryMiB, c.PageKiB, c.Host)
				}
			}
		}
		if !found {
			return bad("numa[%d].Host is cell %d", i, c.Host)
		}
		for _, p := range c.Pins {
			if !all(p.CPUs) {
				return bad("numa[%d].Pins has processors %v", i, p.CPUs)
			}
		}
	}
	devices := map[string]bool{}
	for _, d := range h.PCI {
		devices[d.Address] = true
	}
	for _, a := range s.PCI {
		if !devices[a] {
			return bad("pci has device %s", a)
		}
	}
	return nil
}

// checkSpec refuses what no driver could carry out, and what this one cannot: a
// guest's place is kept, or the guest is not made.
func (n *Node) checkSpec(s Spec) error {
	if err := s.Validate(); err != nil {
		return err
	}
	if len(s.NUMA) > 0 && !n.Can(CanPlace) {
		return fmt.Errorf("it has NUMA cells, and the hypervisor driver is no %s: %w", CanPlace, errors.ErrUnsupported)
	}
	if len(s.PCI) > 0 && !n.Can(CanPassDevices) {
		return fmt.Errorf("it has devices of the host, and the hypervisor driver is no %s: %w", CanPassDevices, errors.ErrUnsupported)
	}
	return nil
}

// Placement is [Placer]'s.
func (n *Node) Placement(ctx context.Context, id string) (Placement, error) {
	d, err := able[Placer](n, CanPlace, "place", id)
	if err != nil {
		return Placement{}, err
	}
	var p Placement
	err = n.call(ctx, "Placement", id, n.opts.Deadline, func(ctx context.Context) (err error) {
		p, err = d.Placement(ctx, id)
		return err
	})
	return p, err
}

// Devices is [DevicePasser]'s.
func (n *Node) Devices(ctx context.Context, id string) ([]string, error) {
	d, err := able[DevicePasser](n, CanPassDevices, "list the devices of", id)
	if err != nil {
		return nil, err
	}
	var list []string
	err = n.call(ctx, "Devices", id, n.opts.Deadline, func(ctx context.Context) (err error) {
		list, err = d.Devices(ctx, id)
		return err
	})
	return list, err
}
