package glance

import "github.com/nephos-cloud/nephos/httpapi"

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
	b := map[string]quota{}
	for name, q := range quotas {
		b[name] = quota{q.Usage, q.Limit}
	}
	return httpapi.OK(map[string]any{"usage": b}), nil
}
