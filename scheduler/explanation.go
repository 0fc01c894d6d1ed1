package scheduler

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// maxChosen bounds the hosts that an explanation lists as chosen.
const maxChosen = 100

// Explanation says how a decision came about. It is plain data of bounded size
// (at most some hundred entries, whatever the number of hosts), meant to be
// stored and served to operators as JSON. Users may see [Explanation.Summary]
// and nothing else.
type Explanation struct {
	RequestID string `json:"request_id"`
	// Kind is what was chosen from: empty for hosts, "pool" for pools of storage.
	Kind string `json:"kind,omitempty"`
	Seed uint64 `json:"seed"`
	// Hosts is how many the snapshot held, Passed how many passed all filters
	// before the first server was placed.
	Hosts  int `json:"hosts"`
	Passed int `json:"passed"`
	// Wanted and Placed count servers. Nothing is placed unless they are equal.
	Wanted  int            `json:"wanted"`
	Placed  int            `json:"placed"`
	Chosen  []HostRef      `json:"chosen,omitempty"`
	Filters []FilterReport `json:"filters"`
	// Weights are those of the best hosts, best first, when the first server was
	// placed.
	Weights []HostWeights `json:"weights,omitempty"`
	// Nearest is the host that came closest, when there was no valid one.
	Nearest *Miss    `json:"nearest,omitempty"`
	Notes   []string `json:"notes,omitempty"`
}

// FilterReport is what one filter did. Filters that had nothing to ask are left
// out.
type FilterReport struct {
	Name string `json:"name"`
	// In is how many hosts it was asked about, Rejected how many it turned away,
	// also those that no longer passed after an earlier server of the request.
	In       int           `json:"in"`
	Rejected int           `json:"rejected"`
	Reasons  []ReasonCount `json:"reasons,omitempty"`
	// Samples are some of the hosts, with the numbers that the filter saw.
	Samples []Rejection `json:"samples,omitempty"`
}

// ReasonCount counts the hosts that were turned away for one reason.
type ReasonCount struct {
	Reason string `json:"reason"`
	Hosts  int    `json:"hosts"`
	// Class and Nearest: the resource class, and the least by which a host fell
	// short of it; 0 if it is not about an amount.
	Class   string `json:"class,omitempty"`
	Nearest int64  `json:"nearest,omitempty"`
}

// Rejection is one host that a filter turned away.
type Rejection struct {
	Host HostRef `json:"host"`
	Verdict
}

// HostWeights are the weights of one host.
type HostWeights struct {
	Host   HostRef  `json:"host"`
	Total  float64  `json:"total"`
	Weighs []Weight `json:"weighers"`
}

// Weight is one weigher's contribution: Normalised times Multiplier.
type Weight struct {
	Name       string  `json:"name"`
	Raw        float64 `json:"raw"`
	Normalised float64 `json:"normalised"`
	Multiplier float64 `json:"multiplier"`
}

// Miss is the host that came closest: the fewest filters turn it away, and by
// the least.
type Miss struct {
	Host     HostRef          `json:"host"`
	Verdicts []NamedRejection `json:"verdicts"`
	// Short is every resource class that the host lacks, with the amount.
	Short Resources `json:"short,omitempty"`
	// Advice is what would make the request fit there.
	Advice []string `json:"advice,omitempty"`
}

