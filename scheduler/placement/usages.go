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
	if err := checkQuery(r, usagesQuery(r)); err != nil {
		return nil, err
	}
	q, kind := r.Query(), sqlstore.AllTypes
	if typed {
		kind = last(q["consumer_type"])
	}
	usages, err := a.store.ProjectUsages(r.Context(), last(q["project_id"]), last(q["user_id"]), kind)
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
