package placement

import (
	"maps"
	"slices"
	"strconv"

	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

// candidatesEncoder writes the answer to a request for allocation candidates.
// It is most of what such a request costs, so it is written by hand: UUIDs,
// classes, traits and suffixes have no character that JSON would escape.
type candidatesEncoder struct {
	mapped bool            // with mappings; without, some candidates look the same
	keyed  bool            // allocations by provider, not as a list
	traits bool            // summaries have traits
	family bool            // summaries have parent and root
	only   map[string]bool // classes that summaries have; nil: all

	b []byte
}

func (e *candidatesEncoder) encode(list []sqlstore.Candidate, providers []sqlstore.ProviderSummary) []byte {
	size := 256 * (len(list) + 1)
	for _, p := range providers {
		size += 256 + 32*len(p.Traits)
	}
	e.b = append(make([]byte, 0, size), `{"allocation_requests": [`...)
	for _, c := range list {
		e.next()
		e.candidate(c)
	}
	e.b = append(e.b, `], "provider_summaries": {`...)
	for i := range providers {
		e.next()
		e.summary(&providers[i])
	}
	return append(e.b, "}}"...)
}

// next writes a comma, unless something was opened just now.
func (e *candidatesEncoder) next() {
	if c := e.b[len(e.b)-1]; c != '[' && c != '{' {
		e.b = append(e.b, ", "...)
	}
}

func (e *candidatesEncoder) word(s string) {
	e.b = append(e.b, '"')
	e.b = append(e.b, s...)
	e.b = append(e.b, '"')
}

func (e *candidatesEncoder) key(s string) {
	e.next()
	e.word(s)
	e.b = append(e.b, ": "...)
}

func (e *candidatesEncoder) words(list []string) {
	e.b = append(e.b, '[')
	for _, s := range list {
		e.next()
		e.word(s)
	}
	e.b = append(e.b, ']')
}

func (e *candidatesEncoder) amounts(of scheduler.Resources) {
	e.b = append(e.b, '{')
	for _, class := range slices.Sorted(maps.Keys(of)) {
		e.key(class)
		e.b = strconv.AppendInt(e.b, of[class], 10)
	}
	e.b = append(e.b, '}')
}

func (e *candidatesEncoder) candidate(c sqlstore.Candidate) {
	e.b = append(e.b, `{"allocations": `...)
	uuids := slices.Sorted(maps.Keys(c.Resources))
	if !e.keyed {
		e.b = append(e.b, '[')
		for _, uuid := range uuids {
			e.next()
			e.b = append(e.b, `{"resource_provider": {"uuid": `...)
			e.word(uuid)
			e.b = append(e.b, `}, "resources": `...)
			e.amounts(c.Resources[uuid])
			e.b = append(e.b, '}')
		}
		e.b = append(e.b, "]}"...)
		return
	}
	e.b = append(e.b, '{')
	for _, uuid := range uuids {
		e.key(uuid)
		e.b = append(e.b, `{"resources": `...)
		e.amounts(c.Resources[uuid])
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, '}')
	if e.mapped {
		e.b = append(e.b, `, "mappings": {`...)
		for _, suffix := range slices.Sorted(maps.Keys(c.Mappings)) {
			e.key(suffix)
			e.words(c.Mappings[suffix])
		}
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, '}')
}

func (e *candidatesEncoder) summary(p *sqlstore.ProviderSummary) {
	e.word(p.UUID)
	e.b = append(e.b, `: {"resources": {`...)
	for i := range p.Inventories {
		inv := &p.Inventories[i]
		if e.only != nil && !e.only[inv.Class] {
			continue
		}
		e.key(inv.Class)
		e.b = append(e.b, `{"capacity": `...)
		e.b = strconv.AppendInt(e.b, inv.Capacity, 10)
		e.b = append(e.b, `, "used": `...)
		e.b = strconv.AppendInt(e.b, inv.Used, 10)
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, '}')
	if e.traits {
		e.b = append(e.b, `, "traits": `...)
		e.words(p.Traits)
	}
	if e.family {
		e.b = append(e.b, `, "parent_provider_uuid": `...)
		if p.ParentUUID == "" {
			e.b = append(e.b, "null"...)
		} else {
			e.word(p.ParentUUID)
		}
		e.b = append(e.b, `, "root_provider_uuid": `...)
		e.word(p.RootUUID)
	}
	e.b = append(e.b, '}')
}
