package nova

import (
	"strconv"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) groupRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET " + root + "/os-server-groups", Rules: rules("os-server-groups:index", "os-server-groups:index:all_projects"), Handler: a.listGroups},
		{Pattern: "POST " + root + "/os-server-groups", Rules: rules("os-server-groups:create"), Handler: a.createGroup},
		{Pattern: "GET " + root + "/os-server-groups/{id}", Rules: rules("os-server-groups:show"), Handler: a.showGroup},
		{Pattern: "DELETE " + root + "/os-server-groups/{id}", Rules: rules("os-server-groups:delete"), Handler: a.deleteGroup},
	}
}

type groupBody struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Members   []string        `json:"members"`
	ProjectID string          `json:"project_id,omitempty"`
	UserID    string          `json:"user_id,omitempty"`
	Policy    string          `json:"policy,omitempty"`
	Rules     *map[string]int `json:"rules,omitempty"`
	Policies  []string        `json:"policies,omitempty"`
	Metadata  *struct{}       `json:"metadata,omitempty"`
}

var groupEdits = httpapi.Edits[groupBody]{
	{Version: httpapi.V(2, 64), Apply: func(g *groupBody) error {
		g.Policies, g.Metadata = []string{g.Policy}, &struct{}{}
		g.Policy, g.Rules = "", nil
		return nil
	}},
	{Version: httpapi.V(2, 13), Apply: func(g *groupBody) error { g.ProjectID, g.UserID = "", ""; return nil }},
}

func groupView(r *httpapi.Request, g compute.Group) (*groupBody, error) {
	b := &groupBody{
		ID: g.ID, Name: g.Name, Members: append([]string{}, g.Members...), ProjectID: g.ProjectID, UserID: g.UserID,
		Policy: g.Policy, Rules: &map[string]int{},
	}
	if g.MaxServerPerHost != nil {
		(*b.Rules)["max_server_per_host"] = *g.MaxServerPerHost
	}
	return b, groupEdits.Down(r.Version, b)
}

func groupAnswer(r *httpapi.Request, g compute.Group, err error) (*httpapi.Response, error) {
	if err != nil {
		return nil, err
	}
	b, err := groupView(r, g)
	return httpapi.OK(map[string]any{"server_group": b}), err
}

func (a *api) listGroups(r *httpapi.Request) (*httpapi.Response, error) {
	if err := onlyParams(r, 75, "all_projects", "limit", "offset"); err != nil {
		return nil, err
	}
	p, err := r.Page(httpapi.PageOptions{Style: httpapi.Nova})
	if err != nil {
		return nil, err
	}
	if p.Limit == 0 { // here, and only here, zero means no limit
		p.Limit = 1000
	}
	p.Marker = ""
	var f compute.GroupFilter
	_, f.AllProjects = r.Param("all_projects")
	if s, ok := r.Param("offset"); ok {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			q := clip(s)
			return nil, invalid("Invalid input for query parameters offset. Value: %s. '%s' does not match '^[0-9]*$'", q, q).WithField("offset")
		}
		f.Offset = int(n)
	}
	groups, _, err := a.Catalog.ListGroups(r.Context(), f, p)
	if err != nil {
		return nil, err
	}
	list := make([]*groupBody, len(groups))
	for i, g := range groups {
		if list[i], err = groupView(r, g); err != nil {
			return nil, err
		}
	}
	return httpapi.OK(map[string]any{"server_groups": list}), nil
}

func groupSchema(r *httpapi.Request) *schema.Schema {
	policies := []string{"anti-affinity", "affinity"}
	if atLeast(r, 15) {
		policies = append(policies, "soft-anti-affinity", "soft-affinity")
	}
	s := schema.Schema{Types: []string{"object"}, Props: []schema.Prop{prop("name", name255())}, Required: []string{"name"}}
	if atLeast(r, 64) {
		most := schema.Schema{Types: []string{"object"}, Props: []schema.Prop{prop("max_server_per_host", positiveInteger())}}
		s.Props = append(s.Props, prop("policy", oneOfNames(policies...)), prop("rules", most))
		s.Required = append(s.Required, "policy")
	} else {
		one := oneOfNames(policies...)
		s.Props = append(s.Props, prop("policies", schema.Schema{Types: []string{"array"}, Items: &one, Unique: true, MinItems: 1, MaxItems: 1}))
		s.Required = append(s.Required, "policies")
	}
	return only("server_group", s)
}

func (a *api) createGroup(r *httpapi.Request) (*httpapi.Response, error) {
	body, err := parse(r, groupSchema(r))
	if err != nil {
		return nil, err
	}
	o := body.at("server_group")
	spec := compute.GroupSpec{Name: o.str("name"), Policy: o.str("policy")}
	if list, ok := o.of("policies").([]any); ok {
		spec.Policy, _ = list[0].(string)
	}
	if limits := o.at("rules"); limits.has("max_server_per_host") {
		n := limits.int("max_server_per_host", 0)
		spec.MaxServerPerHost = &n
	}
	g, err := a.Catalog.CreateGroup(r.Context(), spec)
	return groupAnswer(r, g, err)
}

func (a *api) showGroup(r *httpapi.Request) (*httpapi.Response, error) {
	g, err := a.Catalog.Group(r.Context(), r.PathValue("id"))
	return groupAnswer(r, g, err)
}

func (a *api) deleteGroup(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Catalog.DeleteGroup(r.Context(), r.PathValue("id"))
}
