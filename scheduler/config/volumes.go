package config

import (
	"fmt"
	"maps"
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
	// Pools say by their names which volumes they want.
	Pools map[string]Pool `json:"pools"`
}

// Pool is what operators say of a pool, by Cinder's names. The expressions are
// over [cel.PoolVariables]; DriverFilter and GoodnessWeigher, which heed them,
// come to the defaults where a pool has one, and must be among filters and
// weighers that are given.
type Pool struct {
	Filter             string `json:"filter_function"`
	Goodness           string `json:"goodness_function"`
	ReservedPercentage int    `json:"reserved_percentage"`
	// MaxOverSubscription is how many times its size a thin pool promises; 0 means
	// 20.
	MaxOverSubscription float64 `json:"max_over_subscription_ratio"`
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

// EachPool reads a configuration and returns what it says of pools, by their
// names. It fails as Parse does.
func EachPool(text []byte) (map[string]Pool, error) {
	f, err := read(text)
	if err != nil || f.Volumes == nil {
		return nil, err
	}
	if _, _, err := f.Volumes.expressions(); err != nil {
		return nil, err
	}
	return f.Volumes.Pools, nil
}

// expressions checks what is said of pools, and tells whether some have
// expressions.
func (v *Volumes) expressions() (filters, weighs bool, err error) {
	for _, name := range slices.Sorted(maps.Keys(v.Pools)) {
		p := v.Pools[name]
		bad := func(field, why string) error {
			return nephos.Errorf(nephos.ErrInvalid, "reading the scheduler's configuration: volumes.pools[%.64q]: %s %s", name, field, why).WithField(field)
		}
		switch {
		case p.ReservedPercentage < 0 || p.ReservedPercentage > 100:
			return false, false, bad("reserved_percentage", "is not from 0 to 100")
		case p.MaxOverSubscription != 0 && !(p.MaxOverSubscription >= 1 && p.MaxOverSubscription <= 1e6):
			return false, false, bad("max_over_subscription_ratio", "is not from 1 to 1000000")
		}
		if err := cel.Check(scheduler.Pool{ID: name, Filter: p.Filter, Goodness: p.Goodness}, cel.Options{}); err != nil {
			return false, false, fmt.Errorf("reading the scheduler's configuration: volumes.pools[%.64q]: %w", name, err)
		}
		filters, weighs = filters || p.Filter != "", weighs || p.Goodness != ""
	}
	return filters, weighs, nil
}

// heed sees that what judges by the pools' expressions is there.
func (v *Volumes) heed(c *scheduler.Config) error {
	filters, weighs, err := v.expressions()
	if err != nil {
		return err
	}
	const driver, goodness = "DriverFilter", "GoodnessWeigher"
	lacks := func(what, name string) error {
		return nephos.Errorf(nephos.ErrInvalid, "reading the scheduler's configuration: a pool has a %s, which nothing heeds: add %s to volumes", what, name).WithField("volumes")
	}
	switch {
	case filters && c.Filters == nil:
		c.Filters = append(scheduler.DefaultPoolFilters(), poolFilters()[driver])
	case filters && !slices.ContainsFunc(c.Filters, func(f scheduler.Filter) bool { return f.Name() == driver }):
		return lacks("filter_function", driver)
	}
	switch {
	case weighs && c.Weighers == nil:
		c.Weighers = append(scheduler.DefaultPoolWeighers(), poolWeighers()[goodness])
	case weighs && !slices.ContainsFunc(c.Weighers, func(w scheduler.WeigherConfig) bool { return w.Weigher.Name() == goodness }):
		return lacks("goodness_function", goodness)
	}
	return nil
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
	if err := f.Volumes.heed(&c); err != nil {
		return nil, err
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
