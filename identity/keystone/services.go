package keystone

import (
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var (
	serviceSchema = open(map[string]schema.Schema{
		"type": {Types: typeString, MinLength: 1, MaxLength: 255}, "name": pName, "enabled": pBool, "description": pNullText,
	}, "type")
	serviceUpdateSchema = changed(serviceSchema)
)

func (a *api) serviceRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v3/services", Rules: rules("create_service"), Handler: a.createService},
		{Pattern: "GET /v3/services", Rules: rules("list_services"), Handler: a.listServices},
		{Pattern: "GET /v3/services/{id}", Rules: rules("get_service"), Handler: a.showService},
		{Pattern: "PATCH /v3/services/{id}", Rules: rules("update_service"), Handler: a.updateService},
		{Pattern: "DELETE /v3/services/{id}", Rules: rules("delete_service"), Handler: a.deleteService},
	}
}

func serviceBody(r *httpapi.Request, s identity.CloudService) map[string]any {
	body := map[string]any{"id": s.ID, "type": s.Type, "name": s.Name, "enabled": s.Enabled, "links": self{link(r, "services", s.ID)}}
	if s.Description != nil {
		body["description"] = s.Description
	}
	return render(body, s.Extra)
}

func (a *api) createService(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := needed(r, "service", serviceSchema)
	if err != nil {
		return nil, a.refuse(r, err, "create_service", "")
	}
	s, err := a.Services.CreateService(r.Context(), identity.ServiceSpec{
		Type: o.text("type"), Name: o.nullText("name"), Description: o.nullText("description"), NoDescription: o.isNull("description"), Enabled: o.flag("enabled"),
		Extra: o.rest("type", "name", "description", "enabled"),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.Created(map[string]any{"service": serviceBody(r, s)}), nil
}

func (a *api) listServices(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	services, more, err := a.Services.ListServices(r.Context(), identity.ServiceFilter{Type: matches(q, "type"), Name: matches(q, "name")}, p)
	if err != nil {
		return nil, err
	}
	bodies := mapped(services, func(s identity.CloudService) map[string]any { return serviceBody(r, s) })
	return collection(r, "services", bodies, more, lastID(services, func(s identity.CloudService) string { return s.ID })), nil
}

func (a *api) showService(r *httpapi.Request) (*httpapi.Response, error) {
	s, err := a.Services.Service(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"service": serviceBody(r, s)}), nil
}

func (a *api) updateService(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := needed(r, "service", serviceUpdateSchema)
	if err != nil {
		return nil, a.refuse(r, err, "update_service", r.PathValue("id"))
	}
	id := r.PathValue("id")
	if err := o.checkID(id); err != nil {
		return nil, err
	}
	s, err := a.Services.UpdateService(r.Context(), id, identity.ServiceUpdate{
		Type: o.textPtr("type"), Name: o.textPtr("name"), Description: o.nullText("description"), NoDescription: o.isNull("description"), Enabled: o.flag("enabled"),
		Extra: o.rest("type", "name", "description", "enabled"),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"service": serviceBody(r, s)}), nil
}

func (a *api) deleteService(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Services.DeleteService(r.Context(), r.PathValue("id"))
}
