package neutron

import (
	"net/http"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// taggable are the collections whose members can have tags, with the name of
// one.
var taggable = map[string]string{
	"networks": "network", "subnets": "subnet", "ports": "port", "security-groups": "security_group",
	"routers": "router", "floatingips": "floatingip",
}

func (a *api) tagRoutes() []httpapi.Route {
	s := a.cfg.Service
	var routes []httpapi.Route
	for _, path := range sorted(taggable) {
		kind := taggable[path]
		at := "/v2.0/" + path + "/{id}/tags"
		read, write := []string{"get_" + kind}, []string{"update_" + kind}
		routes = append(routes,
			httpapi.Route{Pattern: "GET " + at, Rules: read, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
				tags, err := s.ResourceTags(r.Context(), kind, r.PathValue("id"))
				return httpapi.OK(map[string]any{"tags": emptyList(tags)}), err
			}},
			httpapi.Route{Pattern: "PUT " + at, Rules: write, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
				tags, err := decodeTags(r)
				if err != nil {
					return nil, err
				}
				tags, err = s.SetTags(r.Context(), kind, r.PathValue("id"), tags)
				return httpapi.OK(map[string]any{"tags": emptyList(tags)}), err
			}},
			httpapi.Route{Pattern: "DELETE " + at, Rules: write, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
				_, err := s.SetTags(r.Context(), kind, r.PathValue("id"), nil)
				return httpapi.NoContent(), err
			}},
			httpapi.Route{Pattern: "GET " + at + "/{tag}", Rules: read, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
				tags, err := s.ResourceTags(r.Context(), kind, r.PathValue("id"))
				if err == nil && !slices.Contains(tags, r.PathValue("tag")) {
					err = nephos.Errorf(nephos.ErrNotFound, "Tag %s could not be found.", clip(r.PathValue("tag"), 255)).WithReason("TagNotFound")
				}
				return httpapi.NoContent(), err
			}},
			httpapi.Route{Pattern: "PUT " + at + "/{tag}", Rules: write, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
				err := s.AddTag(r.Context(), kind, r.PathValue("id"), r.PathValue("tag"))
				return httpapi.Status(http.StatusCreated, nil), err
			}},
			httpapi.Route{Pattern: "DELETE " + at + "/{tag}", Rules: write, Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
				return httpapi.NoContent(), s.RemoveTag(r.Context(), kind, r.PathValue("id"), r.PathValue("tag"))
			}})
	}
	return routes
}

// decodeTags reads {"tags": […]}.
func decodeTags(r *httpapi.Request) ([]string, error) {
	raw, err := r.Raw()
	if err != nil {
		return nil, err
	}
	item, err := decodeItem(raw, "")
	given, ok := item["tags"]
	if err != nil || !ok {
		return nil, invalidInput("tags", "Invalid tags body")
	}
	list, ok := given.([]any)
	if !ok {
		return nil, invalidInput("tags", "'%s' is not a list", show(given))
	}
	tags := make([]string, len(list))
	for i, e := range list {
		if tags[i], ok = e.(string); !ok {
			return nil, invalidInput("tags", "'%s' is not a valid string", show(e))
		}
		if len([]rune(tags[i])) > 255 {
			return nil, invalidInput("tags", "'%s' exceeds maximum length of 255", show(e))
		}
		if slices.Contains(tags[:i], tags[i]) {
			return nil, invalidInput("tags", "Duplicate items in the list: '%s'", show(e))
		}
	}
	return tags, nil
}
