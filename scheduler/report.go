package scheduler

import (
	"errors"
	"slices"

	"github.com/nephos-cloud/nephos"
)

// ExplainOptions are the options of [Scheduler.Explain].
type ExplainOptions struct {
	// Options are those of the decision that is explained.
	Options
	// Hosts, by id, are the hosts to report on; nil means all. Unknown ids are
	// left out.
	Hosts []string
	// Marker and Limit page through the hosts by id: up to Limit of them, 0
	// meaning 1000 and at most 10,000, after Marker.
	Marker string
	Limit  int
}

// Report is a decision that was only thought through, with all that led to it.
type Report struct {
	// Choices are what Select would have answered; empty if there is no room for
	// all.
	Choices []Choice
	// Explanation is the decision's; its Placed says how many of several servers
	// would have fitted.
	Explanation Explanation
	// Hosts are the reports on hosts, by id.
	Hosts []HostReport
	// Next is the marker of the next page, or empty.
	Next string
}

// HostReport is everything about one host and one request, before the request's
// first server is placed.
type HostReport struct {
	Host   HostRef `json:"host"`
	Passed bool    `json:"passed"`
	// Filters are the verdicts of all filters that have something to ask.
	Filters []FilterVerdict `json:"filters"`
	// Resources are the numbers of the classes that the request wants.
	Resources []ResourceReport `json:"resources,omitempty"`
	// Weights are those of a host that passed.
	Weights *HostWeights `json:"weights,omitempty"`
	// Advice is what would make the request fit, if it does not.
	Advice []string `json:"advice,omitempty"`
}

// FilterVerdict is what one filter says about one host.
type FilterVerdict struct {
	Filter string `json:"filter"`
	Passed bool   `json:"passed"`
	Verdict
	Advice string `json:"advice,omitempty"`
}

// ResourceReport is what a host has of one class.
type ResourceReport struct {
	Class    string `json:"class"`
	Wanted   int64  `json:"wanted"`
	Capacity int64  `json:"capacity"` // with the allocation ratio
	Used     int64  `json:"used"`
	Free     int64  `json:"free"`
}

// Explain thinks a decision through and reports every filter's verdict and every
// weigher's weight for each host. It changes nothing, keeps nothing, and is no
// error if there is no room. It fails with nephos.ErrInvalid if the request is
// out of bounds.
func (s *Scheduler) Explain(snap *Snapshot, req Request, o ExplainOptions) (Report, error) {
	if err := req.check(); err != nil {
		return Report{}, err
	}
	if o.Limit <= 0 {
		o.Limit = 1000
	}
	o.Limit = min(o.Limit, 10_000)
	o.Options = o.bounded()

	snap.mu.RLock()
	defer snap.mu.RUnlock()
	var out Report
	out.Hosts, out.Next = s.reports(snap, req, o)
	d, err := newRun(s, newView(snap, &req), o.Options, &scratch{}).decide()
	if err != nil && !errors.Is(err, nephos.ErrNoCapacity) {
		return Report{}, err
	}
	out.Choices, out.Explanation = d.Choices, d.Explanation
	return out, nil
}

// page lists the rows to report on, by id.
func (o ExplainOptions) page(snap *Snapshot) (rows []int32, next string) {
	var ids []string
	if o.Hosts != nil {
		for _, id := range o.Hosts {
			if _, ok := snap.index[id]; ok && id > o.Marker {
				ids = append(ids, id)
			}
		}
	} else {
		for id := range snap.index {
			if id > o.Marker {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) > o.Limit {
		ids, next = ids[:o.Limit], ids[o.Limit-1]
	}
	for _, id := range ids {
		rows = append(rows, snap.index[id])
	}
	return rows, next
}

func (s *Scheduler) reports(snap *Snapshot, req Request, o ExplainOptions) (out []HostReport, next string) {
	rows, next := o.page(snap)
	r := newRun(s, newView(snap, &req), o.Options, &scratch{})
	for _, st := range r.stages {
		r.cand = st.sweep(r.v, r.cand)
	}
	r.weigh()
	r.sum()
	// Weights are normalised over those that pass, and so must be these.
	for _, st := range r.stages {
		st.know(r.v, rows)
	}
	for _, i := range rows {
		h := HostReport{Host: r.v.ref(i), Passed: true, Filters: []FilterVerdict{}}
		for _, st := range r.stages {
			vd := st.ask(r.v, i)
			h.Filters = append(h.Filters, FilterVerdict{st.name, vd.Passed(), vd, vd.Advice()})
			if a := vd.Advice(); !vd.Passed() && a != "" && !slices.Contains(h.Advice, a) {
				h.Advice = append(h.Advice, a)
			}
			h.Passed = h.Passed && vd.Passed()
		}
		view := HostView{r.v, i}
		for _, class := range req.Resources.classes() {
			h.Resources = append(h.Resources, ResourceReport{class, req.Resources[class], view.Capacity(class), view.Used(class), view.Free(class)})
		}
		if k, ok := slices.BinarySearch(r.cand, i); ok {
			w := r.weightsOf(i, k, r.total[k])
			h.Weights = &w
		}
		out = append(out, h)
	}
	return out, next
}
