// Package config makes a scheduler of a configuration file, so that operators
// choose filters and weighers without writing Go:
//
//	{
//	  "preset": "filter",
//	  "filters": [
//	    "AvailabilityZoneFilter", "ImagePropertiesFilter", "NUMATopologyFilter",
//	    {"name": "NumInstancesFilter", "max": 20},
//	    {"name": "TidyFilter", "cel": "host.num_io_ops < 3 || request.flavor == 'tiny'", "reason": "busy"}
//	  ],
//	  "weighers": [
//	    {"name": "RAMWeigher", "multiplier": -1},
//	    {"name": "CoolWeigher", "cel": "-host.metrics['temperature']", "multiplier": 2}
//	  ],
//	  "host_subset_size": 3,
//	  "pci_aliases": [{"name": "gpu", "devices": [{"vendor_id": "10de", "product_id": "1eb8"}]}],
//	  "extensions": [{"name": "AcmeFilter", "path": "/usr/lib/nephos/acme", "sha256": "…", "timeout": "500ms"}],
//	  "volumes": {
//	    "weighers": [{"name": "AllocatedCapacityWeigher", "multiplier": -1}],
//	    "filters": ["CapacityFilter", "DriverFilter"],
//	    "pools": {"fast": {"filter_function": "volume.size < 100", "reserved_percentage": 10}}
//	  }
//	}
//
// All is optional. Filters and weighers that are given replace those of the
// preset; the names are Nova's, and [scheduler.FilterNames] and
// [scheduler.WeigherNames] list them. An entry with "cel" is an expression; see
// package scheduler/cel. An extension is a program; see package
// scheduler/extension: it is the last filter, the last weigher, or both. A file
// with anything wrong is refused whole, with an error that names the entry.
package config

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/cel"
	"github.com/nephos-cloud/nephos/scheduler/extension"
)

// maxBytes bounds a configuration.
const maxBytes = 1 << 20

// File is a configuration as it is written.
type File struct {
	Preset         string     `json:"preset"`
	Filters        []Filter   `json:"filters"`
	Weighers       []Weigher  `json:"weighers"`
	HostSubsetSize int        `json:"host_subset_size"`
	PCIAliases     []PCIAlias `json:"pci_aliases"`

	Extensions []Extension `json:"extensions"`

	// Volumes chooses pools of storage; see [Pools].
	Volumes *Volumes `json:"volumes"`
}

// Extension is a program that filters or weighs.
type Extension struct {
	Name   string   `json:"name"`
	Path   string   `json:"path"`
	Args   []string `json:"args"`
	Env    []string `json:"env"`
	SHA256 string   `json:"sha256"`
	// Timeout bounds its part of one decision, as "500ms"; empty means 2 seconds.
	Timeout string `json:"timeout"`
	// Multiplier is its influence as a weigher; nil means 1.
	Multiplier *float64 `json:"multiplier"`
}

// Opener starts an extension. It outlives the context, and whoever gave the
// Opener ends it.
type Opener func(ctx context.Context, e Extension) (extension.Extension, error)

// Filter is one filter: a name alone, or an object.
type Filter struct {
	Name string `json:"name"`
	// CEL, Reason and CostLimit make a filter of one's own.
	CEL       string `json:"cel"`
	Reason    string `json:"reason"`
	CostLimit uint64 `json:"cost_limit"`
	// Max is the bound of NumInstancesFilter and IoOpsFilter.
	Max int `json:"max"`
	// Default is the zone of AvailabilityZoneFilter for hosts without one.
	Default string `json:"default"`
	// Namespace and Separator are those of AggregateImagePropertiesIsolation.
	Namespace string `json:"namespace"`
	Separator string `json:"separator"`
	// Images, Hosts and Open are those of IsolatedHostsFilter.
	Images []string `json:"images"`
	Hosts  []string `json:"hosts"`
	Open   bool     `json:"open"`
	// Metrics are the names of MetricsFilter.
	Metrics []string `json:"metrics"`
	// Architecture is what images without one have, for ImagePropertiesFilter.
	Architecture string `json:"default_architecture"`
}

