package placement

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

type provider struct {
	UUID       string         `json:"uuid"`
	Name       string         `json:"name"`
	Generation int64          `json:"generation"`
	Links      []httpapi.Link `json:"links"`
	*family
}

// family is shown since 1.14.
type family struct {
	Parent *string `json:"parent_provider_uuid"`
	Root   string  `json:"root_provider_uuid"`
}

func showFamily(p sqlstore.Provider) *family {
	f := &family{Root: p.RootUUID}
	if p.ParentUUID != "" {
		f.Parent = &p.ParentUUID
	}
	return f
}

func render(r *httpapi.Request, p sqlstore.Provider) provider {
	self := path(r, "/resource_providers/"+p.UUID)
	out := provider{UUID: p.UUID, Name: p.Name, Generation: p.Generation, Links: []httpapi.Link{{Rel: "self", Href: self}}}
	for _, rel := range []struct{ name, since string }{
		{"inventories", MinVersion}, {"usages", MinVersion}, {"aggregates", "1.1"}, {"traits", "1.6"}, {"allocations", "1.11"},
	} {
		if at(r, rel.since) {
			out.Links = append(out.Links, httpapi.Link{Rel: rel.name, Href: self + "/" + rel.name})
		}
	}
	if at(r, "1.14") {
		out.family = showFamily(p)
	}
	return out
}

func (a *api) listProviders(r *httpapi.Request) (*httpapi.Response, error) {
	f, err := providerFilter(r)
	if err != nil {
		return nil, err
	}
	list, err := a.store.Providers(r.Context(), f)
	if err != nil {
		return nil, err
	}
	out := make([]provider, len(list))
	var newest time.Time
	for i, p := range list {
		out[i] = render(r, p)
		if p.UpdatedAt.After(newest) {
			newest = p.UpdatedAt
		}
	}
	return a.modified(r, httpapi.OK(map[string]any{"resource_providers": out}), newest), nil
}

func (a *api) showProvider(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := a.store.Provider(r.Context(), r.PathValue("uuid"))
	if err != nil {
		return nil, err
	}
	return a.modified(r, httpapi.OK(render(r, p)), p.UpdatedAt), nil
}

type providerBody struct {
	Name   *string         `json:"name"`
	UUID   *string         `json:"uuid"`
	Parent json.RawMessage `json:"parent_provider_uuid"`
}

// decodeProvider returns the body's values; parent is nil when it is absent.
func decodeProvider(r *httpapi.Request, create bool) (name, uuid string, parent *string, err error) {
	var b providerBody
	if err := decode(r, providerSchema(r, create), &b); err != nil {
		return "", "", nil, err
	}
	if b.UUID != nil {
		uuid, _ = normalUUID(*b.UUID)
	}
	if b.Parent != nil {
		var text string // null leaves it empty
		if err := json.Unmarshal(b.Parent, &text); err != nil {
			return "", "", nil, invalid("parent_provider_uuid", "%s is not valid under any of the given schemas", clip(string(b.Parent)))
		}
		text, _ = normalUUID(text)
		parent = &text
	}
	return *b.Name, uuid, parent, nil
}

func (a *api) createProvider(r *httpapi.Request) (*httpapi.Response, error) {
	name, uuid, parent, err := decodeProvider(r, true)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Unable to create resource provider \"\", %s: Object action create failed because: name is required", uuid).
			WithField("name")
	}
	spec := sqlstore.Provider{Name: name, UUID: uuid}
	if parent != nil {
		spec.ParentUUID = *parent
	}
	p, err := a.store.CreateProvider(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	location := r.Link("/resource_providers/"+p.UUID, nil)
	if !at(r, "1.20") {
		return httpapi.Created(nil).Set("Location", location), nil
	}
	return a.modified(r, httpapi.OK(render(r, p)).Set("Location", location), p.UpdatedAt), nil
}

func (a *api) updateProvider(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("uuid")
	if _, err := a.store.Provider(r.Context(), id); err != nil {
		return nil, err
	}
	name, _, parent, err := decodeProvider(r, false)
	if err != nil {
		return nil, err
	}
	p, err := a.store.UpdateProvider(r.Context(), id, sqlstore.ProviderUpdate{Name: &name, ParentUUID: parent, Move: at(r, "1.37")})
	if err != nil {
		return nil, err
	}
	return a.modified(r, httpapi.OK(render(r, p)), p.UpdatedAt), nil
}

func (a *api) deleteProvider(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.store.DeleteProvider(r.Context(), r.PathValue("uuid"))
}

func (a *api) listAggregates(r *httpapi.Request) (*httpapi.Response, error) {
	p, list, err := a.store.ProviderAggregates(r.Context(), r.PathValue("uuid"))
	if err != nil {
		return nil, err
	}
	return a.aggregates(r, p, list), nil
}

func (a *api) aggregates(r *httpapi.Request, p sqlstore.Provider, list []string) *httpapi.Response {
	body := map[string]any{"aggregates": list}
	if at(r, "1.19") {
		body["resource_provider_generation"] = p.Generation
	}
	return a.modified(r, httpapi.OK(body), time.Time{})
}

func (a *api) setAggregates(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("uuid")
	if _, err := a.store.Provider(r.Context(), id); err != nil {
		return nil, err
	}
	var list []string
	var generation *int64
	if at(r, "1.19") {
		var b struct {
			Aggregates *[]string `json:"aggregates"`
			Generation *int64    `json:"resource_provider_generation"`
		}
		if err := decode(r, aggregatesSchema(r), &b); err != nil {
			return nil, err
		}
		list, generation = *b.Aggregates, b.Generation
	} else if err := decode(r, aggregatesSchema(r), &list); err != nil {
		return nil, err
	}
	if len(list) > maxNames {
		return nil, nephos.Errorf(nephos.ErrTooLarge, "a provider has at most %d aggregates", maxNames)
	}
	seen := map[string]bool{}
	normal := make([]string, 0, len(list))
	for _, id := range list {
		if uuid, _ := normalUUID(id); !seen[uuid] {
			seen[uuid] = true
			normal = append(normal, uuid)
		}
	}
	p, err := a.store.SetProviderAggregates(r.Context(), id, generation, normal)
	if err != nil {
		return nil, err
	}
	return a.aggregates(r, p, normal), nil
}

// maxNames bounds the traits, aggregates and classes of one request.
const maxNames = 1000

// errMethod says that a microversion does not have a method.
var errMethod = httpapi.WithStatus(http.StatusMethodNotAllowed, &nephos.Error{Kind: nephos.ErrInvalid, Message: " "})
