package glance

import (
	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// manyStores reports whether clients are told of stores: as in Glance, only
// where there is a choice.
func (a *api) manyStores() bool { return a.Stores != nil && len(a.Stores.StoreNames()) > 1 }

// storeFor is the store that an upload names; empty for the default one.
func (a *api) storeFor(r *httpapi.Request) string {
	if !a.manyStores() {
		return ""
	}
	return r.Header.Get("X-Image-Meta-Store")
}

type storeBody struct {
	ID      string `json:"id"`
	Default string `json:"default,omitempty"` // "true", as Glance has it
}

func (a *api) storeRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET /v2/info/stores", Rules: []string{"@"}, Handler: a.listStores},
		{Pattern: "DELETE /v2/stores/{store}/{id}", Rules: []string{"get_image_location", "delete_image_location"}, Handler: a.deleteFromStore},
	}
}

func (a *api) deleteFromStore(r *httpapi.Request) (*httpapi.Response, error) {
	if !a.manyStores() {
		return nil, &nephos.Error{Kind: nephos.ErrNotFound}
	}
	return nil, a.Stores.DeleteFromStore(r.Context(), r.PathValue("store"), r.PathValue("id"))
}

func (a *api) listStores(*httpapi.Request) (*httpapi.Response, error) {
	if !a.manyStores() {
		return nil, &nephos.Error{Kind: nephos.ErrNotFound, Message: "Multi backend is not supported at this site."}
	}
	out := []storeBody{}
	for i, name := range a.Stores.StoreNames() {
		b := storeBody{ID: name}
		if i == 0 {
			b.Default = "true"
		}
		out = append(out, b)
	}
	return httpapi.OK(map[string][]storeBody{"stores": out}), nil
}
