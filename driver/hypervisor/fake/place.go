package fake

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

var (
	_ hypervisor.Placer       = (*Driver)(nil)
	_ hypervisor.DevicePasser = (*Driver)(nil)
)

// place is what a guest that is on has of its host.
type place struct {
	cells []hypervisor.Cell
	pci   []string
}

func cloneCells(cells []hypervisor.Cell) []hypervisor.Cell {
	out := slices.Clone(cells)
	for i := range out {
		out[i].Pins = slices.Clone(out[i].Pins)
		for j := range out[i].Pins {
			out[i].Pins[j].CPUs = slices.Clone(out[i].Pins[j].CPUs)
		}
	}
	return out
}

// own are the dedicated processors among a guest's.
func (d *Driver) own(cells []hypervisor.Cell) map[int]bool {
	own := map[int]bool{}
	for _, c := range cells {
		for _, p := range c.Pins {
			for _, cpu := range p.CPUs {
				for _, x := range d.cfg.Host.NUMA {
					if slices.Contains(x.Dedicated, cpu) {
						own[cpu] = true
					}
				}
			}
		}
	}
	return own
}

// take gives a guest that is switched on what its spec says, unless another one
// that is on has it. The fake is stricter here than a real host, which lets two
// guests run on one processor.
func (d *Driver) take(g *guest) error {
	mine := d.own(g.spec.NUMA)
	for _, other := range d.state.guests {
		if other == g || !other.on() {
			continue
		}
		for _, a := range other.place.pci {
			if slices.Contains(g.spec.PCI, a) {
				return nephos.Errorf(nephos.ErrConflict, "start guest %s: guest %s has device %s", g.id, other.id, a)
			}
		}
		for cpu := range d.own(other.place.cells) {
			if mine[cpu] {
				return nephos.Errorf(nephos.ErrConflict, "start guest %s: guest %s has processor %d for itself", g.id, other.id, cpu)
			}
		}
	}
	g.place = place{cloneCells(g.spec.NUMA), slices.Clone(g.spec.PCI)}
	return nil
}

// Placement implements hypervisor.Placer.
func (d *Driver) Placement(ctx context.Context, id string) (v hypervisor.Placement, err error) {
	err = d.placed(ctx, "Placement", id, func(p place) {
		for _, c := range cloneCells(p.cells) {
			v.Pins, v.Cells = append(v.Pins, c.Pins...), append(v.Cells, c.Host)
		}
		slices.SortFunc(v.Pins, func(a, b hypervisor.Pin) int { return cmp.Compare(a.VCPU, b.VCPU) })
	})
	return v, err
}

// Devices implements hypervisor.DevicePasser.
func (d *Driver) Devices(ctx context.Context, id string) (list []string, err error) {
	err = d.placed(ctx, "Devices", id, func(p place) { list = slices.Sorted(slices.Values(p.pci)) })
	return list, err
}

func (d *Driver) placed(ctx context.Context, method, id string, f func(place)) error {
	after, err := d.begin(ctx, method, id)
	if err != nil {
		return err
	}
	d.state.mu.Lock()
	defer d.state.mu.Unlock()
	g := d.state.guests[id]
	switch {
	case g == nil:
		return fmt.Errorf("%s of guest %s: %w", method, id, nephos.ErrNotFound)
	case !g.on():
		return conflict(g, method)
	}
	f(g.place)
	return after
}
