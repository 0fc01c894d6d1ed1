package scheduler

// ServerGroupAffinityFilter keeps the servers of a group with policy affinity
// on one host: once the group has members, only hosts with members pass.
type ServerGroupAffinityFilter struct{}

// Name implements [Filter].
func (ServerGroupAffinityFilter) Name() string { return "ServerGroupAffinityFilter" }

// Prepare implements [Filter].
func (ServerGroupAffinityFilter) Prepare(req *Request) Check {
	g := req.Group
	if g == nil || g.Policy != Affinity {
		return Check{}
	}
	placed := false
	for _, n := range g.MembersByHost {
		placed = placed || n > 0
	}
	return Check{EachPick: true, Host: func(h HostView) Verdict {
		if !placed && h.PicksInAll() == 0 || h.GroupMembers() > 0 {
			return Verdict{}
		}
		return Verdict{Reason: "not the host of the server group", Fix: "make room on the group's host"}
	}}
}

// ServerGroupAntiAffinityFilter keeps the servers of a group with policy
// anti-affinity apart: no host gets more of them than the group's rule
// max_server_per_host, or one.
type ServerGroupAntiAffinityFilter struct{}

// Name implements [Filter].
func (ServerGroupAntiAffinityFilter) Name() string { return "ServerGroupAntiAffinityFilter" }

// Prepare implements [Filter].
func (ServerGroupAntiAffinityFilter) Prepare(req *Request) Check {
	g := req.Group
	if g == nil || g.Policy != AntiAffinity {
		return Check{}
	}
	most := max(g.MaxServerPerHost, 1)
	return Check{Host: func(h HostView) Verdict {
		if n := h.GroupMembers(); n >= most {
			return Verdict{
				Reason: "already have enough of the server group", Wanted: int64(most), Free: int64(n),
				Fix: "raise the group's max_server_per_host, or add hosts",
			}
		}
		return Verdict{}
	}}
}
