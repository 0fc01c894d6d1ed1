package glance

import (
	"context"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/image"
)

func (a *api) actionRoutes() []httpapi.Route {
	do := func(f func(ctx context.Context, id string) error) httpapi.Handler {
		return func(r *httpapi.Request) (*httpapi.Response, error) {
			return httpapi.NoContent(), f(r.Context(), r.PathValue("id"))
		}
	}
	return []httpapi.Route{
		{Pattern: "POST /v2/images/{id}/actions/deactivate", Rules: []string{"deactivate"}, Handler: do(a.Activation.Deactivate)},
		{Pattern: "POST /v2/images/{id}/actions/reactivate", Rules: []string{"reactivate"}, Handler: do(a.Activation.Reactivate)},
	}
}

func (a *api) tagRoutes() []httpapi.Route {
	do := func(f func(ctx context.Context, id, tag string) error, verb string) httpapi.Handler {
		return func(r *httpapi.Request) (*httpapi.Response, error) {
			id := r.PathValue("id")
			err := f(r.Context(), id, r.PathValue("tag"))
			err = refused(err, "Not allowed to "+verb+" tags for image "+clip(id)+".")
			return httpapi.NoContent(), says(err, image.NoImage, "Image "+clip(id)+" not found.")
		}
	}
	return []httpapi.Route{
		{Pattern: "PUT /v2/images/{id}/tags/{tag}", Rules: []string{"modify_image"}, Handler: do(a.Tags.AddTag, "update")},
		{Pattern: "DELETE /v2/images/{id}/tags/{tag}", Rules: []string{"modify_image"}, Handler: do(a.Tags.RemoveTag, "delete")},
	}
}
