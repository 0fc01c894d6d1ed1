package keystone

import (
	"strings"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
)

// grantRoutes are the routes of all shapes of grants: users and groups on
// projects, domains and the system, and the inherited ones.
func (a *api) grantRoutes() []httpapi.Route {
	var routes []httpapi.Route
	add := func(base, suffix, kind string) {
		role := base + "/{role_id}" + suffix
		if suffix == "" || strings.Contains(base, "/domains/") {
			routes = append(routes, httpapi.Route{Pattern: "GET " + base + suffix, Rules: grantRules("list", kind), Handler: a.listGrants})
		}
		routes = append(routes,
			httpapi.Route{Pattern: "PUT " + role, Rules: grantRules("create", kind), Handler: a.createGrant},
			httpapi.Route{Pattern: "GET " + role, Rules: grantRules("check", kind), Handler: a.checkGrant},
			httpapi.Route{Pattern: "DELETE " + role, Rules: grantRules("revoke", kind), Handler: a.revokeGrant},
		)
	}
	for _, actor := range []string{"user", "group"} {
		for _, target := range []string{"project", "domain"} {
			path := "/" + target + "s/{" + target + "_id}/" + actor + "s/{" + actor + "_id}/roles"
			add("/v3"+path, "", "")
			add("/v3/OS-INHERIT"+path, "/inherited_to_projects", "")
		}
		add("/v3/system/"+actor+"s/{"+actor+"_id}/roles", "", actor)
	}
	return routes
}

// grantRules names the rule of an operation; those on the system have their own.
func grantRules(verb, systemActor string) []string {
	object := "_grant"
	if verb == "list" {
		object = "_grants"
	}
	if systemActor == "" {
		return rules(verb + object)
	}
	return rules(verb + "_system" + object + "_for_" + systemActor)
}

// grantOf reads a grant from the path.
func grantOf(r *httpapi.Request) identity.Grant {
	g := identity.Grant{
		UserID: r.PathValue("user_id"), GroupID: r.PathValue("group_id"), ProjectID: r.PathValue("project_id"),
		DomainID: r.PathValue("domain_id"), RoleID: r.PathValue("role_id"),
	}
	g.System = g.ProjectID == "" && g.DomainID == ""
	g.Inherited = strings.HasSuffix(r.Route(), "/inherited_to_projects")
	return g
}

func (a *api) listGrants(r *httpapi.Request) (*httpapi.Response, error) {
	roles, err := a.Grants.ListGrants(r.Context(), grantOf(r))
	if err != nil {
		return nil, err
	}
	return a.roleList(r, roles, false), nil
}

func (a *api) createGrant(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Grants.CreateGrant(r.Context(), grantOf(r))
}

func (a *api) checkGrant(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Grants.CheckGrant(r.Context(), grantOf(r))
}

func (a *api) revokeGrant(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Grants.RevokeGrant(r.Context(), grantOf(r))
}
