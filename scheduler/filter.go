package scheduler

import (
	"fmt"
)

// Filter decides whether a host can serve a request. Implementations keep no
// state that a call changes: a filter is used by many decisions at once.
type Filter interface {
	// Name is the filter's name in explanations, such as "ComputeFilter".
	Name() string
	// Prepare reads the request once and returns what is to be asked of each
	// host. The request must not be changed, and outlives the Check.
	Prepare(req *Request) Check
}

// Check is what a filter asks of each host for one request. The zero Check asks
// nothing.
type Check struct {
	// Host judges one host. It is nil when the request gives the filter nothing
	// to do.
	Host func(h HostView) Verdict
	// Batch judges many hosts at once, where asking for each has a price of its
	// own, such as a call to another process. It returns a verdict for each host,
	// in their order. Host is then not needed. The snapshot stays as it is, and
	// waits with its changes, until Batch returns: bound the time.
	Batch func(hosts []HostView) []Verdict
	// Shared says that the verdict depends on nothing of the host but its zone,
	// traits, supported guests, aggregates, and attributes other than
	// hypervisor_hostname and host_ip. Hosts that have all these in common get
	// one verdict.
	Shared bool
	// EachPick says that when one server of several has been placed, every host
	// is to be asked again for the next. Otherwise only the host that got the
	// server is.
	EachPick bool

	// Claim says what one server takes from a host that passes, beyond the
	// request's Resources, by classes of the host's own such as those of NUMA
	// cells; nil: nothing. It is called for the hosts that are chosen.
	Claim func(h HostView) Resources

	walk walker // or nil
}

// Verdict is a filter's answer about one host. The zero Verdict lets the host
// pass.
type Verdict struct {
	// Reason turns the host away. It completes the sentence "3 hosts …", names
	// no host, and may be shown to users: "lack memory", "in another zone". Use
	// few different ones: reasons are counted.
	Reason string `json:"reason,omitempty"`
	// Class, Wanted and Free are the numbers when it is about an amount.
	Class  string `json:"class,omitempty"`
	Wanted int64  `json:"wanted,omitempty"`
	Free   int64  `json:"free,omitempty"`
	// Want and Saw are what was asked for and what the host has instead. They
	// are shown to operators only.
	Want string `json:"want,omitempty"`
	Saw  string `json:"saw,omitempty"`
	// Fix is what would let the host pass, for operators: "enable the host".
	Fix string `json:"fix,omitempty"`
}

// Passed says whether the host passes.
func (v Verdict) Passed() bool { return v.Reason == "" }

// short is by how much an amount falls short; 0 if it is not about an amount.
func (v Verdict) short() int64 {
	if v.Class == "" {
		return 0
	}
	return max(0, v.Wanted-v.Free)
}

// Advice says what would let the host pass, or "" if that is unknown.
func (v Verdict) Advice() string {
	if v.Fix != "" {
		return v.Fix
	}
	if n := v.short(); n > 0 {
		return "free " + amountOf(v.Class, n)
	}
	return ""
}

// NewFilter makes a filter of a function that judges one host.
func NewFilter(name string, pass func(req *Request, h HostView) Verdict) Filter {
	return funcFilter{name, pass}
}

type funcFilter struct {
	name string
	pass func(*Request, HostView) Verdict
}

func (f funcFilter) Name() string { return f.name }

func (f funcFilter) Prepare(req *Request) Check {
	return Check{Host: func(h HostView) Verdict { return f.pass(req, h) }, EachPick: true}
}

// DefaultFilters returns the filters that a scheduler has unless told
// otherwise, in their order. ComputeFilter and ResourceFilter always run.
func DefaultFilters() []Filter {
	return []Filter{
		AvailabilityZoneFilter{},
		ImagePropertiesFilter{},
		TraitFilter{},
		ComputeCapabilitiesFilter{},
		PciPassthroughFilter{},
		NUMATopologyFilter{},
		SameHostFilter{},
		DifferentHostFilter{},
		ServerGroupAntiAffinityFilter{},
		ServerGroupAffinityFilter{},
	}
}

// guard runs a filter's preparation; a panic there turns every host away.
func guard(f Filter, req *Request) (c Check) {
	defer func() {
		if p := recover(); p != nil {
			v := panicVerdict(f.Name(), p)
			c = Check{Host: func(HostView) Verdict { return v }, Shared: true}
		}
	}()
	return f.Prepare(req)
}

func panicVerdict(filter string, p any) Verdict {
	return Verdict{Reason: "could not be judged by " + filter, Saw: fmt.Sprintf("panic: %.200v", p), Fix: "mend the filter"}
}
