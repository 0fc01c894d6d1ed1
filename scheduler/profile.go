package scheduler

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

// profile is what many hosts have in common and what seldom changes. It is
// interned: hosts with equal profiles share one, so that it costs little memory
// and a filter that looks at nothing else is asked once for all of them.
type profile struct {
	slot       int32 // in Snapshot.profiles
	refs       int32
	key        string
	own        string // the zone that the host itself names
	zone       string // that, or the one its aggregates name
	aggregates []Aggregate
	traits     []string // sorted
	attributes map[string]string
	supported  []Guest
}

// profileKey encodes the common part of a host, the same for equal hosts.
func profileKey(h *Host) string {
	var b []byte
	str := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	table := func(m map[string]string) {
		b = binary.AppendUvarint(b, uint64(len(m)))
		for _, k := range slices.Sorted(maps.Keys(m)) {
			str(k)
			str(m[k])
		}
	}
	str(h.Zone)
	b = binary.AppendUvarint(b, uint64(len(h.Aggregates)))
	for _, a := range h.Aggregates {
		str(a.ID)
		str(a.Name)
		table(a.Metadata)
	}
	traits := slices.Sorted(slices.Values(h.Traits))
	b = binary.AppendUvarint(b, uint64(len(traits)))
	for _, t := range traits {
		str(t)
	}
	table(common(h.Attributes))
	for _, g := range h.Supported {
		str(g.Arch)
		str(g.HVType)
		str(g.VMMode)
	}
	return string(b)
}

// ownAttributes are those that no two hosts have in common: they are kept with
// the host, so that the others can be shared.
var ownAttributes = [2]string{"hypervisor_hostname", "host_ip"}

// common returns a copy of the attributes without those.
func common(attributes map[string]string) map[string]string {
	c := maps.Clone(attributes)
	for _, name := range ownAttributes {
		delete(c, name)
	}
	return c
}

func newProfile(key string, h *Host) *profile {
	p := &profile{
		key: key, own: h.Zone, zone: h.Zone,
		attributes: common(h.Attributes),
		traits:     slices.Compact(slices.Sorted(slices.Values(h.Traits))),
		supported:  slices.Clone(h.Supported),
		aggregates: slices.Clone(h.Aggregates),
	}
	for i := range p.aggregates {
		p.aggregates[i].Metadata = maps.Clone(p.aggregates[i].Metadata)
	}
	if p.zone == "" {
		p.zone = firstZone(h.Aggregates)
	}
	return p
}

// firstZone is the zone that aggregate metadata gives a host.
func firstZone(aggregates []Aggregate) string {
	for _, a := range aggregates {
		if z := strings.TrimSpace(a.Metadata["availability_zone"]); z != "" {
			return z
		}
	}
	return ""
}

// values returns what the aggregates say under a key; one aggregate may give
// several values with commas between them.
func (p *profile) values(key string) []string {
	var out []string
	for _, a := range p.aggregates {
		v, ok := a.Metadata[key]
		if !ok {
			continue
		}
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); !slices.Contains(out, part) {
				out = append(out, part)
			}
		}
	}
	return out
}

// intern finds or makes the profile of a host and counts the reference.
func (s *Snapshot) intern(h *Host) *profile {
	key := profileKey(h)
	if p := s.byKey[key]; p != nil {
		p.refs++
		return p
	}
	p := newProfile(key, h)
	p.refs = 1
	if n := len(s.freeSlots); n > 0 {
		p.slot, s.freeSlots = s.freeSlots[n-1], s.freeSlots[:n-1]
		s.profiles[p.slot] = p
	} else {
		p.slot = int32(len(s.profiles))
		s.profiles = append(s.profiles, p)
	}
	s.byKey[key] = p
	return p
}

func (s *Snapshot) unref(p *profile) {
	if p.refs--; p.refs > 0 {
		return
	}
	delete(s.byKey, p.key)
	s.profiles[p.slot] = nil
	s.freeSlots = append(s.freeSlots, p.slot)
}
