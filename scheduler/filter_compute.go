package scheduler

// ComputeFilter turns away hosts that are disabled or down. It always runs.
type ComputeFilter struct{}

// Name implements [Filter].
func (ComputeFilter) Name() string { return "ComputeFilter" }

// Prepare implements [Filter].
func (ComputeFilter) Prepare(*Request) Check {
	return Check{walk: computeWalk{}, Host: func(h HostView) Verdict {
		switch h.row().flags & (rowUp | rowEnabled) {
		case rowUp | rowEnabled:
			return Verdict{}
		case rowUp:
			return Verdict{Reason: isDisabled.reason, Saw: h.DisabledReason(), Fix: "enable the host"}
		}
		return Verdict{Reason: isDown.reason, Fix: "bring the host up"}
	}}
}

// destination turns away hosts that the request excludes by name; it is the
// first stage of every decision.
type destination struct{}

func (destination) Name() string { return "Destination" }

func (destination) Prepare(req *Request) Check {
	ignore := make(map[string]bool, len(req.IgnoreHosts))
	for _, id := range req.IgnoreHosts {
		ignore[id] = true
	}
	named := req.forced() || req.RequestedHost != "" || req.RequestedNode != ""
	if len(ignore)+len(req.Refused) == 0 && !named {
		return Check{}
	}
	return Check{Host: func(h HostView) Verdict {
		t := h.rest()
		host := func(want string) bool { return want == "" || want == t.name || want == t.id }
		node := func(want string) bool { return want == "" || want == t.node }
		switch {
		case !host(req.ForcedHost) || !node(req.ForcedNode) || !host(req.RequestedHost) || !node(req.RequestedNode):
			return Verdict{Reason: "not the host asked for", Saw: t.name}
		case ignore[t.id]:
			return Verdict{Reason: "excluded by the request", Saw: t.name}
		case req.Refused[t.id] != "":
			return Verdict{Reason: req.Refused[t.id], Saw: t.name}
		}
		return Verdict{}
	}}
}
