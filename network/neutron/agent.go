package neutron

import (
	"encoding/json"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/network"
)

func (a *api) agentRoutes() []httpapi.Route {
	read := []string{"get_agent"}
	ips := []string{"get_network_ip_availability"}
	return []httpapi.Route{
		{Pattern: "GET /v2.0/agents", Rules: read, Handler: a.listAgents},
		{Pattern: "GET /v2.0/agents/{id}", Rules: read, Handler: a.showAgent},
		{Pattern: "PUT /v2.0/agents/{id}", Rules: []string{"update_agent"}, Handler: a.updateAgent},
		{Pattern: "DELETE /v2.0/agents/{id}", Rules: []string{"delete_agent"}, Handler: a.deleteAgent},
		{Pattern: "GET /v2.0/availability_zones", Rules: []string{"get_availability_zone"}, Handler: a.listZones},
		{Pattern: "GET /v2.0/network-ip-availabilities", Rules: ips, Handler: a.listAvailability},
		{Pattern: "GET /v2.0/network-ip-availabilities/{id}", Rules: ips, Handler: a.showAvailability},
	}
}

// l3ID is the id of the routing half of a host's agent.
func l3ID(x network.Agent) string { return nephos.ChildID(x.ID, "l3") }

// renderAgents shows a host as the agents that Neutron would have there: one for
// ports, and one for routers if it can route.
func renderAgents(x network.Agent) []map[string]any {
	base := func(id, kind, binary, topic string, configurations map[string]any) map[string]any {
		return map[string]any{
			"id": id, "agent_type": kind, "binary": binary, "topic": topic, "host": x.Host, "admin_state_up": x.AdminUp, "alive": x.Alive,
			"availability_zone": nil, "description": orNull(x.Description), "configurations": configurations, "resources_synced": nil,
			"created_at": x.CreatedAt.UTC().Format("2006-01-02 15:04:05"), "started_at": x.StartedAt.UTC().Format("2006-01-02 15:04:05"),
			"heartbeat_timestamp": x.HeartbeatAt.UTC().Format("2006-01-02 15:04:05"),
		}
	}
	out := []map[string]any{base(x.ID, "Linux bridge agent", "neutron-linuxbridge-agent", "N/A", map[string]any{"devices": x.Ports, "networks": x.Networks})}
	if x.Routes {
		l3 := base(l3ID(x), "L3 agent", "neutron-l3-agent", "l3_agent", map[string]any{})
		l3["availability_zone"] = x.Zone
		out = append(out, l3)
	}
	return out
}

// agentFilters are the attributes by which agents can be found.
var agentFilters = []string{
	"id", "agent_type", "binary", "topic", "host", "admin_state_up", "created_at", "started_at", "heartbeat_timestamp", "description",
	"alive", "availability_zone", "configurations", "resources_synced",
}

func (a *api) listAgents(r *httpapi.Request) (*httpapi.Response, error) {
	if err := knownFilters(r, agentFilters); err != nil {
		return nil, err
	}
	agents, err := a.cfg.Service.ListAgents(r.Context())
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, x := range agents {
		for _, m := range renderAgents(x) {
			if matches(m, r) {
				out = append(out, only(r, m))
			}
		}
	}
	return httpapi.OK(map[string]any{"agents": out}), nil
}

// matches holds a rendered item against the query's filters.
func matches(m map[string]any, r *httpapi.Request) bool {
	for name, want := range r.Query() {
		if slices.Contains(notFilters, name) {
			continue
		}
		got, ok := m[name]
		if !ok || !slices.ContainsFunc(want, func(w string) bool {
			if b, isBool := got.(bool); isBool {
				v, ok := httpapi.ParseBool(w)
				return ok && v == b
			}
			return show(got) == w
		}) {
			return false
		}
	}
	return true
}

// agentOf finds the host's agent of which the id is a half.
func (a *api) agentOf(r *httpapi.Request) (network.Agent, error) {
	id := r.PathValue("id")
	agents, err := a.cfg.Service.ListAgents(r.Context())
	if err != nil {
		return network.Agent{}, err
	}
	for _, x := range agents {
		if x.ID == id || x.Routes && l3ID(x) == id {
			return x, nil
		}
	}
	return network.Agent{}, nephos.Errorf(nephos.ErrNotFound, "Agent %s could not be found.", clip(id, 64)).WithReason("AgentNotFound")
}

