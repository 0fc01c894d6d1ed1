package scheduler

// The filters and weighers that run for nearly every request walk the packed
// rows directly, instead of being called for each host. What they compute is
// what their Check and Weigh compute; a test compares the two.

// walker is a filter that can skip over hosts that plainly pass. ahead copies
// them down from cand[read] to cand[write] until one needs a verdict.
type walker interface {
	ahead(v *view, cand []int32, read, write int) (int, int)
}

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

// resourceWalk is the ResourceFilter's, for requests of dense classes only.
type resourceWalk struct{ want [3]int64 }

func (w resourceWalk) ahead(v *view, cand []int32, read, write int) (int, int) {
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
