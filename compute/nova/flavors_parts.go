package nova

import (
	"encoding/json"
	"net/http"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) flavorPartRoutes() []httpapi.Route {
	const flavor = root + "/flavors/{id}"
	return []httpapi.Route{
		{Pattern: "POST " + flavor + "/action", Rules: rules("os-flavor-access:add_tenant_access", "os-flavor-access:remove_tenant_access"), Handler: a.flavorAction},
		{Pattern: "GET " + flavor + "/os-flavor-access", Rules: rules("os-flavor-access"), Handler: a.listFlavorAccess},
		{Pattern: "GET " + flavor + "/os-extra_specs", Rules: rules("os-flavor-extra-specs:index"), Handler: a.listExtraSpecs},
		{Pattern: "POST " + flavor + "/os-extra_specs", Rules: rules("os-flavor-extra-specs:create"), Handler: a.createExtraSpecs},
		{Pattern: "GET " + flavor + "/os-extra_specs/{key}", Rules: rules("os-flavor-extra-specs:show"), Handler: a.showExtraSpec},
		{Pattern: "PUT " + flavor + "/os-extra_specs/{key}", Rules: rules("os-flavor-extra-specs:update"), Handler: a.updateExtraSpec},
		{Pattern: "DELETE " + flavor + "/os-extra_specs/{key}", Rules: rules("os-flavor-extra-specs:delete"), Handler: a.deleteExtraSpec},
	}
}

type flavorAccessBody struct {
	FlavorID string `json:"flavor_id"`
	TenantID string `json:"tenant_id"`
}

func flavorAccess(id string, projects []string, err error) (*httpapi.Response, error) {
	if err != nil {
		return nil, err
	}
	list := make([]flavorAccessBody, len(projects))
	for i, p := range projects {
		list[i] = flavorAccessBody{id, p}
	}
	return httpapi.OK(map[string]any{"flavor_access": list}), nil
}

func (a *api) listFlavorAccess(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("id")
	projects, err := a.Catalog.FlavorProjects(r.Context(), id)
	return flavorAccess(id, projects, err)
}

func (a *api) flavorAction(r *httpapi.Request) (*httpapi.Response, error) {
	name, _, err := r.Action()
	if err != nil {
		return nil, err
	}
	if name != "addTenantAccess" && name != "removeTenantAccess" {
		return nil, noSuchAction(name)
	}
	body, err := parse(r, only(name, schema.Schema{
		Types: []string{"object"}, Props: []schema.Prop{prop("tenant", text(1, 255))}, Required: []string{"tenant"},
	}))
	if err != nil {
		return nil, err
	}
	id, project := r.PathValue("id"), body.at(name).str("tenant")
	if name == "removeTenantAccess" {
		projects, err := a.Catalog.RemoveFlavorAccess(r.Context(), id, project)
		return flavorAccess(id, projects, err)
	}
	if atLeast(r, 7) {
		f, err := a.Catalog.Flavor(r.Context(), id)
		if err == nil && f.Public && a.Policy.Allowed(r.Context(), "os_compute_api:os-flavor-access:add_tenant_access", nil) {
			return nil, nephos.Errorf(nephos.ErrConflict, "Can not add access to a public flavor.")
		}
	}
	projects, err := a.Catalog.AddFlavorAccess(r.Context(), id, project)
	return flavorAccess(id, projects, err)
}

func (a *api) listExtraSpecs(r *httpapi.Request) (*httpapi.Response, error) {
	specs, err := a.Catalog.ExtraSpecs(r.Context(), r.PathValue("id"))
	if specs == nil {
		specs = map[string]string{}
	}
	return httpapi.OK(map[string]any{"extra_specs": specs}), err
}

// extraSpecValues turns checked values into text; the answer repeats them as
// they came.
func extraSpecValues(o object) (map[string]string, map[string]any) {
	specs, echo := map[string]string{}, map[string]any{}
	for k, v := range o.All() {
		specs[k], echo[k] = textOf(v), v
		if n, ok := v.(json.Number); ok {
			echo[k] = n
		}
	}
	return specs, echo
}

func (a *api) createExtraSpecs(r *httpapi.Request) (*httpapi.Response, error) {
	body, err := parse(r, only("extra_specs", metadata("string", "number")))
	if err != nil {
		return nil, err
	}
	specs, echo := extraSpecValues(body.at("extra_specs"))
	if err := a.Catalog.CreateExtraSpecs(r.Context(), r.PathValue("id"), specs, atLeast(r, 86)); err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"extra_specs": echo}), nil
}

func (a *api) updateExtraSpec(r *httpapi.Request) (*httpapi.Response, error) {
	s := metadata("string", "number")
	s.MinProps, s.MaxProps = 1, 1
	body, err := parse(r, &s)
	if err != nil {
		return nil, err
	}
	key := r.PathValue("key")
	if !body.has(key) {
		return nil, invalid("Request body and URI mismatch")
	}
	specs, echo := extraSpecValues(body)
	if err := a.Catalog.UpdateExtraSpec(r.Context(), r.PathValue("id"), key, specs[key], atLeast(r, 86)); err != nil {
		return nil, err
	}
	return httpapi.OK(echo), nil
}

func (a *api) showExtraSpec(r *httpapi.Request) (*httpapi.Response, error) {
	key := r.PathValue("key")
	v, err := a.Catalog.ExtraSpec(r.Context(), r.PathValue("id"), key)
	return httpapi.OK(map[string]string{key: v}), err
}

func (a *api) deleteExtraSpec(r *httpapi.Request) (*httpapi.Response, error) {
	return emptyAnswer(http.StatusOK), a.Catalog.DeleteExtraSpec(r.Context(), r.PathValue("id"), r.PathValue("key"))
}

// noSuchAction is the error for an action that does not exist.
func noSuchAction(name string) error {
	return invalid("There is no such action: %s", clip(name))
}
