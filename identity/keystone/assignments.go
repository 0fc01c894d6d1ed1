package keystone

import (
	"net/url"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
)

func (a *api) assignmentRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET /v3/role_assignments", Rules: rules("list_role_assignments", "list_role_assignments_for_tree"), Handler: a.listAssignments},
	}
}

func assignmentFilter(q url.Values) (identity.AssignmentFilter, error) {
	f := identity.AssignmentFilter{
		UserID: q.Get("user.id"), GroupID: q.Get("group.id"), ProjectID: q.Get("scope.project.id"), DomainID: q.Get("scope.domain.id"),
		System: q.Get("scope.system") != "", RoleID: q.Get("role.id"), Subtree: flagSet(q, "include_subtree"),
		Effective: flagSet(q, "effective"), Names: flagSet(q, "include_names"),
	}
	if q.Has("scope.OS-INHERIT:inherited_to") {
		inherited := q.Get("scope.OS-INHERIT:inherited_to") == "projects"
		f.Inherited = &inherited
	}
	var wrong string
	switch {
	case f.DomainID != "" && f.ProjectID != "":
		wrong = "Specify a domain or project, not both"
	case f.DomainID != "" && f.System:
		wrong = "Specify system or domain, not both"
	case f.ProjectID != "" && f.System:
		wrong = "Specify system or project, not both"
	case f.UserID != "" && f.GroupID != "":
		wrong = "Specify a user or group, not both"
	case f.Effective && f.GroupID != "":
		wrong = "Combining effective and group filter will always result in an empty list."
	case f.Effective && f.Inherited != nil && *f.Inherited && f.DomainID != "":
		wrong = "Combining effective, domain and inherited filters will always result in an empty list."
	case f.Subtree && f.ProjectID == "":
		wrong = "scope.project.id must be specified if include_subtree is also specified"
	default:
		return f, nil
	}
	return f, nephos.Errorf(nephos.ErrInvalid, "%s", wrong)
}

func (a *api) listAssignments(r *httpapi.Request) (*httpapi.Response, error) {
	f, err := assignmentFilter(r.URL.Query())
	if err != nil {
		return nil, err
	}
	all, err := a.Assignments.ListAssignments(r.Context(), f)
	if err != nil {
		return nil, err
	}
	bodies := mapped(all, func(as identity.Assignment) map[string]any { return assignmentBody(r, as, f.Names) })
	return collection(r, "role_assignments", bodies, false, ""), nil
}

// assignmentBody renders an assignment with the link of the grant it comes from.
func assignmentBody(r *httpapi.Request, as identity.Assignment, names bool) map[string]any {
	links, scope := map[string]string{}, map[string]any{}
	body := map[string]any{"links": links, "scope": scope, "role": named(&as.Role, names)}
	var path string
	switch {
	case as.System:
		path, scope["system"] = "system", map[string]bool{"all": true}
	case as.Domain != nil:
		path, scope["domain"] = "domains/"+as.Domain.ID, named(as.Domain, names)
	default:
		scope["project"] = named(as.Project, names)
		switch {
		case as.ViaDomainID != "":
			path = "domains/" + as.ViaDomainID
		case as.ViaProjectID != "":
			path = "projects/" + as.ViaProjectID
		default:
			path = "projects/" + as.Project.ID
		}
	}
	switch {
	case as.ViaGroupID != "":
		body["user"] = named(as.User, names)
		links["membership"] = r.Link("/v3/groups/"+as.ViaGroupID+"/users/"+as.User.ID, nil)
		path += "/groups/" + as.ViaGroupID
	case as.User != nil:
		body["user"] = named(as.User, names)
		path += "/users/" + as.User.ID
	default:
		body["group"] = named(as.Group, names)
		path += "/groups/" + as.Group.ID
	}
	if as.ViaRoleID != "" {
		path += "/roles/" + as.ViaRoleID
		links["prior_role"] = r.Link("/v3/prior_role/"+as.Role.ID+"/implies/"+as.ViaRoleID, nil)
	} else {
		path += "/roles/" + as.Role.ID
	}
	if as.Inherited {
		scope["OS-INHERIT:inherited_to"] = "projects"
		path = "OS-INHERIT/" + path + "/inherited_to_projects"
	}
	links["assignment"] = r.Link("/v3/"+path, nil)
	return body
}

func named(n *identity.Named, names bool) map[string]any {
	body := map[string]any{"id": n.ID}
	if !names {
		return body
	}
	body["name"] = n.Name
	if n.DomainID != "" {
		body["domain"] = map[string]any{"id": n.DomainID, "name": n.DomainName}
	}
	return body
}
