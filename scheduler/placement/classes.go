package placement

import (
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

type class struct {
	Name  string         `json:"name"`
	Links []httpapi.Link `json:"links"`
}

func renderClass(r *httpapi.Request, name string) class {
	return class{name, []httpapi.Link{{Rel: "self", Href: path(r, "/resource_classes/"+name)}}}
}

func (a *api) listClasses(r *httpapi.Request) (*httpapi.Response, error) {
	list, err := a.store.Classes(r.Context())
	if err != nil {
		return nil, err
	}
	out := make([]class, len(list))
	for i, c := range list {
		out[i] = renderClass(r, c.Name)
	}
	return a.modified(r, httpapi.OK(map[string]any{"resource_classes": out}), time.Time{}), nil
}

func (a *api) showClass(r *httpapi.Request) (*httpapi.Response, error) {
	c, err := a.store.Class(r.Context(), r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return a.modified(r, httpapi.OK(renderClass(r, c.Name)), c.CreatedAt), nil
}

func className(r *httpapi.Request) (string, error) {
	var b struct {
		Name *string `json:"name"`
	}
	if err := decode(r, classSchema, &b); err != nil {
		return "", err
	}
	return *b.Name, nil
}

func (a *api) createClass(r *httpapi.Request) (*httpapi.Response, error) {
	name, err := className(r)
	if err != nil {
		return nil, err
	}
	created, err := a.store.CreateClass(r.Context(), name)
	if err != nil {
		return nil, err
	}
	if !created {
		return nil, nephos.Errorf(nephos.ErrConflict, "Conflicting resource class already exists: %s", name)
	}
	return httpapi.Created(nil).Set("Location", r.Link("/resource_classes/"+name, nil)), nil
}

// updateClass renames a class until 1.6, and makes sure of one since.
func (a *api) updateClass(r *httpapi.Request) (*httpapi.Response, error) {
	name := r.PathValue("name")
	if !at(r, "1.7") {
		to, err := className(r)
		if err != nil {
			return nil, err
		}
		if err := a.store.RenameClass(r.Context(), name, to); err != nil {
			return nil, err
		}
		return httpapi.OK(renderClass(r, to)), nil
	}
	created, err := a.store.CreateClass(r.Context(), name)
	if err != nil {
		return nil, err
	}
	resp := httpapi.NoContent()
	if created {
		resp = httpapi.Created(nil)
	}
	return resp.Set("Location", r.Link("/resource_classes/"+name, nil)), nil
}

func (a *api) deleteClass(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.store.DeleteClass(r.Context(), r.PathValue("name"))
}
