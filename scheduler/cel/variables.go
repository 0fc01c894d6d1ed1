package cel

import (
	"math"
	"slices"
	"strconv"
	"strings"

	celgo "cel.dev/cel-go/cel"

	"github.com/nephos-cloud/nephos/scheduler"
)

// Variable is something that an expression may speak of.
type Variable struct {
	// Name is as in host.free_ram_mb.
	Name string
	// Type is the language's name of the type: int, double, string, bool,
	// list(string), map(string, int) and so on.
	Type string
	// Doc says what it is, with units.
	Doc string

	kind   *celgo.Type
	shared bool // the same for hosts with an equal profile
	get    func(*scope) any
}

// scope is what one evaluation sees.
type scope struct {
	host scheduler.HostView
	req  *request
	vars map[string]*Variable
}

// request is a request with its maps ready for the language.
type request struct {
	*scheduler.Request
	resources map[string]int64
	hints     map[string][]string
}

func newRequest(r *scheduler.Request) *request {
	out := &request{Request: r, resources: map[string]int64(r.Resources), hints: r.Hints}
	if out.resources == nil {
		out.resources = map[string]int64{}
	}
	if out.hints == nil {
		out.hints = map[string][]string{}
	}
	return out
}

// ResolveName implements the language's activation.
func (s *scope) ResolveName(name string) (any, bool) {
	v, ok := s.vars[name]
	if !ok {
		return nil, false
	}
	return v.get(s), true
}

// Parent implements the language's activation.
func (s *scope) Parent() celgo.Activation { return nil }

var (
	texts   = celgo.ListType(celgo.StringType)
	amounts = celgo.MapType(celgo.StringType, celgo.IntType)
	table   = celgo.MapType(celgo.StringType, celgo.StringType)
	lists   = celgo.MapType(celgo.StringType, texts)
	values  = celgo.MapType(celgo.StringType, celgo.DynType)
)

