package glance

import (
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// glanceDirect is the import of bytes that were staged.
const glanceDirect = "glance-direct"

// importMethods are the ways to import that there are.
func (a *api) importMethods() []string {
	if a.Staging == nil {
		return []string{}
	}
	return []string{glanceDirect}
}

type importMethods struct {
	Description string   `json:"description"`
	Type        string   `json:"type"`
	Value       []string `json:"value"`
}

func (a *api) importRoutes() []httpapi.Route {
	return []httpapi.Route{
		{
			Pattern: "GET /v2/info/import", Rules: []string{"@"},
			Handler: func(*httpapi.Request) (*httpapi.Response, error) {
				return httpapi.OK(map[string]importMethods{
					"import-methods": {Description: "Import methods available.", Type: "array", Value: a.importMethods()},
				}), nil
			},
		},
		{Pattern: "PUT /v2/images/{id}/stage", Rules: []string{"modify_image"}, Stream: true, Handler: a.stage},
		{Pattern: "POST /v2/images/{id}/import", Rules: []string{"get_image", "modify_image"}, Handler: a.importImage},
	}
}

func (a *api) stage(r *httpapi.Request) (*httpapi.Response, error) {
	if a.Staging == nil {
		return nil, &nephos.Error{Kind: nephos.ErrNotFound, Message: "'glance-direct' method is not available at this site."}
	}
	if err := checkOctets(r); err != nil {
		return nil, err
	}
	if err := a.Staging.Stage(r.Context(), r.PathValue("id"), r.Body, r.ContentLength); err != nil {
		return nil, err
	}
	return httpapi.NoContent(), nil
}

func (a *api) importImage(r *httpapi.Request) (*httpapi.Response, error) {
	v, err := body(r)
	if err != nil {
		return nil, err
	}
	b, _ := v.(map[string]any)
	method, ok := b["method"].(map[string]any)
	if !ok {
		return nil, invalid("Import request requires a 'method' field.").WithField("method")
	}
	name, ok := method["name"]
	if !ok {
		return nil, invalid("Import request requires a 'name' field.").WithField("method.name")
	}
	if text, _ := name.(string); !slices.Contains(a.importMethods(), text) {
		return nil, invalid("Unknown import method name %s.", repr(name)).WithField("method.name")
	}
	for _, flag := range []string{"all_stores_must_succeed", "all_stores"} {
		if v, given := b[flag]; given {
			if _, ok := v.(bool); !ok {
				return nil, invalid("'%s' must be boolean value only", flag).WithField(flag)
			}
		}
	}
	store, err := a.importStore(r, b)
	if err != nil {
		return nil, err
	}
	if err := a.Staging.ImportStaged(r.Context(), r.PathValue("id"), store); err != nil {
		return nil, uploadError(err)
	}
	return httpapi.Accepted(nil), nil
}

// importStore is the store that an import names; empty for the default one, and
// where clients are told of none.
func (a *api) importStore(r *httpapi.Request, b map[string]any) (string, error) {
	if !a.manyStores() {
		return "", nil
	}
	header := r.Header.Get("X-Image-Meta-Store")
	v, given := b["stores"]
	names, _ := v.([]any)
	all, _ := b["all_stores"].(bool)
	switch {
	case all && (given || header != ""):
		return "", invalid("All_stores parameter can't be used with x-image-meta-store header or stores parameter").WithField("all_stores")
	case given && header != "":
		return "", invalid("Stores parameter and x-image-meta-store header can't be both specified").WithField("stores")
	case all:
		for _, name := range a.Stores.StoreNames() {
			names = append(names, name)
		}
	case !given:
		return header, nil
	}
	if len(names) == 0 {
		return "", invalid("'stores' must be a list of the names of stores").WithField("stores")
	}
	// The last that is not the default one says what cannot be done, if any.
	store := ""
	for _, name := range names {
		if text, ok := name.(string); !ok {
			return "", invalid("'stores' must be a list of the names of stores").WithField("stores")
		} else if store == "" || text != a.Stores.StoreNames()[0] {
			store = text
		}
	}
	return store, nil
}
