package scheduler

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ComputeCapabilitiesFilter turns away hosts whose attributes do not meet the
// flavor's extra specs: "capabilities:hypervisor_type": "s== QEMU", or deeper
// into an attribute that holds JSON, "capabilities:cpu_info:features": "<in>
// aes". A key without a scope is checked on hosts that have such an attribute.
// See [Match] for the operators. The amounts and counters of a host have
// Nova's names: free_ram_mb, total_usable_ram_mb, vcpus_total, vcpus_used,
// free_disk_mb, num_instances, num_io_ops.
type ComputeCapabilitiesFilter struct{}

// Name implements [Filter].
func (ComputeCapabilitiesFilter) Name() string { return "ComputeCapabilitiesFilter" }

type capability struct {
	key, want string
	scope     []string
	optional  bool // without "capabilities:"
}

// Prepare implements [Filter].
func (ComputeCapabilitiesFilter) Prepare(req *Request) Check {
	var wants []capability
	shared := true
	for _, key := range slices.Sorted(maps.Keys(req.ExtraSpecs)) {
		scope := strings.Split(key, ":")
		c := capability{key: key, want: req.ExtraSpecs[key], scope: scope}
		switch {
		case len(scope) == 1:
			c.optional = true
		case scope[0] == "capabilities":
			c.scope = scope[1:]
		default:
			continue
		}
		wants = append(wants, c)
		shared = shared && !hostFact(c.scope[0])
	}
	if len(wants) == 0 {
		return Check{}
	}
	return Check{Shared: shared, Host: func(h HostView) Verdict {
		for _, c := range wants {
			has, known := capabilityOf(h, c.scope)
			switch {
			case !known && c.optional:
			case !known:
				return Verdict{Reason: "lack a capability of the flavor", Want: c.key + " " + c.want}
			case !Match(has, c.want):
				return Verdict{Reason: "do not meet a capability of the flavor", Want: c.key + " " + c.want, Saw: clip(has)}
			}
		}
		return Verdict{}
	}}
}

// hostFact says whether the name is one of a single host's changing facts.
func hostFact(name string) bool {
	switch name {
	case "free_ram_mb", "total_usable_ram_mb", "vcpus_total", "vcpus_used", "free_disk_mb",
		"num_instances", "num_io_ops", "host", "nodename", "hypervisor_hostname", "host_ip":
		return true
	}
	return false
}

func capabilityOf(h HostView, scope []string) (string, bool) {
	if len(scope) == 1 && hostFact(scope[0]) && scope[0] != "host_ip" {
		return factOf(h, scope[0])
	}
	text, ok := h.Attribute(scope[0])
	if !ok || len(scope) == 1 {
		return text, ok
	}
	if len(text) > 1<<16 {
		return "", false
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return "", false
	}
	for _, name := range scope[1:] {
		table, ok := value.(map[string]any)
		if !ok {
			return "", false
		}
		if value, ok = table[name]; !ok || value == nil {
			return "", false
		}
	}
	return plain(value), true
}

func factOf(h HostView, name string) (string, bool) {
	inv := func(class string) Inventory { i, _ := h.Inventory(class); return i }
	var n int64
	switch name {
	case "free_ram_mb":
		n = h.row().physMem - h.taken(MemoryMB)
	case "total_usable_ram_mb":
		n = inv(MemoryMB).Total
	case "vcpus_total":
		n = inv(VCPU).Total
	case "vcpus_used":
		n = h.Used(VCPU)
	case "free_disk_mb":
		n = (h.row().physDsk - h.taken(DiskGB)) * 1024
	case "num_instances":
		n = int64(h.NumInstances())
	case "num_io_ops":
		n = int64(h.NumIOOps())
	case "host":
		return h.Name(), true
	default:
		return h.Node(), true
	}
	return strconv.FormatInt(n, 10), true
}

// plain writes a JSON value the way the operators of extra specs expect it:
// strings bare, lists as ['a', 'b'].
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		if v {
			return "True"
		}
		return "False"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			if s, ok := e.(string); ok {
				parts[i] = "'" + s + "'"
			} else {
				parts[i] = plain(e)
			}
		}
		return "[" + strings.Join(parts, ", ") + "]"
	default:
		b, _ := json.Marshal(v)
		return string(b)
	}
}

// clip bounds what an explanation quotes.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
