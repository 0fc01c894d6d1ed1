package scheduler

import (
	"fmt"
	"slices"
)

// maxReasons bounds the reasons that are counted for one filter.
const maxReasons = 16

// stage is one filter at work in one decision.
type stage struct {
	name    string
	check   Check
	in      int
	reasons []ReasonCount
	last    int // the reason met last, which is often the next too
	samples []sample
	keep    int // how many samples

	memo []memo // by profile slot, if the check is shared

	batched map[int32]Verdict // by row, if the check judges batches
}

type memo struct {
	known   bool
	verdict Verdict
}

type sample struct {
	i int32
	v Verdict
}

// newStages prepares the filters that have something to ask.
func newStages(s *Scheduler, v *view, samples int) []*stage {
	out := make([]*stage, 0, len(s.filters))
	for i, f := range s.filters {
		if v.req.forced() && i >= always && !keeps(f) {
			continue
		}
		c := guard(f, v.req)
		if c.Host == nil && c.Batch == nil {
			continue
		}
		st := &stage{name: f.Name(), check: c, keep: samples}
		if c.Batch != nil {
			st.batched = map[int32]Verdict{}
		} else if c.Shared {
			st.memo = make([]memo, len(v.profiles))
		}
		out = append(out, st)
	}
	return out
}

// sweep asks the stage about all candidates and returns those that pass, in the
// same memory.
func (st *stage) sweep(v *view, cand []int32) []int32 {
	st.in += len(cand)
	read, write := 0, 0
	if st.batched != nil {
		st.judge(v, cand)
		for _, i := range cand {
			if vd := st.batched[i]; !vd.Passed() {
				st.reject(i, vd)
			} else {
				cand[write] = i
				write++
			}
		}
		return cand[:write]
	}
	for read < len(cand) {
		read, write = st.some(v, cand, read, write)
	}
	return cand[:write]
}

// some sweeps until the end, or just past a host over which the filter panics.
func (st *stage) some(v *view, cand []int32, from, to int) (read, write int) {
	read, write = from, to
	defer func() {
		if p := recover(); p != nil {
			st.reject(cand[read], panicVerdict(st.name, p))
			read++
		}
	}()
	if st.memo != nil {
		for ; read < len(cand); read++ {
			i := cand[read]
			if vd := st.shared(v, i); vd.Reason != "" {
				st.reject(i, *vd)
			} else {
				cand[write] = i
				write++
			}
		}
		return read, write
	}
	for ; read < len(cand); read++ {
		if st.check.walk != nil {
			if read, write = st.check.walk.ahead(v, cand, read, write); read == len(cand) {
				break
			}
		}
		i := cand[read]
		if st.check.walk != nil && len(st.samples) == st.keep {
			if why, short, _, ok := st.check.walk.quick(v, i); ok && why != nil {
				st.tally(why, short)
				continue
			}
		}
		if vd := st.check.Host(HostView{v, i}); vd.Reason != "" {
			st.reject(i, vd)
		} else {
			cand[write] = i
			write++
		}
	}
	return read, write
}

// judge asks a stage that judges batches about hosts, all at once.
func (st *stage) judge(v *view, rows []int32) {
	if len(rows) == 0 {
		return
	}
	var verdicts []Verdict
	saw := ""
	func() {
		defer func() {
			if p := recover(); p != nil {
				verdicts, saw = nil, panicVerdict(st.name, p).Saw
			}
		}()
		views := make([]HostView, len(rows))
		for k, i := range rows {
			views[k] = HostView{v, i}
		}
		verdicts = st.check.Batch(views)
	}()
	for k, i := range rows {
		if len(verdicts) == len(rows) {
			st.batched[i] = verdicts[k]
			continue
		}
		if saw == "" {
			saw = fmt.Sprintf("%d verdicts on %d hosts", len(verdicts), len(rows))
		}
		st.batched[i] = Verdict{Reason: "could not be judged by " + st.name, Saw: saw, Fix: "mend the filter"}
	}
}

// know has a stage that judges batches judge the hosts that it has not yet.
func (st *stage) know(v *view, rows []int32) {
	if st.batched == nil {
		return
	}
	var unknown []int32
	for _, i := range rows {
		if _, ok := st.batched[i]; !ok {
			unknown = append(unknown, i)
		}
	}
	st.judge(v, unknown)
}

// shared returns the verdict on the host's profile.
func (st *stage) shared(v *view, i int32) *Verdict {
	m := &st.memo[v.rows[i].profile]
	if !m.known {
		m.verdict, m.known = st.check.Host(HostView{v, i}), true
	}
	return &m.verdict
}

// ask returns the verdict on one host; a panic turns the host away.
func (st *stage) ask(v *view, i int32) Verdict {
	if st.batched != nil {
		if v.picked > 0 {
			st.judge(v, []int32{i}) // a pick may have changed it
		} else {
			st.know(v, []int32{i})
		}
		return st.batched[i]
	}
	if st.check.walk != nil { // one of ours, which does not panic
		return st.check.Host(HostView{v, i})
	}
	return st.askGuarded(v, i)
}

func (st *stage) askGuarded(v *view, i int32) (vd Verdict) {
	defer func() {
		if p := recover(); p != nil {
			vd = panicVerdict(st.name, p)
		}
	}()
	if st.memo != nil {
		return *st.shared(v, i)
	}
	return st.check.Host(HostView{v, i})
}

// reject counts a host that was turned away.
func (st *stage) reject(i int32, vd Verdict) {
	k := st.last
	if k >= len(st.reasons) || st.reasons[k].Reason != vd.Reason {
		k = slices.IndexFunc(st.reasons, func(r ReasonCount) bool { return r.Reason == vd.Reason })
	}
	if k < 0 {
		if len(st.reasons) == maxReasons {
			vd.Reason, vd.Class = "turned away by "+st.name, ""
			k = maxReasons - 1
			st.reasons[k].Reason, st.reasons[k].Class, st.reasons[k].Nearest = vd.Reason, "", 0
		} else {
			k = len(st.reasons)
			st.reasons = append(st.reasons, ReasonCount{Reason: vd.Reason, Class: vd.Class})
		}
	}
	st.last = k
	r := &st.reasons[k]
	r.Hosts++
	if n := vd.short(); n > 0 && (r.Nearest == 0 || n < r.Nearest) {
		r.Nearest = n
	}
	if len(st.samples) < st.keep {
		st.samples = append(st.samples, sample{i, vd})
	}
}

// tally counts a host like those that reject counted before.
func (st *stage) tally(why *cause, short int64) {
	k := st.last
	if k >= len(st.reasons) || st.reasons[k].Reason != why.reason {
		k = slices.IndexFunc(st.reasons, func(r ReasonCount) bool { return r.Reason == why.reason })
	}
	if k < 0 { // one of a few, so there is room
		k = len(st.reasons)
		st.reasons = append(st.reasons, ReasonCount{Reason: why.reason, Class: why.class})
	}
	st.last = k
	r := &st.reasons[k]
	r.Hosts++
	if short > 0 && (r.Nearest == 0 || short < r.Nearest) {
		r.Nearest = short
	}
}

// rejected is how many hosts the stage turned away.
func (st *stage) rejected() int {
	n := 0
	for _, r := range st.reasons {
		n += r.Hosts
	}
	return n
}
