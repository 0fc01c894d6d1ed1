package glance

import (
	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

func (a *api) usageRoutes() []httpapi.Route {
	return []httpapi.Route{{Pattern: "GET /v2/info/usage", Rules: []string{"get_images"}, Handler: a.showUsage}}
}

type quota struct {
	Usage int64 `json:"usage"`
	Limit int64 `json:"limit"`
}

func (a *api) showUsage(r *httpapi.Request) (*httpapi.Response, error) {
	quotas, err := a.Quotas.Usage(r.Context())
	if err != nil {
		return nil, err
	}
	// Nothing is ever staged, because there are no imports.
	b := map[string]quota{"image_stage_total": {0, -1}}
	for name, q := range quotas {
		b[name] = quota{q.Usage, q.Limit}
	}
	return httpapi.OK(map[string]any{"usage": b}), nil
}

type importMethods struct {
	Description string   `json:"description"`
	Type        string   `json:"type"`
	Value       []string `json:"value"`
}

// importRoutes answer as where no import method is enabled.
func (a *api) importRoutes() []httpapi.Route {
	refuse := func(message string) httpapi.Handler {
		return func(*httpapi.Request) (*httpapi.Response, error) {
			return nil, &nephos.Error{Kind: nephos.ErrNotFound, Message: message}
		}
	}
	return []httpapi.Route{
		{
			Pattern: "GET /v2/info/import", Rules: []string{"@"},
			Handler: func(*httpapi.Request) (*httpapi.Response, error) {
				return httpapi.OK(map[string]importMethods{
					"import-methods": {Description: "Import methods available.", Type: "array", Value: []string{}},
				}), nil
			},
		},
		{Pattern: "GET /v2/info/stores", Rules: []string{"@"}, Handler: a.listStores},
		{Pattern: "PUT /v2/images/{id}/stage", Rules: []string{"@"}, Stream: true, Handler: refuse("'glance-direct' method is not available at this site.")},
		{Pattern: "POST /v2/images/{id}/import", Rules: []string{"get_image"}, Handler: a.importImage},
	}
}

// importImage refuses every method by name.
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
	if _, err := a.Images.Image(r.Context(), r.PathValue("id")); err != nil {
		return nil, err
	}
	return nil, invalid("Unknown import method name %s.", repr(name)).WithField("method.name")
}
