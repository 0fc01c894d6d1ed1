package keystone

import (
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var roleSchema = open(map[string]schema.Schema{"name": pName, "description": pText, "options": pImmutable}, "name")

var roleUpdateSchema = changed(roleSchema)

func (a *api) roleRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v3/roles", Rules: rules("create_role", "create_domain_role"), Handler: a.createRole},
		{Pattern: "GET /v3/roles", Rules: rules("list_roles", "list_domain_roles"), Handler: a.listRoles},
		{Pattern: "GET /v3/roles/{id}", Rules: rules("get_role", "get_domain_role"), Handler: a.showRole},
		{Pattern: "PATCH /v3/roles/{id}", Rules: rules("update_role", "update_domain_role"), Handler: a.updateRole},
		{Pattern: "DELETE /v3/roles/{id}", Rules: rules("delete_role", "delete_domain_role"), Handler: a.deleteRole},
	}
}

func roleBody(r *httpapi.Request, role identity.Role) map[string]any {
	return render(map[string]any{
		"id": role.ID, "name": role.Name, "domain_id": orNull(role.DomainID), "description": role.Description,
		"options": role.Options, "links": self{link(r, "roles", role.ID)},
	}, role.Extra)
}

func (a *api) createRole(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "role", roleSchema)
	if err != nil {
		return nil, a.refuse(r, err, "create_role", "")
	}
	role, err := a.Roles.CreateRole(r.Context(), identity.RoleSpec{
		Name: o.text("name"), DomainID: o.text("domain_id"), Description: o.nullText("description"),
		Options: o.object("options"), Extra: o.rest("name", "domain_id", "description", "options"),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.Created(map[string]any{"role": roleBody(r, role)}), nil
}

func (a *api) listRoles(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	roles, more, err := a.Roles.ListRoles(r.Context(), identity.RoleFilter{Name: matches(q, "name"), DomainID: q.Get("domain_id")}, p)
	if err != nil {
		return nil, err
	}
	return a.roleList(r, roles, more), nil
}

func (a *api) roleList(r *httpapi.Request, roles []identity.Role, more bool) *httpapi.Response {
	bodies := mapped(roles, func(role identity.Role) map[string]any { return roleBody(r, role) })
	return collection(r, "roles", bodies, more, lastID(roles, func(role identity.Role) string { return role.ID }))
}

func (a *api) showRole(r *httpapi.Request) (*httpapi.Response, error) {
	role, err := a.Roles.Role(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"role": roleBody(r, role)}), nil
}

func (a *api) updateRole(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := member(r, "role", roleUpdateSchema)
	if err != nil {
		return nil, a.refuse(r, err, "update_role", r.PathValue("id"))
	}
	id := r.PathValue("id")
	if err := o.checkID(id); err != nil {
		return nil, err
	}
	role, err := a.Roles.UpdateRole(r.Context(), id, identity.RoleUpdate{
		Name: o.textPtr("name"), DomainID: o.textPtr("domain_id"), Description: o.textPtr("description"),
		Options: o.object("options"), Extra: o.rest("name", "domain_id", "description", "options"),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"role": roleBody(r, role)}), nil
}

func (a *api) deleteRole(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Roles.DeleteRole(r.Context(), r.PathValue("id"))
}
