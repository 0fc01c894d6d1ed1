package scheduler

// SameHostFilter lets only hosts pass that carry one of the servers which the
// scheduler hint same_host names.
type SameHostFilter struct{}

// Name implements [Filter].
func (SameHostFilter) Name() string { return "SameHostFilter" }

// Prepare implements [Filter].
func (SameHostFilter) Prepare(req *Request) Check {
	hosts, asked := req.hinted("same_host")
	if !asked {
		return Check{}
	}
	return Check{Host: func(h HostView) Verdict {
		if hosts[h.ID()] {
			return Verdict{}
		}
		return Verdict{Reason: "not the host of the server named by same_host"}
	}}
}

// DifferentHostFilter turns away hosts that carry one of the servers which the
// scheduler hint different_host names.
type DifferentHostFilter struct{}

// Name implements [Filter].
func (DifferentHostFilter) Name() string { return "DifferentHostFilter" }

// Prepare implements [Filter].
func (DifferentHostFilter) Prepare(req *Request) Check {
	hosts, _ := req.hinted("different_host")
	if len(hosts) == 0 {
		return Check{}
	}
	return Check{Host: func(h HostView) Verdict {
		if hosts[h.ID()] {
			return Verdict{Reason: "host of a server named by different_host"}
		}
		return Verdict{}
	}}
}

// hinted returns the hosts of the servers that a hint names.
func (r *Request) hinted(hint string) (hosts map[string]bool, asked bool) {
	servers := r.Hints[hint]
	hosts = make(map[string]bool, len(servers))
	for _, id := range servers {
		if host := r.ServerHosts[id]; host != "" {
			hosts[host] = true
		}
	}
	return hosts, len(servers) > 0
}
