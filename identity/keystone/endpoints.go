package keystone

import (
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var (
	endpointSchema = open(map[string]schema.Schema{
		"interface": {Types: typeString, Enum: []any{"admin", "internal", "public"}}, "service_id": pText, "region_id": pText, "region": pText,
		"url": {Types: typeString, MaxLength: 225, Pattern: schema.Match(`^[a-zA-Z0-9+.-]+:.+`)}, "enabled": pBool,
	}, "interface", "service_id", "url")
	endpointUpdateSchema = changed(endpointSchema)
)

var endpointFields = []string{"interface", "service_id", "region_id", "region", "url", "enabled"}

func (a *api) endpointRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v3/endpoints", Rules: rules("create_endpoint"), Handler: a.createEndpoint},
		{Pattern: "GET /v3/endpoints", Rules: rules("list_endpoints"), Handler: a.listEndpoints},
		{Pattern: "GET /v3/endpoints/{id}", Rules: rules("get_endpoint"), Handler: a.showEndpoint},
		{Pattern: "PATCH /v3/endpoints/{id}", Rules: rules("update_endpoint"), Handler: a.updateEndpoint},
		{Pattern: "DELETE /v3/endpoints/{id}", Rules: rules("delete_endpoint"), Handler: a.deleteEndpoint},
	}
}

func endpointBody(r *httpapi.Request, e identity.Endpoint) map[string]any {
	return render(map[string]any{
		"id": e.ID, "interface": e.Interface, "service_id": e.ServiceID, "region_id": orNull(e.RegionID), "region": orNull(e.RegionID),
		"url": e.URL, "enabled": e.Enabled, "links": self{link(r, "endpoints", e.ID)},
	}, e.Extra)
}

// regionOf reads the region by either of its names; the older one makes it.
func regionOf(o object) (id *string, create bool) {
	if _, ok := o["region_id"]; ok {
		return o.textPtr("region_id"), false
	}
	return o.textPtr("region"), true
}

func (a *api) createEndpoint(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := needed(r, "endpoint", endpointSchema)
	if err != nil {
		return nil, a.refuse(r, err, "create_endpoint", "")
	}
	spec := identity.EndpointSpec{
		ServiceID: o.text("service_id"), Interface: o.text("interface"), URL: o.text("url"), Enabled: o.flag("enabled"),
		Extra: o.rest(endpointFields...),
	}
	region, create := regionOf(o)
	if region != nil {
		spec.RegionID, spec.MakeRegion = *region, create
	}
	e, err := a.Endpoints.CreateEndpoint(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	return httpapi.Created(map[string]any{"endpoint": endpointBody(r, e)}), nil
}

func (a *api) listEndpoints(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	endpoints, more, err := a.Endpoints.ListEndpoints(r.Context(), identity.EndpointFilter{
		ServiceID: q.Get("service_id"), Interface: q.Get("interface"), RegionID: q.Get("region_id"),
	}, p)
	if err != nil {
		return nil, err
	}
	bodies := mapped(endpoints, func(e identity.Endpoint) map[string]any { return endpointBody(r, e) })
	return collection(r, "endpoints", bodies, more, lastID(endpoints, func(e identity.Endpoint) string { return e.ID })), nil
}

func (a *api) showEndpoint(r *httpapi.Request) (*httpapi.Response, error) {
	e, err := a.Endpoints.Endpoint(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"endpoint": endpointBody(r, e)}), nil
}

func (a *api) updateEndpoint(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := needed(r, "endpoint", endpointUpdateSchema)
	if err != nil {
		return nil, a.refuse(r, err, "update_endpoint", r.PathValue("id"))
	}
	id := r.PathValue("id")
	if err := o.checkID(id); err != nil {
		return nil, err
	}
	region, create := regionOf(o)
	e, err := a.Endpoints.UpdateEndpoint(r.Context(), id, identity.EndpointUpdate{
		ServiceID: o.textPtr("service_id"), Interface: o.textPtr("interface"), RegionID: region, MakeRegion: create, URL: o.textPtr("url"),
		Enabled: o.flag("enabled"), Extra: o.rest(endpointFields...),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"endpoint": endpointBody(r, e)}), nil
}

func (a *api) deleteEndpoint(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Endpoints.DeleteEndpoint(r.Context(), r.PathValue("id"))
}
