package compute

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/scheduler"
)

// addPlace says how a server's processors look, where on its host it is and which
// devices it has, as its claim was given them.
func (s *Service) addPlace(ctx context.Context, row *serverRow, spec *hypervisor.Spec) (err error) {
	if spec.Topology, err = cpuTopology(row.Flavor.ExtraSpecs, row.Image.Properties, row.Flavor.VCPUs); err != nil {
		return err
	}
	must, may, err := asksForParts(row)
	if err != nil || !must && !may {
		return err
	}
	a, err := s.cfg.Claims.Assignment(ctx, row.ID)
	switch {
	case err == nil:
	case !errors.Is(err, nephos.ErrNotFound):
		return fmt.Errorf("finding what server %s has of its host: %w", row.ID, err)
	case must && row.Phase == phaseConnect:
		return nephos.Errorf(nephos.ErrConflict, "Host %s gave server %s none of its NUMA cells or devices.", row.Host, row.ID)
	default:
		return nil // it was there before hosts gave any, or its class is of something else
	}
	spec.PCI = slices.Clone(a.PCI)
	for _, c := range a.Cells {
		cell := hypervisor.Cell{Host: c.Host, MemoryMiB: int(c.MemoryMB), PageKiB: int(c.PageKiB)}
		for _, cpu := range c.CPUs {
			cell.Pins = append(cell.Pins, hypervisor.Pin{VCPU: cpu.Guest, CPUs: cpu.Host})
		}
		spec.NUMA = append(spec.NUMA, cell)
	}
	if a.Emulator != nil {
		spec.EmulatorCPUs = a.Emulator.Host
	}
	spec.Topology = threaded(spec.Topology, spec.VCPUs, len(spec.NUMA), a.Threads)
	return nil
}

// asksForParts says whether a server's host must give it NUMA cells or devices, or
// may, because the flavor names a resource class that is perhaps a device's.
func asksForParts(row *serverRow) (must, may bool, err error) {
	f := row.Flavor
	n, err := scheduler.ParseNUMA(f.ExtraSpecs, row.Image.Properties, int64(f.VCPUs), int64(f.MemoryMiB))
	for key := range f.ExtraSpecs {
		prefix, class, _ := strings.Cut(key, ":")
		may = may || strings.HasPrefix(prefix, "resources") && strings.HasPrefix(class, "CUSTOM_")
	}
	return n != nil || strings.Trim(f.ExtraSpecs["pci_passthrough:alias"], ", ") != "", may, err
}