// UnmarshalJSON reads a name or an object.
func (f *Filter) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &f.Name)
	}
	type plain Filter
	return strict(b, (*plain)(f))
}

// Weigher is one weigher.
type Weigher struct {
	Name string `json:"name"`
	// Multiplier nil means the weigher's own, or 1 for an expression.
	Multiplier *float64 `json:"multiplier"`
	// AggregateKey is the aggregate metadata that overrules Multiplier; empty
	// means the weigher's own.
	AggregateKey string `json:"aggregate_key"`
	CEL          string `json:"cel"`
	CostLimit    uint64 `json:"cost_limit"`
	// Ratios, Optional and Unavailable are those of MetricsWeigher.
	Ratios      map[string]float64 `json:"ratios"`
	Optional    bool               `json:"optional"`
	Unavailable float64            `json:"unavailable"`
}

// PCIAlias is what flavors call a kind of device.
type PCIAlias struct {
	Name       string   `json:"name"`
	Devices    []Device `json:"devices"`
	NUMAPolicy string   `json:"numa_policy"`
}

// Device says which devices will do.
type Device struct {
	VendorID      string            `json:"vendor_id"`
	ProductID     string            `json:"product_id"`
	DeviceType    string            `json:"device_type"`
	ResourceClass string            `json:"resource_class"`
	Tags          map[string]string `json:"tags"`
}

// strict decodes one JSON value without fields that nobody knows.
func strict(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows after the value")
	}
	return nil
}

// Parse reads a configuration without extensions. It fails with
// nephos.ErrInvalid, saying what is wrong where.
func Parse(text []byte) (scheduler.Config, error) {
	f, err := read(text)
	if err != nil {
		return scheduler.Config{}, err
	}
	return f.Config()
}

func read(text []byte) (File, error) {
	var f File
	if len(text) > maxBytes {
		return File{}, nephos.Errorf(nephos.ErrInvalid, "reading the scheduler's configuration: it is larger than %d bytes", maxBytes)
	}
	if err := strict(text, &f); err != nil {
		return File{}, nephos.Errorf(nephos.ErrInvalid, "reading the scheduler's configuration: %v", err)
	}
	return f, nil
}

// Load reads a configuration without extensions and makes the scheduler.
func Load(text []byte) (*scheduler.Scheduler, error) {
	return Open(context.Background(), text, nil)
}

// Open reads a configuration, starts its extensions through open, and makes the
// scheduler. It fails as Parse does, and if an extension does not start. What was
// started by then is left to whoever gave open.
func Open(ctx context.Context, text []byte, open Opener) (*scheduler.Scheduler, error) {
	f, err := read(text)
	if err != nil {
		return nil, err
	}
	extensions := f.Extensions
	f.Extensions = nil
	c, err := f.Config() // what is wrong with the rest is found before anything starts
	if err != nil {
		return nil, err
	}
	for i, e := range extensions {
		if err := e.add(ctx, &c, open); err != nil {
			return nil, fmt.Errorf("reading the scheduler's configuration: extensions[%d]: %w", i, err)
		}
	}
	s, err := scheduler.New(c)
	if err != nil {
		return nil, fmt.Errorf("reading the scheduler's configuration: %w", err)
	}
	return s, nil
}

// add starts the extension and adds it to the parts.
func (e Extension) add(ctx context.Context, c *scheduler.Config, open Opener) error {
	o := extension.Options{Name: e.Name}
	if e.Timeout != "" {
		var err error
		if o.Timeout, err = time.ParseDuration(e.Timeout); err != nil || o.Timeout <= 0 || o.Timeout > time.Minute {
			return nephos.Errorf(nephos.ErrInvalid, "timeout %.40q is no duration of up to a minute, such as 500ms", e.Timeout).WithField("timeout")
		}
	}
	multiplier := 1.0
	if e.Multiplier != nil {
		multiplier = *e.Multiplier
	}
	switch {
	case e.Name == "" || e.Path == "":
		return nephos.Errorf(nephos.ErrInvalid, "it needs a name and a path").WithField("name")
	case open == nil:
		return nephos.Errorf(nephos.ErrInvalid, "%s: no programs can be started here", e.Name).WithField("extensions")
	}
	ext, err := open(ctx, e)
	if err != nil {
		return err
	}
	p, err := extension.Open(ctx, ext, o)
	if err != nil {
		return err
	}
	if p.Filter != nil {
		if c.Filters == nil {
			c.Filters = scheduler.DefaultFilters()
		}
		c.Filters = append(c.Filters, p.Filter)
	}
	if p.Weigher != nil {
		if c.Weighers == nil {
			c.Weighers = scheduler.DefaultWeighers()
		}
		c.Weighers = append(c.Weighers, scheduler.WeigherConfig{Weigher: p.Weigher, Multiplier: multiplier})
	}
	return nil
}

