package compute

import (
	"context"
	"errors"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// ServerTopology is a server's NUMA topology.
type ServerTopology struct {
	// PageKiB is the size of the pages of its memory; 0: it asks for none.
	PageKiB int64
	Cells   []TopologyCell
}

// TopologyCell is one NUMA cell of a server.
type TopologyCell struct {
	VCPUs     []int
	Siblings  [][]int // those of them that are threads of one core
	MemoryMiB int64
	// Host is the id of the host's cell, and Pins are the host's processors of
	// those VCPUs that have one for themselves. Nil: the server is on no host, or
	// the caller is not to know.
	Host *int
	Pins map[int]int
}

// Topologies is what the Compute API's server topology needs.
type Topologies interface {
	// ServerTopology returns a server's topology; one that asks for none has no
	// cells.
	ServerTopology(ctx context.Context, id string) (ServerTopology, error)
}

var _ Topologies = (*Service)(nil)

// ServerTopology implements [Topologies].
func (s *Service) ServerTopology(ctx context.Context, id string) (ServerTopology, error) {
	var out ServerTopology
	row, err := s.find(ctx, id, false)
	if err != nil {
		return out, err
	}
	if err := s.cfg.Policy.Enforce(ctx, "compute:server:topology:index", row.target()); err != nil {
		return out, err
	}
	f := row.Flavor
	numa, err := scheduler.ParseNUMA(f.ExtraSpecs, row.Image.Properties, int64(f.VCPUs), int64(f.MemoryMiB))
	if err != nil || numa == nil {
		return out, err
	}
	a, err := s.cfg.Claims.Assignment(ctx, row.ID)
	if errors.Is(err, nephos.ErrNotFound) {
		a, err = scheduler.Assignment{}, nil
	}
	if err != nil {
		return out, err
	}
	for i, want := range numa.Cells {
		cell := TopologyCell{VCPUs: slices.Sorted(slices.Values(slices.Concat(want.Shared, want.Dedicated))), MemoryMiB: want.MemoryMB}
		if a.Threads > 1 {
			cell.Siblings = slices.Collect(slices.Chunk(cell.VCPUs, a.Threads))
		}
		out.Cells = append(out.Cells, cell)
		if i >= len(a.Cells) {
			continue
		}
		got := a.Cells[i]
		if out.PageKiB = got.PageKiB; out.PageKiB == 0 && numa.PageSize != "" {
			out.PageKiB = scheduler.SmallPage
		}
		if !s.cfg.Policy.Allowed(ctx, "compute:server:topology:host:index", row.target()) {
			continue
		}
		pins := map[int]int{}
		for _, cpu := range got.CPUs {
			if cpu.Own {
				pins[cpu.Guest] = cpu.Host[0]
			}
		}
		out.Cells[i].Host, out.Cells[i].Pins = &got.Host, pins
	}
	return out, nil
}
