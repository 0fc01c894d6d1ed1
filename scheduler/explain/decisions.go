package explain

import (
	"cmp"
	"strconv"
	"time"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

// briefDecision is a decision in a list.
type briefDecision struct {
	ID        string `json:"id"`
	RequestID string `json:"request_id"`
	// ServerID or VolumeID is what was to be placed, the other null.
	ServerID  *string             `json:"server_id"`
	VolumeID  *string             `json:"volume_id"`
	CreatedAt string              `json:"created_at"`
	Summary   string              `json:"summary"`
	Hosts     int                 `json:"hosts"`
	Passed    int                 `json:"passed"`
	Chosen    []scheduler.HostRef `json:"chosen"`
	Links     []link              `json:"links"`
}

// fullDecision is a decision with all that led to it.
type fullDecision struct {
	briefDecision
	Seed    uint64                   `json:"seed"`
	Wanted  int                      `json:"wanted"`
	Placed  int                      `json:"placed"`
	Filters []scheduler.FilterReport `json:"filters"`
	Weights []scheduler.HostWeights  `json:"weights"`
	Nearest *scheduler.Miss          `json:"nearest"`
	Notes   []string                 `json:"notes"`
}

func brief(r *httpapi.Request, d *sqlstore.Decision) briefDecision {
	id := strconv.FormatInt(d.ID, 10)
	var server, volume *string
	if d.Kind == "" {
		server = &d.ConsumerID
	} else {
		volume = &d.ConsumerID
	}
	return briefDecision{
		ID: id, RequestID: d.RequestID, ServerID: server, VolumeID: volume, CreatedAt: d.At.UTC().Format(time.RFC3339), Summary: d.Summary(),
		Hosts: d.Hosts, Passed: d.Passed, Chosen: orEmpty(d.Chosen), Links: []link{{"self", r.Link("/v1/decisions/"+id, nil)}},
	}
}

// orEmpty makes an absent list an empty one, which is what clients expect.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (a *api) list(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := r.Page(httpapi.PageOptions{Style: httpapi.Neutron, DefaultLimit: 100, MaxLimit: 1000})
	if err != nil {
		return nil, err
	}
	failed, err := r.Bool("failed", false)
	if err != nil {
		return nil, err
	}
	q := r.Query()
	f := sqlstore.DecisionFilter{ConsumerID: cmp.Or(q.Get("server_id"), q.Get("volume_id")), RequestID: q.Get("request_id"), Failed: failed}
	list, more, err := a.store.Decisions(r.Context(), f, p)
	if err != nil {
		return nil, err
	}
	out, links := make([]briefDecision, len(list)), []link{}
	for i := range list {
		out[i] = brief(r, &list[i])
	}
	if more {
		links = append(links, link{"next", httpapi.NextLink(r, p, out[len(out)-1].ID)})
	}
	return httpapi.OK(map[string]any{"decisions": out, "decisions_links": links}), nil
}

func (a *api) show(r *httpapi.Request) (*httpapi.Response, error) {
	d, err := a.store.Decision(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"decision": fullDecision{
		briefDecision: brief(r, &d), Seed: d.Seed, Wanted: d.Wanted, Placed: d.Placed, Filters: orEmpty(d.Filters), Weights: orEmpty(d.Weights),
		Nearest: d.Nearest, Notes: orEmpty(d.Notes),
	}}), nil
}
