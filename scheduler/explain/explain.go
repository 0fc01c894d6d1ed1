package explain

import (
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/scheduler"
)

// explainRequest is the request to think through.
type explainRequest struct {
	Explain *question `json:"explain"`
}

type question struct {
	ID        string `json:"id"`
	ProjectID string `json:"project_id"`
	Count     *int   `json:"count"`
	Zone      string `json:"availability_zone"`
	// Flavor or Resources say what one server takes.
	Flavor       *flavor             `json:"flavor"`
	Resources    map[string]int64    `json:"resources"`
	ExtraSpecs   map[string]string   `json:"extra_specs"`
	VolumeBacked bool                `json:"volume_backed"`
	Image        *image              `json:"image"`
	Hints        map[string][]string `json:"hints"`
	ServerHosts  map[string]string   `json:"server_hosts"`
	Group        *group              `json:"group"`
	Host         string              `json:"host"`
	Node         string              `json:"hypervisor_hostname"`
	ForcedHost   string              `json:"force_host"`
	ForcedNode   string              `json:"force_node"`
	IgnoreHosts  []string            `json:"ignore_hosts"`

	Seed       int64    `json:"seed"`
	Alternates int      `json:"alternates"`
	Samples    int      `json:"samples"`
	Hosts      []string `json:"hosts"` // to report on; absent: all
	Limit      *int     `json:"limit"`
	Marker     string   `json:"marker"`
}

type flavor struct {
	Name       string            `json:"name"`
	VCPUs      int64             `json:"vcpus"`
	RAM        int64             `json:"ram"`
	Disk       int64             `json:"disk"`
	Ephemeral  int64             `json:"ephemeral"`
	Swap       int64             `json:"swap"`
	ExtraSpecs map[string]string `json:"extra_specs"`
}

type image struct {
	ID         string            `json:"id"`
	Properties map[string]string `json:"properties"`
}

type group struct {
	ID               string         `json:"id"`
	Policy           string         `json:"policy"`
	MaxServerPerHost int            `json:"max_server_per_host"`
	Members          map[string]int `json:"members"` // by host id
}

// request writes the question as the scheduler's.
func (q *question) request() (scheduler.Request, error) {
	bad := func(field, format string, args ...any) (scheduler.Request, error) {
		return scheduler.Request{}, nephos.Errorf(nephos.ErrInvalid, "explain."+field+" "+format, args...).WithField("explain." + field)
	}
	req := scheduler.Request{
		ID: q.ID, ProjectID: q.ProjectID, Zone: q.Zone, Resources: q.Resources, ExtraSpecs: q.ExtraSpecs, Count: 1, Hints: q.Hints,
		ServerHosts: q.ServerHosts, RequestedHost: q.Host, RequestedNode: q.Node, ForcedHost: q.ForcedHost, ForcedNode: q.ForcedNode,
		IgnoreHosts: q.IgnoreHosts,
	}
	if req.ID == "" {
		req.ID = "explain"
	}
	if q.Count != nil {
		if req.Count = *q.Count; req.Count < 1 || req.Count > scheduler.MaxCount {
			return bad("count", "is %d, which is not between 1 and %d", req.Count, scheduler.MaxCount)
		}
	}
	switch f := q.Flavor; {
	case f != nil && (q.Resources != nil || q.ExtraSpecs != nil):
		return bad("flavor", "and resources or extra_specs cannot both be given")
	case f != nil:
		for name, n := range map[string]int64{"vcpus": f.VCPUs, "ram": f.RAM, "disk": f.Disk, "ephemeral": f.Ephemeral, "swap": f.Swap} {
			if n < 0 || n > 1<<40 {
				return bad("flavor."+name, "is %d, which is out of bounds", n)
			}
		}
		var err error
		req.FlavorName, req.ExtraSpecs = f.Name, f.ExtraSpecs
		req.Resources, err = scheduler.Flavor{
			VCPUs: f.VCPUs, MemoryMB: f.RAM, RootGB: f.Disk, EphemeralGB: f.Ephemeral, SwapMB: f.Swap, ExtraSpecs: f.ExtraSpecs,
		}.Resources(q.VolumeBacked)
		if err != nil {
			return scheduler.Request{}, err
		}
	}
	if q.Image != nil {
		req.ImageID, req.ImageProperties = q.Image.ID, q.Image.Properties
	}
	if f := q.Flavor; f != nil {
		req.VCPUs, req.MemoryMB = f.VCPUs, f.RAM
		if err := req.Resources.Pin(req.ExtraSpecs, req.ImageProperties, f.VCPUs, f.RAM); err != nil {
			return scheduler.Request{}, err
		}
	}
	if g := q.Group; g != nil {
		if !slices.Contains([]string{scheduler.Affinity, scheduler.AntiAffinity, scheduler.SoftAffinity, scheduler.SoftAntiAffinity}, g.Policy) {
			return bad("group.policy", "is %.64q, which is none of affinity, anti-affinity, soft-affinity, soft-anti-affinity", g.Policy)
		}
		req.Group = &scheduler.Group{ID: g.ID, Policy: g.Policy, MaxServerPerHost: g.MaxServerPerHost, MembersByHost: g.Members}
	}
	return req, nil
}

