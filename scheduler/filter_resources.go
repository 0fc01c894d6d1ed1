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
	words [3]reasons // of the dense classes
}

type classAmount struct {
	class  string
	amount int64
	words  reasons
}

// reasons are the sentences for one class, made once and not for each host.
type reasons struct{ short, units string }

func reasonsFor(class string) reasons {
	w := classWord(class)
	return reasons{short: "lack " + w, units: "do not give that amount of " + w + " to one server"}
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
				d.dense[k], d.words[k] = r[class], reasonsFor(class)
				continue next
			}
		}
		d.extra = append(d.extra, classAmount{class, r[class], reasonsFor(class)})
	}
	return d
}

// Prepare implements [Filter].
func (ResourceFilter) Prepare(req *Request) Check {
	d := newDemand(req.Resources)
	if len(d.extra) > 0 {
		return Check{Host: func(h HostView) Verdict { return d.judge(h) }}
	}
	walk := newResourceWalk(&d)
	return Check{walk: walk, Host: func(h HostView) Verdict {
		if h.v.picked == 0 && walk.fits(h.row()) {
			return Verdict{}
		}
		return d.judge(h)
	}}
}

// judge looks at each class and reports the one that is most lacking, measured
// by what was wanted.
func (d *demand) judge(h HostView) Verdict {
	var worst Verdict
	worse := func(v Verdict) {
		if worst.Passed() || float64(v.short())/float64(v.Wanted) > float64(worst.short())/float64(worst.Wanted) {
			worst = v
		}
	}
	r := h.row()
	for k, want := range d.dense {
		if want == 0 {
			continue
		}
		free := r.free[k] - h.taken(denseClasses[k])
		plain := r.flags&rowUnits == 0 && want <= r.avail[k]
		if want > free {
			worse(Verdict{Reason: d.words[k].short, Class: denseClasses[k], Wanted: want, Free: free})
		} else if inv := &h.rest().dense[k].inv; !plain && !inv.Fits(want) {
			worse(unitsVerdict(d.words[k].units, denseClasses[k], inv, want, free))
		}
	}
	for _, e := range d.extra {
		c := h.rest().find(e.class)
		if c == nil {
			c = &cell{}
		}
		free := c.cap - c.used - h.taken(e.class)
		if e.amount > free {
			worse(Verdict{Reason: e.words.short, Class: e.class, Wanted: e.amount, Free: free})
		} else if !c.inv.Fits(e.amount) {
			worse(unitsVerdict(e.words.units, e.class, &c.inv, e.amount, free))
		}
	}
	return worst
}

func unitsVerdict(reason, class string, inv *Inventory, want, free int64) Verdict {
	if inv.MaxUnit > 0 && want > inv.MaxUnit {
		free = inv.MaxUnit
	}
	return Verdict{Reason: reason, Class: class, Wanted: want, Free: free, Fix: "change the inventory's units, or the amount"}
}
