package scheduler

import (
	"math"
	"slices"

	"github.com/nephos-cloud/nephos"
)

// scratch is the memory of one decision, kept for the next.
type scratch struct {
	cand  []int32
	total []float64
	raw   [][]float64
}

// run is one decision under way.
type run struct {
	s      *Scheduler
	v      *view
	o      Options
	seed   uint64
	stages []*stage
	weighs []*weighing
	*scratch
}

// weighing is one weigher at work; raw numbers stand beside the candidates.
type weighing struct {
	cfg    WeigherConfig
	mult   []float64 // by profile slot
	same   bool      // all of mult are equal
	lo, hi float64   // fixed ends
	a, b   float64   // the ends in force
	slot   int       // in scratch.raw
	panics int
}

// scored is a candidate with its weight and what settles a tie.
type scored struct {
	i      int32
	weight float64
	tie    uint64
}

func newRun(s *Scheduler, v *view, o Options, sc *scratch) *run {
	r := &run{s: s, v: v, o: o, seed: mix(o.Seed ^ mix(hashString(v.req.ID))), scratch: sc}
	r.stages = newStages(s, v, o.Samples)
	n := len(v.rows)
	r.cand = slices.Grow(r.cand[:0], n)[:n]
	for i := range r.cand {
		r.cand[i] = int32(i)
	}
	for _, w := range s.weighers {
		if a, ok := w.Weigher.(Selective); ok && !a.Applies(v.req) {
			continue
		}
		g := &weighing{cfg: w, mult: w.multipliers(v.profiles), slot: len(r.weighs)}
		g.same = len(g.mult) > 0 && !slices.ContainsFunc(g.mult, func(m float64) bool { return m != g.mult[0] })
		g.lo, g.hi = bounds(w.Weigher)
		r.weighs = append(r.weighs, g)
	}
	for len(r.raw) < len(r.weighs) {
		r.raw = append(r.raw, nil)
	}
	return r
}

func (r *run) decide() (Decision, error) {
	for _, st := range r.stages {
		r.cand = st.sweep(r.v, r.cand)
	}
	e := Explanation{RequestID: r.v.req.ID, Seed: r.o.Seed, Hosts: len(r.v.rows), Passed: len(r.cand)}
	none := NoValidHost
	if r.v.req.Volume != nil {
		e.Kind, none = "pool", NoValidPool
	}
	count := max(r.v.req.Count, 1)
	e.Wanted = count
	r.weigh()

	var choices []Choice
	var top []scored
	for len(choices) < count && len(r.cand) > 0 {
		r.sum()
		top = r.best(max(r.o.Alternates+1, r.s.subset, r.o.Samples))
		if len(choices) == 0 {
			e.Weights = r.explainWeights(top)
		}
		win := top[r.draw(len(top), len(choices))]
		extra := r.extra(win.i)
		choices = append(choices, Choice{
			Host: r.v.ref(win.i), Generation: r.v.rests[win.i].generation, Weight: win.weight, Claim: r.claim(extra),
		})
		if count > 1 {
			r.v.pick(win.i, extra)
			r.again(win.i)
		}
	}
	e.Placed = len(choices)
	e.Filters = r.explainFilters()
	for _, g := range r.weighs {
		if g.panics > 0 {
			e.Notes = append(e.Notes, g.cfg.Weigher.Name()+" failed and was not counted on some hosts")
		}
	}
	if len(choices) < count {
		e.Nearest = r.nearest()
		if len(choices) > 0 {
			// What was tried is worth telling, but nothing of it stands.
			e.Notes = append(e.Notes, "what one request asks for is placed all or none")
		}
		return Decision{Explanation: e}, nephos.Errorf(nephos.ErrNoCapacity, "%s %s.", none, e.Summary()).WithReason("NoValidHost")
	}
	r.alternates(choices, top)
	for _, c := range choices {
		e.Chosen = append(e.Chosen, c.Host)
		if len(e.Chosen) == maxChosen {
			break
		}
	}
	return Decision{Choices: choices, Explanation: e}, nil
}