// Config makes the parts of a scheduler. Extensions take [Open].
func (f File) Config() (scheduler.Config, error) {
	if len(f.Extensions) > 0 {
		return scheduler.Config{}, nephos.Errorf(nephos.ErrInvalid, "reading the scheduler's configuration: extensions are programs, and none can be started here").WithField("extensions")
	}
	if f.Preset == "" {
		f.Preset = scheduler.PresetFilter
	}
	c, err := scheduler.Preset(f.Preset)
	if err != nil {
		return scheduler.Config{}, fmt.Errorf("reading the scheduler's configuration: %w", err)
	}
	if f.HostSubsetSize < 0 || f.HostSubsetSize > 1000 {
		return scheduler.Config{}, nephos.Errorf(nephos.ErrInvalid, "reading the scheduler's configuration: host_subset_size is %d, which is not between 0 and 1000", f.HostSubsetSize).WithField("host_subset_size")
	}
	c.SubsetSize = f.HostSubsetSize
	if _, err := f.pools(); err != nil {
		return scheduler.Config{}, err
	}
	aliases, err := f.aliases()
	if err != nil {
		return scheduler.Config{}, err
	}
	if f.Filters != nil {
		c.Filters = []scheduler.Filter{}
		for i, entry := range f.Filters {
			made, err := entry.filter()
			if err != nil {
				return scheduler.Config{}, fmt.Errorf("reading the scheduler's configuration: filters[%d]: %w", i, err)
			}
			c.Filters = append(c.Filters, made)
		}
	}
	c.Filters = withAliases(c.Filters, aliases)
	if f.Weighers != nil {
		c.Weighers = []scheduler.WeigherConfig{}
		for i, entry := range f.Weighers {
			made, err := entry.weigher()
			if err != nil {
				return scheduler.Config{}, fmt.Errorf("reading the scheduler's configuration: weighers[%d]: %w", i, err)
			}
			c.Weighers = append(c.Weighers, made)
		}
	}
	if _, err := scheduler.New(c); err != nil {
		return scheduler.Config{}, fmt.Errorf("reading the scheduler's configuration: %w", err)
	}
	return c, nil
}

// withAliases gives the aliases to the filter that knows them.
func withAliases(filters []scheduler.Filter, aliases []scheduler.PCIAlias) []scheduler.Filter {
	if len(aliases) == 0 {
		return filters
	}
	if filters == nil {
		filters = scheduler.DefaultFilters()
	}
	for i, f := range filters {
		if _, ok := f.(scheduler.PciPassthroughFilter); ok {
			filters[i] = scheduler.PciPassthroughFilter{Aliases: aliases}
		}
	}
	return filters
}

func (f File) aliases() ([]scheduler.PCIAlias, error) {
	var out []scheduler.PCIAlias
	seen := map[string]bool{}
	for i, a := range f.PCIAliases {
		bad := func(what string) error {
			return nephos.Errorf(nephos.ErrInvalid, "reading the scheduler's configuration: pci_aliases[%d]: %s", i, what).WithField("pci_aliases")
		}
		switch a.NUMAPolicy {
		case "", "required", "legacy", "preferred":
		default:
			return nil, bad("numa_policy is none of required, legacy, preferred")
		}
		if a.Name == "" || strings.ContainsAny(a.Name, ":,") || seen[a.Name] {
			return nil, bad("it needs a name of its own, without colon and comma")
		}
		if len(a.Devices) == 0 {
			return nil, bad("it names no devices")
		}
		seen[a.Name] = true
		alias := scheduler.PCIAlias{Name: a.Name, NUMA: a.NUMAPolicy}
		for _, d := range a.Devices {
			alias.Specs = append(alias.Specs, scheduler.PCISpec{
				VendorID: d.VendorID, ProductID: d.ProductID, DevType: d.DeviceType, ResourceClass: d.ResourceClass, Tags: d.Tags,
			})
		}
		out = append(out, alias)
	}
	return out, nil
}

