package keystone

import (
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var (
	groupSchema = open(map[string]schema.Schema{
		"name": pName, "domain_id": pID, "description": pNullText,
	}, "name")
	groupUpdateSchema = changed(groupSchema)
)

func (a *api) groupRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v3/groups", Rules: rules("create_group"), Handler: a.createGroup},
		{Pattern: "GET /v3/groups", Rules: rules("list_groups"), Handler: a.listGroups},
		{Pattern: "GET /v3/groups/{id}", Rules: rules("get_group"), Handler: a.showGroup},
		{Pattern: "PATCH /v3/groups/{id}", Rules: rules("update_group"), Handler: a.updateGroup},
		{Pattern: "DELETE /v3/groups/{id}", Rules: rules("delete_group"), Handler: a.deleteGroup},

		{Pattern: "GET /v3/groups/{id}/users", Rules: rules("list_users_in_group"), Handler: a.listGroupUsers},
		{Pattern: "PUT /v3/groups/{id}/users/{user_id}", Rules: rules("add_user_to_group"), Handler: a.addGroupUser},
		{Pattern: "GET /v3/groups/{id}/users/{user_id}", Rules: rules("check_user_in_group"), Handler: a.checkGroupUser},
		{Pattern: "DELETE /v3/groups/{id}/users/{user_id}", Rules: rules("remove_user_from_group"), Handler: a.removeGroupUser},
		{Pattern: "GET /v3/users/{id}/groups", Rules: rules("list_groups_for_user"), Handler: a.listUserGroups},
	}
}

func groupBody(r *httpapi.Request, g identity.Group) map[string]any {
	return render(map[string]any{
		"id": g.ID, "name": g.Name, "domain_id": g.DomainID, "description": g.Description, "links": self{link(r, "groups", g.ID)},
	}, g.Extra)
}

func groupList(r *httpapi.Request, groups []identity.Group, more bool) *httpapi.Response {
	bodies := mapped(groups, func(g identity.Group) map[string]any { return groupBody(r, g) })
	return collection(r, "groups", bodies, more, lastID(groups, func(g identity.Group) string { return g.ID }))
}

func (a *api) createGroup(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "group", groupSchema)
	if err != nil {
		return nil, a.refuse(r, err, "create_group", "")
	}
	g, err := a.Groups.CreateGroup(r.Context(), identity.GroupSpec{
		Name: o.text("name"), DomainID: o.text("domain_id"), Description: o.nullText("description"), NoDescription: o.isNull("description"),
		Extra: o.rest("name", "domain_id", "description"),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.Created(map[string]any{"group": groupBody(r, g)}), nil
}

func (a *api) listGroups(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	groups, more, err := a.Groups.ListGroups(r.Context(), identity.GroupFilter{Name: matches(q, "name"), DomainID: q.Get("domain_id")}, p)
	if err != nil {
		return nil, err
	}
	return groupList(r, groups, more), nil
}

func (a *api) showGroup(r *httpapi.Request) (*httpapi.Response, error) {
	g, err := a.Groups.Group(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"group": groupBody(r, g)}), nil
}

func (a *api) updateGroup(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "group", groupUpdateSchema)
	if err != nil {
		return nil, a.refuse(r, err, "update_group", r.PathValue("id"))
	}
	id := r.PathValue("id")
	if err := o.checkID(id); err != nil {
		return nil, err
	}
	g, err := a.Groups.UpdateGroup(r.Context(), id, identity.GroupUpdate{
		Name: o.textPtr("name"), DomainID: o.textPtr("domain_id"), Description: o.nullText("description"), NoDescription: o.isNull("description"),
		Extra: o.rest("name", "domain_id", "description"),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"group": groupBody(r, g)}), nil
}

func (a *api) deleteGroup(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Groups.DeleteGroup(r.Context(), r.PathValue("id"))
}

func (a *api) listGroupUsers(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	f, err := userFilter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	users, more, err := a.Groups.ListGroupUsers(r.Context(), r.PathValue("id"), f, p)
	if err != nil {
		return nil, err
	}
	return userList(r, users, more), nil
}

func (a *api) listUserGroups(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	groups, more, err := a.Groups.ListUserGroups(r.Context(), r.PathValue("id"), identity.GroupFilter{Name: matches(r.URL.Query(), "name")}, p)
	if err != nil {
		return nil, err
	}
	bodies := mapped(groups, func(g identity.Group) map[string]any {
		b := groupBody(r, g)
		b["membership_expires_at"] = nil // no membership ends by itself
		return b
	})
	return collection(r, "groups", bodies, more, lastID(groups, func(g identity.Group) string { return g.ID })), nil
}

func (a *api) addGroupUser(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Groups.AddGroupUser(r.Context(), r.PathValue("id"), r.PathValue("user_id"))
}

func (a *api) checkGroupUser(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Groups.CheckGroupUser(r.Context(), r.PathValue("id"), r.PathValue("user_id"))
}

func (a *api) removeGroupUser(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Groups.RemoveGroupUser(r.Context(), r.PathValue("id"), r.PathValue("user_id"))
}
