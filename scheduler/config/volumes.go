package config

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/cel"
)

// Volumes is how pools of storage are chosen for volumes: filters and weighers
// that replace Cinder's defaults, by name or as expressions over
// [cel.PoolVariables].
type Volumes struct {
	Filters  []Filter  `json:"filters"`
	Weighers []Weigher `json:"weighers"`
}

// poolFilters are the filters for pools by name.
func poolFilters() map[string]scheduler.Filter {
	out := map[string]scheduler.Filter{"JsonFilter": scheduler.JSONFilter{}, "DriverFilter": cel.DriverFilter(cel.Options{})}
	for _, f := range scheduler.DefaultPoolFilters() {
		out[f.Name()] = f
	}
	return out
}

func poolWeighers() map[string]scheduler.WeigherConfig {
	out := map[string]scheduler.WeigherConfig{}
	for _, c := range []scheduler.WeigherConfig{
		{Weigher: scheduler.CapacityWeigher{}, Multiplier: 1},
		{Weigher: scheduler.AllocatedCapacityWeigher{}, Multiplier: -1},
		{Weigher: scheduler.VolumeNumberWeigher{}, Multiplier: -1},
		{Weigher: cel.GoodnessWeigher(cel.Options{}), Multiplier: 1},
	} {
		out[c.Weigher.Name()] = c
	}
	return out
}

// Pools reads a configuration and makes the scheduler that chooses pools of
// storage; nil, which decides as Cinder does, where the file says nothing of
// volumes. It fails as Parse does.
func Pools(text []byte) (*scheduler.Scheduler, error) {
	f, err := read(text)
	if err != nil {
		return nil, err
	}
	return f.pools()
}

func (f File) pools() (*scheduler.Scheduler, error) {
	if f.Volumes == nil {
		return nil, nil
	}
	var c scheduler.Config
	if f.Volumes.Filters != nil {
		c.Filters = []scheduler.Filter{}
	}
	if f.Volumes.Weighers != nil {
		c.Weighers = []scheduler.WeigherConfig{}
	}
	for i, entry := range f.Volumes.Filters {
		made, err := entry.poolFilter()
		if err != nil {
			return nil, fmt.Errorf("reading the scheduler's configuration: volumes.filters[%d]: %w", i, err)
		}
		c.Filters = append(c.Filters, made)
	}
	for i, entry := range f.Volumes.Weighers {
		made, err := entry.poolWeigher()
		if err != nil {
			return nil, fmt.Errorf("reading the scheduler's configuration: volumes.weighers[%d]: %w", i, err)
		}
		c.Weighers = append(c.Weighers, made)
	}
	s, err := scheduler.NewPools(c)
	if err != nil {
		return nil, fmt.Errorf("reading the scheduler's configuration: volumes: %w", err)
	}
	return s, nil
}

func (f Filter) poolFilter() (scheduler.Filter, error) {
	if f.CEL != "" && f.Name != "" {
		return cel.NewPoolFilter(f.Name, f.CEL, cel.Options{Reason: f.Reason, CostLimit: f.CostLimit})
	}
	if made := poolFilters()[f.Name]; made != nil {
		return made, nil
	}
	return nil, unknownName("filter", f.Name, poolFilters())
}

func (w Weigher) poolWeigher() (scheduler.WeigherConfig, error) {
	c, known := poolWeighers()[w.Name]
	switch {
	case w.CEL != "" && w.Name != "":
		made, err := cel.NewPoolWeigher(w.Name, w.CEL, cel.Options{CostLimit: w.CostLimit})
		if err != nil {
			return c, err
		}
		c = scheduler.WeigherConfig{Weigher: made, Multiplier: 1}
	case !known:
		return c, unknownName("weigher", w.Name, poolWeighers())
	}
	if m := w.Multiplier; m != nil {
		if math.IsNaN(*m) || math.IsInf(*m, 0) {
			return c, nephos.Errorf(nephos.ErrInvalid, "multiplier is not a number").WithField("multiplier")
		}
		c.Multiplier = *m
	}
	return c, nil
}

// unknownName says which names there are.
func unknownName[T any](kind, name string, known map[string]T) error {
	names := make([]string, 0, len(known))
	for n := range known {
		names = append(names, n)
	}
	slices.Sort(names)
	return nephos.Errorf(nephos.ErrInvalid, "there is no %s %.64q for pools of storage: use some of %s", kind, name, strings.Join(names, ", ")).WithField("name")
}