func renderHalf(x network.Agent, id string) *httpapi.Response {
	for _, m := range renderAgents(x) {
		if m["id"] == id {
			return httpapi.OK(map[string]any{"agent": m})
		}
	}
	return httpapi.OK(map[string]any{"agent": renderAgents(x)[0]})
}

func (a *api) showAgent(r *httpapi.Request) (*httpapi.Response, error) {
	x, err := a.agentOf(r)
	if err != nil {
		return nil, err
	}
	return renderHalf(x, r.PathValue("id")), nil
}

func (a *api) updateAgent(r *httpapi.Request) (*httpapi.Response, error) {
	items, _, err := decode(r, "agent", "agents", map[string]attribute{
		"admin_state_up": onPut(boolean), "description": onPut(text(255)),
	}, false)
	if err != nil {
		return nil, err
	}
	x, err := a.agentOf(r)
	if err != nil {
		return nil, err
	}
	x, err = a.cfg.Service.UpdateAgent(r.Context(), x.ID, get[bool](items[0], "admin_state_up"), get[string](items[0], "description"))
	if err != nil {
		return nil, err
	}
	return renderHalf(x, r.PathValue("id")), nil
}

func (a *api) deleteAgent(r *httpapi.Request) (*httpapi.Response, error) {
	x, err := a.agentOf(r)
	if err != nil {
		return nil, err
	}
	return httpapi.NoContent(), a.cfg.Service.DeleteAgent(r.Context(), x.ID)
}

func (a *api) listZones(r *httpapi.Request) (*httpapi.Response, error) {
	zones, err := a.cfg.Service.ListZones(r.Context())
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, z := range zones {
		for _, kind := range []string{"network", "router"} {
			m := map[string]any{"name": z, "resource": kind, "state": "available"}
			if matches(m, r) {
				out = append(out, m)
			}
		}
	}
	return httpapi.OK(map[string]any{"availability_zones": out}), nil
}

func renderAvailability(x network.Availability) map[string]any {
	subnets := make([]map[string]any, len(x.Subnets))
	for i, s := range x.Subnets {
		subnets[i] = map[string]any{
			"subnet_id": s.Subnet.ID, "subnet_name": s.Subnet.Name, "cidr": s.Subnet.CIDR.String(), "ip_version": s.Subnet.IPVersion,
			"total_ips": json.Number(s.Total), "used_ips": json.Number(s.Used),
		}
	}
	return map[string]any{
		"network_id": x.NetworkID, "network_name": x.NetworkName, "tenant_id": x.ProjectID, "project_id": x.ProjectID,
		"total_ips": json.Number(x.Total), "used_ips": json.Number(x.Used), "subnet_ip_availability": subnets,
	}
}

// availabilityFilters are those of addresses in use.
var availabilityFilters = []string{"network_id", "network_name", "tenant_id", "project_id", "ip_version"}

func (a *api) listAvailability(r *httpapi.Request) (*httpapi.Response, error) {
	if err := knownFilters(r, availabilityFilters); err != nil {
		return nil, err
	}
	all, err := a.cfg.Service.ListAvailability(r.Context())
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, x := range all {
		m := renderAvailability(x)
		if filtersMatch(r, m) {
			out = append(out, m)
		}
	}
	return httpapi.OK(map[string]any{"network_ip_availabilities": out}), nil
}

// filtersMatch knows ip_version, which is an attribute of the subnets.
func filtersMatch(r *httpapi.Request, m map[string]any) bool {
	v, ok := r.Param("ip_version")
	if !ok {
		return matches(m, r)
	}
	for _, s := range m["subnet_ip_availability"].([]map[string]any) {
		if show(s["ip_version"]) == v {
			return true
		}
	}
	return false
}

func (a *api) showAvailability(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.cfg.Service.ListAvailability(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"network_ip_availability": renderAvailability(all[0])}), nil
}
