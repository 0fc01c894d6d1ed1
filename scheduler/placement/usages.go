package placement

import (
	"time"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

func (a *api) providerUsages(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("uuid")
	p, used, err := a.store.ProviderUsages(r.Context(), id)
	if err != nil {
		return nil, asMissing(err, "No resource provider with uuid "+clip(id)+" found: ")
	}
	return a.modified(r, httpapi.OK(map[string]any{"resource_provider_generation": p.Generation, "usages": used}), time.Time{}), nil
}

func (a *api) projectUsages(r *httpapi.Request) (*httpapi.Response, error) {
	typed := at(r, "1.38")
	allowed := []string{"project_id", "user_id"}
	if typed {
		allowed = append(allowed, "consumer_type")
	}
	if err := onlyParams(r, allowed...); err != nil {
		return nil, err
	}
	q := r.Query()
	for _, name := range allowed {
		if !q.Has(name) {
			continue
		}
		switch v := q.Get(name); {
		case v == "":
			return nil, badQuery(name, "'' is too short")
		case len(v) > 255:
			return nil, badQuery(name, "'%s' is too long", clip(v))
		}
	}
	if !q.Has("project_id") {
		return nil, badQuery("project_id", "'project_id' is a required property")
	}
	kind := sqlstore.AllTypes
	if typed {
		kind = q.Get("consumer_type")
		if kind != "" && kind != sqlstore.AllTypes && kind != sqlstore.UnknownType && !isName(kind) {
			return nil, badQuery("consumer_type", "'%s' does not match '^[A-Z0-9_]+$|^all|^unknown$'", clip(kind))
		}
	}
	usages, err := a.store.ProjectUsages(r.Context(), q.Get("project_id"), q.Get("user_id"), kind)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	if !typed {
		for class, n := range usages[sqlstore.AllTypes].Used {
			out[class] = n
		}
	} else {
		for name, u := range usages {
			one := map[string]int64{"consumer_count": u.Consumers}
			for class, n := range u.Used {
				one[class] = n
			}
			out[name] = one
		}
	}
	return a.modified(r, httpapi.OK(map[string]any{"usages": out}), time.Time{}), nil
}