// extra is what a server takes from a host beyond the request's resources.
func (r *run) extra(i int32) Resources {
	var sum Resources
	for _, st := range r.stages {
		if st.check.Claim != nil {
			sum = sum.Add(st.check.Claim(HostView{r.v, i}))
		}
	}
	return sum
}

func (r *run) claim(extra Resources) Resources {
	if len(extra) == 0 {
		return nil
	}
	return r.v.req.Resources.Add(extra)
}

// draw chooses among the best by the seed.
func (r *run) draw(n, pick int) int {
	n = min(n, r.s.subset)
	if n <= 1 {
		return 0
	}
	return int(mix(r.seed+uint64(pick)) % uint64(n))
}

// weigh asks the weighers about all candidates.
func (r *run) weigh() {
	n := len(r.cand)
	r.total = slices.Grow(r.total[:0], n)[:n]
	for _, g := range r.weighs {
		raw := slices.Grow(r.raw[g.slot][:0], n)[:n]
		r.raw[g.slot] = raw
		if c, ok := g.cfg.Weigher.(column); ok && r.v.picked == 0 {
			c.fill(r.v, r.cand, raw)
			continue
		}
		if b, ok := g.cfg.Weigher.(Batcher); ok {
			g.all(b, r.v, r.cand, raw)
			continue
		}
		for k := 0; k < n; {
			k = g.some(r.v, r.cand, raw, k)
		}
	}
}

// all weighs the candidates at once. If that fails, none of them is weighed.
func (g *weighing) all(b Batcher, v *view, cand []int32, raw []float64) {
	if len(cand) == 0 {
		return
	}
	var got []float64
	func() {
		defer func() { _ = recover() }()
		views := make([]HostView, len(cand))
		for k, i := range cand {
			views[k] = HostView{v, i}
		}
		got = b.WeighAll(v.req, views)
	}()
	if len(got) == len(cand) {
		copy(raw, got)
		return
	}
	g.panics++
	for k := range raw {
		raw[k] = math.NaN()
	}
}

// some weighs until the end, or just past a host over which the weigher panics.
func (g *weighing) some(v *view, cand []int32, raw []float64, from int) (k int) {
	k = from
	defer func() {
		if recover() != nil {
			raw[k] = math.NaN()
			g.panics++
			k++
		}
	}()
	w, req := g.cfg.Weigher, v.req
	for ; k < len(cand); k++ {
		raw[k] = w.Weigh(req, HostView{v, cand[k]})
	}
	return k
}

// ends settles the ends of the scale over the candidates.
func (g *weighing) ends(raw []float64) {
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, x := range raw {
		if x-x != 0 { // NaN or infinite
			continue
		}
		if x < lo {
			lo = x
		}
		if x > hi {
			hi = x
		}
	}
	if lo > hi {
		lo, hi = 0, 0
	}
	g.a, g.b = lo, hi
	if !math.IsInf(g.lo, 0) {
		g.a, g.b = g.lo, max(g.b, g.lo)
	}
	if !math.IsInf(g.hi, 0) {
		g.b, g.a = g.hi, min(g.a, g.hi)
	}
}

// normal is the number on a scale of 0 to 1.
func (g *weighing) normal(x float64) float64 {
	if g.b <= g.a || x-x != 0 || x <= g.a {
		return 0
	}
	return min((x-g.a)/(g.b-g.a), 1)
}

// sum adds up the weighers' contributions for each candidate.
func (r *run) sum() {
	clear(r.total)
	for _, g := range r.weighs {
		raw := r.raw[g.slot]
		g.ends(raw)
		if g.b <= g.a {
			continue
		}
		if g.same {
			m := g.mult[0]
			for k, x := range raw {
				r.total[k] += m * g.normal(x)
			}
			continue
		}
		for k, x := range raw {
			r.total[k] += g.mult[r.v.rows[r.cand[k]].profile] * g.normal(x)
		}
	}
}

