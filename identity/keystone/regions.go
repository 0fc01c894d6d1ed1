package keystone

import (
	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
	"github.com/nephos-cloud/nephos/identity"
)

var (
	regionSchema       = open(map[string]schema.Schema{"id": pText, "description": pNullText, "parent_region_id": pNullText})
	regionUpdateSchema = changed(regionSchema)
)

func (a *api) regionRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v3/regions", Rules: rules("create_region"), Handler: a.createRegion},
		{Pattern: "PUT /v3/regions/{id}", Rules: rules("create_region"), Handler: a.createRegion},
		// Where the cloud is, is no secret from whoever has a token.
		{Pattern: "GET /v3/regions", Rules: rules("list_regions"), Handler: a.listRegions},
		{Pattern: "GET /v3/regions/{id}", Rules: rules("get_region"), Handler: a.showRegion},
		{Pattern: "PATCH /v3/regions/{id}", Rules: rules("update_region"), Handler: a.updateRegion},
		{Pattern: "DELETE /v3/regions/{id}", Rules: rules("delete_region"), Handler: a.deleteRegion},
	}
}

func regionBody(r *httpapi.Request, v identity.Region) map[string]any {
	return render(map[string]any{
		"id": v.ID, "description": v.Description, "parent_region_id": orNull(v.ParentID), "links": self{link(r, "regions", v.ID)},
	}, v.Extra)
}

func (a *api) createRegion(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := needed(r, "region", regionSchema)
	if err != nil {
		return nil, a.refuse(r, err, "create_region", "")
	}
	id := o.text("id")
	if path := r.PathValue("id"); path != "" {
		if id != "" && id != path {
			return nil, nephos.Errorf(nephos.ErrInvalid, "Conflicting region IDs specified: \"%s\" != \"%s\"", path, id).WithField("id")
		}
		id = path
	}
	v, err := a.Regions.CreateRegion(r.Context(), identity.Region{
		ID: id, ParentID: o.text("parent_region_id"), Description: o.text("description"), Extra: o.rest("description", "parent_region_id"),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.Created(map[string]any{"region": regionBody(r, v)}), nil
}

func (a *api) listRegions(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := paging(r)
	if err != nil {
		return nil, err
	}
	regions, more, err := a.Regions.ListRegions(r.Context(), r.URL.Query().Get("parent_region_id"), p)
	if err != nil {
		return nil, err
	}
	bodies := mapped(regions, func(v identity.Region) map[string]any { return regionBody(r, v) })
	return collection(r, "regions", bodies, more, lastID(regions, func(v identity.Region) string { return v.ID })), nil
}

func (a *api) showRegion(r *httpapi.Request) (*httpapi.Response, error) {
	v, err := a.Regions.Region(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"region": regionBody(r, v)}), nil
}

func (a *api) updateRegion(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := needed(r, "region", regionUpdateSchema)
	if err != nil {
		return nil, a.refuse(r, err, "update_region", r.PathValue("id"))
	}
	id := r.PathValue("id")
	if err := o.checkID(id); err != nil {
		return nil, err
	}
	v, err := a.Regions.UpdateRegion(r.Context(), id, identity.RegionUpdate{
		ParentID: o.textPtr("parent_region_id"), Description: o.textPtr("description"), Extra: o.rest("description", "parent_region_id"),
	})
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"region": regionBody(r, v)}), nil
}

func (a *api) deleteRegion(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Regions.DeleteRegion(r.Context(), r.PathValue("id"))
}