func (f Filter) filter() (scheduler.Filter, error) {
	if f.CEL != "" {
		if f.Name == "" {
			return nil, nephos.Errorf(nephos.ErrInvalid, "an expression needs a name").WithField("name")
		}
		return cel.NewFilter(f.Name, f.CEL, cel.Options{Reason: f.Reason, CostLimit: f.CostLimit})
	}
	made, err := scheduler.FilterNamed(f.Name)
	if err != nil {
		return nil, err
	}
	if f.Max < 0 {
		return nil, nephos.Errorf(nephos.ErrInvalid, "max is %d, which is negative", f.Max).WithField("max")
	}
	takes := Filter{Name: f.Name} // what the filter knows of the entry
	switch made.(type) {
	case scheduler.NumInstancesFilter:
		takes.Max, made = f.Max, scheduler.NumInstancesFilter{Max: f.Max}
	case scheduler.IoOpsFilter:
		takes.Max, made = f.Max, scheduler.IoOpsFilter{Max: f.Max}
	case scheduler.AvailabilityZoneFilter:
		takes.Default, made = f.Default, scheduler.AvailabilityZoneFilter{Default: f.Default}
	case scheduler.AggregateImagePropertiesIsolation:
		takes.Namespace, takes.Separator = f.Namespace, f.Separator
		made = scheduler.AggregateImagePropertiesIsolation{Namespace: f.Namespace, Separator: f.Separator}
	case scheduler.IsolatedHostsFilter:
		takes.Images, takes.Hosts, takes.Open = f.Images, f.Hosts, f.Open
		made = scheduler.IsolatedHostsFilter{Images: f.Images, Hosts: f.Hosts, Open: f.Open}
	case scheduler.MetricsFilter:
		takes.Metrics, made = f.Metrics, scheduler.MetricsFilter{Names: f.Metrics}
	case scheduler.ImagePropertiesFilter:
		takes.Architecture, made = f.Architecture, scheduler.ImagePropertiesFilter{DefaultArchitecture: f.Architecture}
	}
	if !reflect.DeepEqual(f, takes) {
		return nil, nephos.Errorf(nephos.ErrInvalid, "%s is given options that it does not have", f.Name).WithField("name")
	}
	return made, nil
}

func (w Weigher) weigher() (scheduler.WeigherConfig, error) {
	c := scheduler.WeigherConfig{Multiplier: 1}
	var err error
	switch {
	case w.CEL != "" && w.Name == "":
		return c, nephos.Errorf(nephos.ErrInvalid, "an expression needs a name").WithField("name")
	case w.CEL != "":
		c.Weigher, err = cel.NewWeigher(w.Name, w.CEL, cel.Options{CostLimit: w.CostLimit})
	case w.Name == "MetricsWeigher":
		c.Weigher, c.AggregateKey = scheduler.MetricsWeigher{Ratios: w.Ratios, Optional: w.Optional, Unavailable: w.Unavailable}, "metrics_weight_multiplier"
	case w.Name == "BalanceWeigher":
		c.Weigher = scheduler.BalanceWeigher{}
	default:
		c, err = scheduler.WeigherNamed(w.Name)
	}
	if err != nil {
		return c, err
	}
	if m := w.Multiplier; m != nil {
		if math.IsNaN(*m) || math.IsInf(*m, 0) {
			return c, nephos.Errorf(nephos.ErrInvalid, "multiplier is not a number").WithField("multiplier")
		}
		c.Multiplier = *m
	}
	if w.AggregateKey != "" {
		c.AggregateKey = w.AggregateKey
	}
	return c, nil
}
