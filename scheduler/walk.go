package scheduler

import "math"

// The filters and weighers that run for nearly every request walk the packed
// rows directly, instead of being called for each host. What they compute is
// what their Check and Weigh compute; a test compares the two.

// walker is a filter that can skip over hosts that plainly pass. ahead copies
// them down from cand[read] to cand[write] until one needs a verdict.
//
// quick says in short what the Check would say at length: why the host is turned
// away (nil: it passes), by how much it falls short, and which part of what was
// wanted that is. It is false where only the Check knows.
type walker interface {
	ahead(v *view, cand []int32, read, write int) (int, int)
	quick(v *view, i int32) (why *cause, short int64, part float64, ok bool)
}

// cause is a reason that is counted often; there is one for each sentence.
type cause struct{ reason, class string }

// computeWalk is the ComputeFilter's.
type computeWalk struct{}

func (computeWalk) ahead(v *view, cand []int32, read, write int) (int, int) {
	rows := v.rows
	for ; read < len(cand); read++ {
		i := cand[read]
		cand[write] = i
		if rows[i].flags&(rowUp|rowEnabled) != rowUp|rowEnabled {
			break
		}
		write++
	}
	return read, write
}

var (
	isDown     = cause{reason: "down"}
	isDisabled = cause{reason: "disabled"}
)

func (computeWalk) quick(v *view, i int32) (*cause, int64, float64, bool) {
	switch v.rows[i].flags & (rowUp | rowEnabled) {
	case rowUp | rowEnabled:
		return nil, 0, 0, true
	case rowUp:
		return &isDisabled, 0, 1, true
	}
	return &isDown, 0, 1, true
}

// resourceWalk is the ResourceFilter's, for requests of dense classes only.
type resourceWalk struct {
	want  [3]int64
	lacks [3]cause
}

func newResourceWalk(d *demand) *resourceWalk {
	w := &resourceWalk{want: d.dense}
	for k, want := range w.want {
		if want == 0 {
			w.want[k] = math.MinInt64
		}
		w.lacks[k] = cause{d.words[k].short, denseClasses[k]}
	}
	return w
}

func (w *resourceWalk) quick(v *view, i int32) (why *cause, short int64, part float64, ok bool) {
	r := &v.rows[i]
	if v.picked > 0 || r.flags&rowUnits != 0 {
		return nil, 0, 0, false
	}
	for k, want := range w.want {
		switch {
		case want <= r.avail[k]:
		case want <= r.free[k]:
			return nil, 0, 0, false // more than one server may have
		default:
			n := want - r.free[k]
			if p := float64(n) / float64(want); why == nil || p > part {
				why, short, part = &w.lacks[k], n, p
			}
		}
	}
	return why, short, part, true
}

func (w *resourceWalk) ahead(v *view, cand []int32, read, write int) (int, int) {
	if v.picked > 0 {
		return read, write
	}
	rows := v.rows
	for ; read < len(cand); read++ {
		i := cand[read]
		cand[write] = i
		if !w.fits(&rows[i]) {
			break
		}
		write++
	}
	return read, write
}

// fits says that one server plainly fits; if not, a closer look decides. Wants
// of nothing are -inf here, so that they fit where use exceeds capacity.
func (w *resourceWalk) fits(r *row) bool {
	return w.want[0] <= r.avail[0] && w.want[1] <= r.avail[1] && w.want[2] <= r.avail[2] && r.flags&rowUnits == 0
}

// column is a weigher whose numbers stand in the rows.
type column interface {
	fill(v *view, cand []int32, raw []float64)
}

func (RAMWeigher) fill(v *view, cand []int32, raw []float64) {
	for k, i := range cand {
		raw[k] = float64(v.rows[i].physMem)
	}
}

func (CPUWeigher) fill(v *view, cand []int32, raw []float64) {
	for k, i := range cand {
		raw[k] = float64(v.rows[i].free[0])
	}
}

func (DiskWeigher) fill(v *view, cand []int32, raw []float64) {
	for k, i := range cand {
		raw[k] = float64(v.rows[i].physDsk)
	}
}

func (IoOpsWeigher) fill(v *view, cand []int32, raw []float64) {
	for k, i := range cand {
		raw[k] = float64(v.rows[i].numIO)
	}
}

func (BuildFailureWeigher) fill(v *view, cand []int32, raw []float64) {
	for k, i := range cand {
		raw[k] = -float64(v.rows[i].failed)
	}
}
