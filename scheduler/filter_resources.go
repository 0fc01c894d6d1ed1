package scheduler

// ResourceFilter turns away hosts that have too little left of a resource
// class, by the rules of Placement: used + amount <= (total - reserved) * ratio,
// and the amount within the inventory's units. It always runs, also on hosts
// that an operator forces. It does the work of Nova's former CoreFilter,
// RamFilter and DiskFilter.
type ResourceFilter struct{}

// Name implements [Filter].
func (ResourceFilter) Name() string { return "ResourceFilter" }

// demand is what a request wants, sorted out for the walk.
type demand struct {
	dense [3]int64
	extra []classAmount
}

type classAmount struct {
	class  string
	amount int64
}

func newDemand(r Resources) demand {
	var d demand
next:
	for _, class := range r.classes() {
		if r[class] <= 0 {
			continue
		}
		for k := range denseClasses {
			if denseClasses[k] == class {
				d.dense[k] = r[class]
				continue next
			}
		}
		d.extra = append(d.extra, classAmount{class, r[class]})
	}
	return d
}

// Prepare implements [Filter].
func (ResourceFilter) Prepare(req *Request) Check {
	d := newDemand(req.Resources)
	reasons := make(map[string]resourceReasons, len(req.Resources))
	for class := range req.Resources {
		w := classWord(class)
		reasons[class] = resourceReasons{short: "lack " + w, units: "do not give that amount of " + w + " to one server"}
	}
	return Check{Host: func(h HostView) Verdict {
		r := h.row()
		if h.v.picked == 0 && r.flags&rowUnits == 0 && len(d.extra) == 0 {
			ok := true
			for k, want := range d.dense {
				// A want of nothing passes also where use exceeds capacity.
				ok = ok && (want <= r.avail[k] || want == 0)
			}
			if ok {
				return Verdict{}
			}
		}
		return d.judge(h, reasons)
	}}
}

type resourceReasons struct{ short, units string }

// judge looks at each class and reports the one that is most lacking, measured
// by what was wanted.
func (d *demand) judge(h HostView, reasons map[string]resourceReasons) Verdict {
	var worst Verdict
	look := func(class string, want int64) {
		c := h.rest().find(class)
		if c == nil {
			c = &cell{}
		}
		free := c.cap - c.used - h.taken(class)
		var v Verdict
		switch {
		case want > free:
			v = Verdict{Reason: reasons[class].short, Class: class, Wanted: want, Free: free}
		case !c.inv.Fits(want):
			v = Verdict{Reason: reasons[class].units, Class: class, Wanted: want, Free: free, Fix: "change the inventory's units, or the amount"}
			if m := c.inv.MaxUnit; m > 0 && want > m {
				v.Free = m
			}
		default:
			return
		}
		if worst.Passed() || float64(v.short())/float64(v.Wanted) > float64(worst.short())/float64(worst.Wanted) {
			worst = v
		}
	}
	for k, want := range d.dense {
		if want > 0 {
			look(denseClasses[k], want)
		}
	}
	for _, e := range d.extra {
		look(e.class, e.amount)
	}
	return worst
}