// answer is a decision that was thought through.
type answer struct {
	Summary string   `json:"summary"`
	Fits    bool     `json:"fits"`
	Wanted  int      `json:"wanted"`
	Placed  int      `json:"placed"`
	Choices []choice `json:"choices"`

	HostCount int                      `json:"host_count"`
	Passed    int                      `json:"passed"`
	Filters   []scheduler.FilterReport `json:"filters"`
	Nearest   *scheduler.Miss          `json:"nearest"`
	Notes     []string                 `json:"notes"`
	Hosts     []scheduler.HostReport   `json:"hosts"`
	Next      *string                  `json:"next_marker"`
}

type choice struct {
	Host       scheduler.HostRef   `json:"host"`
	Weight     float64             `json:"weight"`
	Claim      scheduler.Resources `json:"claim"`
	Alternates []scheduler.HostRef `json:"alternates"`
}

func (a *api) explain(r *httpapi.Request) (*httpapi.Response, error) {
	var body explainRequest
	if err := r.Decode(&body); err != nil {
		return nil, err
	}
	q := body.Explain
	if q == nil {
		return nil, nephos.Errorf(nephos.ErrInvalid, "explain is required: it says what to think through").WithField("explain")
	}
	req, err := q.request()
	if err != nil {
		return nil, err
	}
	o := scheduler.ExplainOptions{
		Options: scheduler.Options{Seed: uint64(q.Seed), Alternates: q.Alternates, Samples: q.Samples},
		Hosts:   q.Hosts, Marker: q.Marker,
	}
	if q.Limit != nil {
		if o.Limit = *q.Limit; o.Limit < 1 || o.Limit > 10_000 {
			return nil, nephos.Errorf(nephos.ErrInvalid, "explain.limit is %d, which is not between 1 and 10000", o.Limit).WithField("explain.limit")
		}
	}
	rep, err := a.store.Explain(r.Context(), req, o)
	if err != nil {
		return nil, err
	}
	e := &rep.Explanation
	out := answer{
		Summary: e.Summary(), Fits: e.Placed == e.Wanted, Wanted: e.Wanted, Placed: e.Placed, Choices: []choice{}, HostCount: e.Hosts, Passed: e.Passed,
		Filters: orEmpty(e.Filters), Nearest: e.Nearest, Notes: orEmpty(e.Notes), Hosts: orEmpty(rep.Hosts),
	}
	for _, c := range rep.Choices {
		claim := c.Claim
		if claim == nil {
			claim = req.Resources
		}
		out.Choices = append(out.Choices, choice{c.Host, c.Weight, claim, orEmpty(c.Alternates)})
	}
	if rep.Next != "" {
		out.Next = &rep.Next
	}
	return httpapi.OK(map[string]any{"explanation": out}), nil
}
