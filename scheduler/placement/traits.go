package placement

import (
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

func (a *api) listTraits(r *httpapi.Request) (*httpapi.Response, error) {
	if err := checkQuery(r, traitsQuery); err != nil {
		return nil, err
	}
	var f sqlstore.TraitFilter
	if v, ok := lastParam(r, "name"); ok {
		op, value, ok := strings.Cut(v, ":")
		switch {
		case !ok:
			return nil, nephos.Errorf(nephos.ErrInvalid, `Badly formatted name parameter. Expected name query string parameter in form: `+
				`?name=[in|startswith]:[name1,name2|prefix]. Got: "%s"`, clip(v)).WithField("name")
		case op == "in":
			f.Names = strings.Split(value, ",")
		case op == "startswith":
			f.Prefix = value
		}
	}
	if v, ok := lastParam(r, "associated"); ok {
		associated := strings.EqualFold(v, "true")
		if !associated && !strings.EqualFold(v, "false") {
			return nil, nephos.Errorf(nephos.ErrInvalid, `The query parameter "associated" only accepts "true" or "false"`).WithField("associated")
		}
		f.Associated = &associated
	}
	list, err := a.store.Traits(r.Context(), f)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	var newest time.Time
	for i, t := range list {
		names[i] = t.Name
		if t.CreatedAt.After(newest) {
			newest = t.CreatedAt
		}
	}
	return a.modified(r, httpapi.OK(map[string]any{"traits": names}), newest), nil
}

func (a *api) showTrait(r *httpapi.Request) (*httpapi.Response, error) {
	t, err := a.store.Trait(r.Context(), r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	return a.modified(r, httpapi.NoContent(), t.CreatedAt), nil
}

func (a *api) createTrait(r *httpapi.Request) (*httpapi.Response, error) {
	name := r.PathValue("name")
	created, err := a.store.CreateTrait(r.Context(), name)
	if err != nil {
		return nil, err
	}
	resp := httpapi.NoContent()
	if created {
		resp = httpapi.Created(nil)
	}
	t, err := a.store.Trait(r.Context(), name)
	if err != nil {
		return nil, err
	}
	return a.modified(r, resp.Set("Location", r.Link("/traits/"+name, nil)), t.CreatedAt), nil
}

func (a *api) deleteTrait(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.store.DeleteTrait(r.Context(), r.PathValue("name"))
}

func (a *api) providerTraits(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("uuid")
	p, traits, err := a.store.ProviderTraits(r.Context(), id)
	if err != nil {
		return nil, asMissing(err, "No resource provider with uuid "+clip(id)+" found: ")
	}
	return a.modified(r, httpapi.OK(map[string]any{"traits": traits, "resource_provider_generation": p.Generation}), time.Time{}), nil
}

func (a *api) setProviderTraits(r *httpapi.Request) (*httpapi.Response, error) {
	var b struct {
		Traits     *[]string `json:"traits"`
		Generation *int64    `json:"resource_provider_generation"`
	}
	if err := decode(r, providerTraitsSchema, &b); err != nil {
		return nil, err
	}
	if len(*b.Traits) > maxNames {
		return nil, nephos.Errorf(nephos.ErrTooLarge, "a provider has at most %d traits", maxNames)
	}
	traits, seen := []string{}, map[string]bool{}
	for _, t := range *b.Traits {
		if !seen[t] {
			seen[t] = true
			traits = append(traits, t)
		}
	}
	p, err := a.store.SetProviderTraits(r.Context(), r.PathValue("uuid"), b.Generation, traits)
	if err != nil {
		return nil, err
	}
	return a.modified(r, httpapi.OK(map[string]any{"traits": traits, "resource_provider_generation": p.Generation}), time.Time{}), nil
}

func (a *api) deleteProviderTraits(r *httpapi.Request) (*httpapi.Response, error) {
	_, err := a.store.SetProviderTraits(r.Context(), r.PathValue("uuid"), nil, nil)
	return nil, err
}