// Summary tells in one line how many hosts there are and why they were turned
// away. It names no host, project or operator's remark, and may be shown to
// users.
func (e Explanation) Summary() string {
	var b strings.Builder
	kind, thing := "host", "server"
	if e.Kind != "" {
		kind, thing = e.Kind, "volume"
	}
	if e.Placed == e.Wanted && e.Wanted > 0 {
		fmt.Fprintf(&b, "Placed %s: %s, %d suitable", count(e.Placed, thing), count(e.Hosts, kind), e.Passed)
	} else {
		fmt.Fprintf(&b, "No valid %s: %s", kind, count(e.Hosts, kind))
		if e.Placed > 0 {
			fmt.Fprintf(&b, " with room for %d of %d %ss", e.Placed, e.Wanted, thing)
		}
	}
	var reasons []ReasonCount
	for _, f := range e.Filters {
		reasons = append(reasons, f.Reasons...)
	}
	slices.SortStableFunc(reasons, func(a, b ReasonCount) int { return b.Hosts - a.Hosts })
	for i, r := range reasons {
		if i == 8 {
			b.WriteString(", and others")
			break
		}
		fmt.Fprintf(&b, ", %d %s", r.Hosts, r.Reason)
		if r.Nearest > 0 {
			fmt.Fprintf(&b, " (nearest short of %s)", amountOf(r.Class, r.Nearest))
		}
	}
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (r *run) explainFilters() []FilterReport {
	out := make([]FilterReport, 0, len(r.stages))
	for _, st := range r.stages {
		f := FilterReport{Name: st.name, In: st.in, Rejected: st.rejected(), Reasons: st.reasons}
		for _, s := range st.samples {
			f.Samples = append(f.Samples, Rejection{r.v.ref(s.i), s.v})
		}
		out = append(out, f)
	}
	return out
}

func (r *run) explainWeights(top []scored) []HostWeights {
	out := make([]HostWeights, 0, r.o.Samples)
	for _, t := range top[:min(len(top), r.o.Samples)] {
		k, _ := slices.BinarySearch(r.cand, t.i)
		out = append(out, r.weightsOf(t.i, k, t.weight))
	}
	return out
}

// weightsOf tells the weights of the candidate that stands at k.
func (r *run) weightsOf(i int32, k int, total float64) HostWeights {
	w := HostWeights{Host: r.v.ref(i), Total: total}
	for _, g := range r.weighs {
		raw := r.raw[g.slot][k]
		n := g.normal(raw)
		if raw-raw != 0 || raw == 0 { // JSON has no NaN and no infinity, and -0 looks odd
			raw = 0
		}
		w.Weighs = append(w.Weighs, Weight{g.cfg.Weigher.Name(), raw, n, g.mult[r.v.rows[i].profile]})
	}
	return w
}

// part says whether the stage turns the host away, and which part of what was
// wanted the host lacks: 1 if it is not about an amount.
func (st *stage) part(v *view, i int32) (part float64, failed bool) {
	if w := st.check.walk; w != nil {
		if why, _, part, ok := w.quick(v, i); ok {
			return part, why != nil
		}
	}
	if _, known := st.batched[i]; st.batched != nil && !known {
		return 0, false // another call is too much to find out
	}
	vd := st.ask(v, i)
	switch {
	case vd.Passed():
		return 0, false
	case vd.Class != "" && vd.Wanted > 0:
		return float64(vd.short()) / float64(vd.Wanted), true
	}
	return 1, true
}

// nearest finds the host that the fewest filters turn away, and of these the
// one that falls short by the least part of what is wanted.
func (r *run) nearest() *Miss {
	best, bestFails, bestShort := int32(-1), math.MaxInt, 0.0
	for i := range int32(len(r.v.rows)) {
		fails, short := 0, 0.0
		for _, st := range r.stages {
			part, failed := st.part(r.v, i)
			if !failed {
				continue
			}
			if fails++; fails > bestFails {
				break
			}
			short += part
		}
		better := fails < bestFails || fails == bestFails && (short < bestShort ||
			short == bestShort && r.v.rests[i].id < r.v.rests[best].id)
		if better {
			best, bestFails, bestShort = i, fails, short
		}
	}
	if best < 0 {
		return nil
	}
	j := judge(r.v, r.stages, best)
	m := &Miss{Host: j.Host, Verdicts: j.Verdicts}
	h := HostView{r.v, best}
	for class, want := range r.v.req.Resources {
		if n := want - h.Free(class); want > 0 && n > 0 {
			if m.Short == nil {
				m.Short = Resources{}
			}
			m.Short[class] = n
		}
	}
	for _, class := range m.Short.classes() {
		m.Advice = append(m.Advice, "free "+amountOf(class, m.Short[class]))
	}
	for _, v := range j.Verdicts {
		if a := v.Advice; a != "" && !slices.Contains(m.Advice, a) {
			m.Advice = append(m.Advice, a)
		}
	}
	return m
}
