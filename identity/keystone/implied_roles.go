package keystone

import (
	"net/http"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
)

func (a *api) impliedRoleRoutes() []httpapi.Route {
	const one = " /v3/roles/{id}/implies/{implied_id}"
	return []httpapi.Route{
		{Pattern: "GET /v3/roles/{id}/implies", Rules: rules("list_implied_roles"), Handler: a.listImplied},
		{Pattern: "PUT" + one, Rules: rules("create_implied_role"), Handler: a.implyRole},
		// Before GET, which would take it: this HEAD answers 204.
		{Pattern: "HEAD" + one, Rules: rules("check_implied_role"), Handler: a.checkImplied},
		{Pattern: "GET" + one, Rules: rules("get_implied_role"), Handler: a.showImplied},
		{Pattern: "DELETE" + one, Rules: rules("delete_implied_role"), Handler: a.unimplyRole},
		{Pattern: "GET /v3/role_inferences", Rules: rules("list_role_inference_rules"), Handler: a.listInferences},
	}
}

// roleRef is a role as implications name it.
type roleRef struct {
	ID    string `json:"id"`
	Links self   `json:"links"`
	Name  string `json:"name"`
}

func refOf(r *httpapi.Request, role identity.Role) roleRef {
	return roleRef{role.ID, self{link(r, "roles", role.ID)}, role.Name}
}

// inferenceBody is an implication; implies is a role or a list of them.
func inferenceBody(r *httpapi.Request, prior identity.Role, implies any) map[string]any {
	return map[string]any{"prior_role": refOf(r, prior), "implies": implies}
}

func (a *api) one(r *httpapi.Request, inf identity.Inference) map[string]any {
	return map[string]any{
		"role_inference": inferenceBody(r, inf.Prior, refOf(r, inf.Implied[0])),
		"links":          self{r.Link(r.SelfPath(), nil)},
	}
}

func (a *api) listImplied(r *httpapi.Request) (*httpapi.Response, error) {
	inf, err := a.ImpliedRoles.ListImpliedRoles(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	implies := mapped(inf.Implied, func(role identity.Role) roleRef { return refOf(r, role) })
	return httpapi.OK(map[string]any{
		"role_inference": inferenceBody(r, inf.Prior, implies), "links": self{r.Link(r.SelfPath(), nil)},
	}), nil
}

func (a *api) implyRole(r *httpapi.Request) (*httpapi.Response, error) {
	inf, err := a.ImpliedRoles.ImplyRole(r.Context(), r.PathValue("id"), r.PathValue("implied_id"))
	if err != nil {
		return nil, err
	}
	return httpapi.Created(a.one(r, inf)), nil
}

func (a *api) showImplied(r *httpapi.Request) (*httpapi.Response, error) {
	inf, err := a.ImpliedRoles.ImpliedRole(r.Context(), r.PathValue("id"), r.PathValue("implied_id"), false)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(a.one(r, inf)), nil
}

func (a *api) checkImplied(r *httpapi.Request) (*httpapi.Response, error) {
	_, err := a.ImpliedRoles.ImpliedRole(r.Context(), r.PathValue("id"), r.PathValue("implied_id"), true)
	return &httpapi.Response{Status: http.StatusNoContent}, err
}

func (a *api) unimplyRole(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.ImpliedRoles.UnimplyRole(r.Context(), r.PathValue("id"), r.PathValue("implied_id"))
}

func (a *api) listInferences(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.ImpliedRoles.ListInferences(r.Context())
	if err != nil {
		return nil, err
	}
	bodies := mapped(all, func(inf identity.Inference) map[string]any {
		return inferenceBody(r, inf.Prior, mapped(inf.Implied, func(role identity.Role) roleRef { return refOf(r, role) }))
	})
	return httpapi.OK(map[string]any{"role_inferences": bodies, "links": self{link(r, "role_inferences")}}), nil
}