// best returns the best n candidates, best first.
func (r *run) best(n int) []scored {
	n = min(n, len(r.cand))
	top := make([]scored, 0, n+1)
	for k, i := range r.cand {
		w := r.total[k]
		if len(top) == n && w < top[n-1].weight {
			continue
		}
		c := scored{i, w, mix(r.v.rests[i].hash ^ r.seed)}
		if len(top) == n && !r.before(c, top[n-1]) {
			continue
		}
		at, _ := slices.BinarySearchFunc(top, c, func(a, b scored) int {
			if r.before(a, b) {
				return -1
			}
			return 1
		})
		top = slices.Insert(top, at, c)
		top = top[:min(len(top), n)]
	}
	return top
}

func (r *run) before(a, b scored) bool {
	if a.weight != b.weight {
		return a.weight > b.weight
	}
	if a.tie != b.tie {
		return a.tie < b.tie
	}
	return r.v.rests[a.i].id < r.v.rests[b.i].id
}

// again asks anew what a pick has changed: the filters about the host that was
// picked, filters that look at all picks about all hosts, and the weighers about
// the host.
func (r *run) again(picked int32) {
	gone := func(i int32) bool {
		for _, st := range r.stages {
			if i != picked && !st.check.EachPick {
				continue
			}
			if vd := st.ask(r.v, i); !vd.Passed() {
				st.reject(i, vd)
				return true
			}
		}
		return false
	}
	all := slices.ContainsFunc(r.stages, func(st *stage) bool { return st.check.EachPick })
	if !all {
		k, _ := slices.BinarySearch(r.cand, picked) // cand is in the order of rows
		if gone(picked) {
			r.cand = slices.Delete(r.cand, k, k+1)
			for _, g := range r.weighs {
				r.raw[g.slot] = slices.Delete(r.raw[g.slot], k, k+1)
			}
			r.total = r.total[:len(r.cand)]
			return
		}
		r.reweigh(k)
		return
	}
	write := 0
	for k, i := range r.cand {
		if gone(i) {
			continue
		}
		r.cand[write] = i
		for _, g := range r.weighs {
			r.raw[g.slot][write] = r.raw[g.slot][k]
		}
		if i == picked {
			r.reweigh(write)
		}
		write++
	}
	r.cand, r.total = r.cand[:write], r.total[:write]
	for _, g := range r.weighs {
		r.raw[g.slot] = r.raw[g.slot][:write]
	}
}

// reweigh asks the weighers about one candidate.
func (r *run) reweigh(k int) {
	for _, g := range r.weighs {
		if b, ok := g.cfg.Weigher.(Batcher); ok {
			g.all(b, r.v, r.cand[k:k+1], r.raw[g.slot][k:k+1])
			continue
		}
		g.some(r.v, r.cand[k:k+1], r.raw[g.slot][k:k+1], 0)
	}
}

// alternates gives each choice the next best hosts. For a single server these
// are the runners-up; for several, the best that are left after the last.
func (r *run) alternates(choices []Choice, top []scored) {
	if r.o.Alternates == 0 {
		return
	}
	if len(choices) > 1 {
		r.sum()
		top = r.best(r.o.Alternates + 1)
	}
	for c := range choices {
		var claims []Resources
		for _, t := range top {
			if len(choices[c].Alternates) == r.o.Alternates {
				break
			}
			if ref := r.v.ref(t.i); ref.ID != choices[c].Host.ID {
				choices[c].Alternates = append(choices[c].Alternates, ref)
				claims = append(claims, r.claim(r.extra(t.i)))
			}
		}
		if slices.ContainsFunc(claims, func(c Resources) bool { return c != nil }) {
			choices[c].AlternateClaims = claims
		}
	}
}