// byClass makes the map of a number by resource class.
func byClass(f func(h scheduler.HostView, class string) int64) func(*scope) any {
	return func(s *scope) any {
		out := map[string]int64{}
		for _, class := range s.host.Classes() {
			out[class] = f(s.host, class)
		}
		return out
	}
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// HostVariables lists what [NewFilter] and [NewWeigher] know.
func HostVariables() []Variable {
	amount := func(name, class, doc string, f func(scheduler.HostView, string) int64) Variable {
		return Variable{Name: name, kind: celgo.IntType, Doc: doc, get: func(s *scope) any { return f(s.host, class) }}
	}
	vars := []Variable{
		{Name: "host.id", kind: celgo.StringType, Doc: "the host's id", get: func(s *scope) any { return s.host.ID() }},
		{Name: "host.name", kind: celgo.StringType, Doc: "the host's name", get: func(s *scope) any { return s.host.Name() }},
		{Name: "host.node", kind: celgo.StringType, Doc: "the hypervisor's host name", get: func(s *scope) any { return s.host.Node() }},
		{Name: "host.zone", kind: celgo.StringType, Doc: "the availability zone, empty if it has none", shared: true, get: func(s *scope) any { return s.host.Zone() }},
		{Name: "host.traits", kind: texts, Doc: "the traits", shared: true, get: func(s *scope) any { return s.host.Traits() }},
		{Name: "host.attributes", kind: table, Doc: "the attributes by name, such as hypervisor_type", get: func(s *scope) any { return orEmpty(s.host.Attributes()) }},
		{Name: "host.aggregates", kind: texts, Doc: "the names of the aggregates", shared: true, get: func(s *scope) any {
			out := []string{}
			for _, a := range s.host.Aggregates() {
				out = append(out, a.Name)
			}
			return out
		}},
		{Name: "host.metadata", kind: lists, Doc: "what the aggregates say, values by key", shared: true, get: func(s *scope) any {
			out := map[string][]string{}
			for _, a := range s.host.Aggregates() {
				for key := range a.Metadata {
					out[key] = s.host.AggregateValues(key)
				}
			}
			return out
		}},
		{Name: "host.metrics", kind: celgo.MapType(celgo.StringType, celgo.DoubleType), Doc: "the metrics by name", get: func(s *scope) any {
			out := map[string]float64{}
			for _, name := range s.host.Metrics() {
				out[name], _ = s.host.Metric(name)
			}
			return out
		}},
		{Name: "host.free", kind: amounts, Doc: "what is left by resource class, with the ratio", get: byClass(scheduler.HostView.Free)},
		{Name: "host.used", kind: amounts, Doc: "what is in use by resource class", get: byClass(scheduler.HostView.Used)},
		{Name: "host.capacity", kind: amounts, Doc: "what may be handed out by resource class, with the ratio", get: byClass(scheduler.HostView.Capacity)},
		amount("host.free_vcpus", scheduler.VCPU, "VCPUs left, with the ratio", scheduler.HostView.Free),
		amount("host.free_ram_mb", scheduler.MemoryMB, "MiB left, with the ratio", scheduler.HostView.Free),
		amount("host.free_disk_gb", scheduler.DiskGB, "GiB left, with the ratio", scheduler.HostView.Free),
		amount("host.vcpus", scheduler.VCPU, "VCPUs that may be handed out, with the ratio", scheduler.HostView.Capacity),
		amount("host.ram_mb", scheduler.MemoryMB, "MiB that may be handed out, with the ratio", scheduler.HostView.Capacity),
		amount("host.disk_gb", scheduler.DiskGB, "GiB that may be handed out, with the ratio", scheduler.HostView.Capacity),
		{Name: "host.num_instances", kind: celgo.IntType, Doc: "servers on the host", get: func(s *scope) any { return s.host.NumInstances() }},
		{Name: "host.num_io_ops", kind: celgo.IntType, Doc: "builds and moves under way", get: func(s *scope) any { return s.host.NumIOOps() }},
		{Name: "host.failed_builds", kind: celgo.IntType, Doc: "builds that failed since one succeeded", get: func(s *scope) any { return s.host.FailedBuilds() }},
		{Name: "host.group_members", kind: celgo.IntType, Doc: "members of the request's server group on the host", get: func(s *scope) any { return s.host.GroupMembers() }},
	}
	vars = append(vars, requestVariables()...)
	return typed(append(vars,
		Variable{Name: "request.flavor", kind: celgo.StringType, Doc: "the flavor's name", shared: true, get: func(s *scope) any { return s.req.FlavorName }},
		Variable{Name: "request.image", kind: table, Doc: "the image's properties", shared: true, get: func(s *scope) any { return orEmpty(s.req.ImageProperties) }},
		Variable{Name: "request.resources", kind: amounts, Doc: "what one server takes, by resource class", shared: true, get: func(s *scope) any { return s.req.resources }},
	))
}

func requestVariables() []Variable {
	return []Variable{
		{Name: "request.id", kind: celgo.StringType, Doc: "the server's or volume's id", shared: true, get: func(s *scope) any { return s.req.ID }},
		{Name: "request.project_id", kind: celgo.StringType, Doc: "the project's id", shared: true, get: func(s *scope) any { return s.req.ProjectID }},
		{Name: "request.zone", kind: celgo.StringType, Doc: "the zone asked for, or empty", shared: true, get: func(s *scope) any { return s.req.Zone }},
		{Name: "request.count", kind: celgo.IntType, Doc: "how many are placed in one decision", shared: true, get: func(s *scope) any { return max(s.req.Count, 1) }},
		{Name: "request.extra_specs", kind: table, Doc: "the extra specs of the flavor or volume type", shared: true, get: func(s *scope) any { return orEmpty(s.req.ExtraSpecs) }},
		{Name: "request.hints", kind: lists, Doc: "the scheduler hints", shared: true, get: func(s *scope) any { return s.req.hints }},
	}
}

// PoolVariables lists what the expressions of pools of storage know: Cinder's
// names of numbers in stats, what the pool says of itself in capabilities, and
// the volume.
func PoolVariables() []Variable {
	number := func(name, doc string, f func(p *scheduler.Pool) float64) Variable {
		return Variable{Name: name, kind: celgo.DoubleType, Doc: doc, get: func(s *scope) any {
			if p := s.host.Pool(); p != nil {
				return f(p)
			}
			return math.NaN()
		}}
	}
	vars := []Variable{
		number("stats.total_capacity_gb", "GiB in all, negative if unknown", func(p *scheduler.Pool) float64 { return p.TotalGB }),
		number("stats.free_capacity_gb", "GiB left, negative if unknown", func(p *scheduler.Pool) float64 { return p.FreeGB }),
		number("stats.provisioned_capacity_gb", "GiB promised", func(p *scheduler.Pool) float64 { return p.ProvisionedGB }),
		number("stats.max_over_subscription_ratio", "how many times its size the pool may promise", func(p *scheduler.Pool) float64 { return p.MaxOverSubscription }),
		number("stats.reserved_percentage", "per cent kept free", func(p *scheduler.Pool) float64 { return float64(p.ReservedPercentage) }),
		{Name: "stats.total_volumes", kind: celgo.IntType, Doc: "volumes in the pool", get: func(s *scope) any { return s.host.NumInstances() }},
		{Name: "stats.name", kind: celgo.StringType, Doc: "host@backend#pool", get: func(s *scope) any { return s.host.ID() }},
		{Name: "stats.zone", kind: celgo.StringType, Doc: "the availability zone", get: func(s *scope) any { return s.host.Zone() }},
		{Name: "capabilities", kind: values, Doc: "what the pool says of itself; numbers are doubles", get: func(s *scope) any {
			out := map[string]any{}
			for k, v := range s.host.Attributes() {
				if f, err := strconv.ParseFloat(v, 64); err == nil {
					out[k] = f
				} else {
					out[k] = v
				}
			}
			return out
		}},
		{Name: "volume.size", kind: celgo.IntType, Doc: "GiB", get: func(s *scope) any {
			if s.req.Volume == nil {
				return int64(0)
			}
			return s.req.Volume.SizeGB
		}},
		{Name: "extra", kind: table, Doc: "the volume type's extra specs", get: func(s *scope) any { return orEmpty(s.req.ExtraSpecs) }},
	}
	return typed(append(vars, requestVariables()...))
}

func typed(vars []Variable) []Variable {
	for i := range vars {
		vars[i].Type = vars[i].kind.String()
	}
	slices.SortFunc(vars, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	return vars
}
