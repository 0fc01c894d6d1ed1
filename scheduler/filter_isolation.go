package scheduler

import (
	"maps"
	"slices"
	"strings"
)

// AggregateImagePropertiesIsolation keeps hosts in aggregates for images with
// matching properties: a host is turned away if an aggregate of it has metadata
// under the name of one of the image's properties, and the property's value is
// not among the metadata's.
type AggregateImagePropertiesIsolation struct {
	// Namespace, if set, confines the filter to metadata whose key begins with
	// it and Separator, which means "." if empty.
	Namespace, Separator string
}

// Name implements [Filter].
func (AggregateImagePropertiesIsolation) Name() string { return "AggregateImagePropertiesIsolation" }

// Prepare implements [Filter].
func (f AggregateImagePropertiesIsolation) Prepare(req *Request) Check {
	prefix := ""
	if f.Namespace != "" {
		if f.Separator == "" {
			f.Separator = "."
		}
		prefix = f.Namespace + f.Separator
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(req.ImageProperties)) {
		if strings.HasPrefix(key, prefix) && req.ImageProperties[key] != "" {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return Check{}
	}
	return Check{Shared: true, Host: func(h HostView) Verdict {
		for _, key := range keys {
			values := h.AggregateValues(key)
			if want := req.ImageProperties[key]; len(values) > 0 && !slices.Contains(values, want) {
				return Verdict{
					Reason: "kept for other images", Want: clip(key + " " + want), Saw: clip(strings.Join(values, ", ")),
					Fix: "add the value to " + key + " of the host's aggregate",
				}
			}
		}
		return Verdict{}
	}}
}

// AggregateTypeAffinityFilter keeps hosts in aggregates whose metadata
// instance_type names flavors for servers of these flavors.
type AggregateTypeAffinityFilter struct{}

// Name implements [Filter].
func (AggregateTypeAffinityFilter) Name() string { return "AggregateTypeAffinityFilter" }

// Prepare implements [Filter].
func (AggregateTypeAffinityFilter) Prepare(req *Request) Check {
	return Check{Shared: true, Host: func(h HostView) Verdict {
		names := h.AggregateValues("instance_type")
		if len(names) == 0 || slices.Contains(names, req.FlavorName) {
			return Verdict{}
		}
		return Verdict{
			Reason: "kept for other flavors", Want: req.FlavorName, Saw: clip(strings.Join(names, ", ")),
			Fix: "add the flavor to instance_type of the host's aggregate",
		}
	}}
}

// IsolatedHostsFilter keeps some hosts for some images: an isolated image runs
// on isolated hosts only.
type IsolatedHostsFilter struct {
	// Images are ids of images, Hosts names of hosts.
	Images, Hosts []string
	// Open lets isolated hosts run other images too, and what boots from a
	// volume.
	Open bool
}

// Name implements [Filter].
func (IsolatedHostsFilter) Name() string { return "IsolatedHostsFilter" }

// Prepare implements [Filter].
func (f IsolatedHostsFilter) Prepare(req *Request) Check {
	if len(f.Images) == 0 && (len(f.Hosts) == 0 || f.Open) {
		return Check{}
	}
	isolated := req.ImageID != "" && slices.Contains(f.Images, req.ImageID)
	hosts := make(map[string]bool, len(f.Hosts))
	for _, name := range f.Hosts {
		hosts[name] = true
	}
	if !isolated && f.Open {
		return Check{}
	}
	return Check{Host: func(h HostView) Verdict {
		switch has := hosts[h.Name()]; {
		case isolated && !has:
			return Verdict{Reason: "not for isolated images", Want: req.ImageID, Saw: h.Name()}
		case !isolated && has:
			return Verdict{Reason: "kept for isolated images", Want: req.ImageID, Saw: h.Name()}
		}
		return Verdict{}
	}}
}
