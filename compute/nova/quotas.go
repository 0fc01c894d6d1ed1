package nova

import (
	"net/http"
	"slices"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) quotaRoutes() []httpapi.Route {
	const set, class = root + "/os-quota-sets/{id}", root + "/os-quota-class-sets/{id}"
	return []httpapi.Route{
		{Pattern: "GET " + set, Rules: rules("os-quota-sets:show"), Handler: a.showQuotas(false)},
		{Pattern: "GET " + set + "/detail", Rules: rules("os-quota-sets:detail"), Handler: a.showQuotas(true)},
		{Pattern: "GET " + set + "/defaults", Rules: rules("os-quota-sets:defaults"), Handler: a.defaultQuotas},
		{Pattern: "PUT " + set, Rules: rules("os-quota-sets:update"), Handler: a.updateQuotas},
		{Pattern: "DELETE " + set, Rules: rules("os-quota-sets:delete"), Handler: a.deleteQuotas},
		{Pattern: "GET " + class, Rules: rules("os-quota-class-sets:show"), Handler: a.showQuotaClass},
		{Pattern: "PUT " + class, Rules: rules("os-quota-class-sets:update"), Handler: a.updateQuotaClass},
	}
}

var (
	networkQuotas = []string{"fixed_ips", "floating_ips", "security_group_rules", "security_groups"}
	fileQuotas    = []string{"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"}
)

// quotaResources are the resources that the microversion shows, those of networks
// before 2.minor.
func quotaResources(r *httpapi.Request, minor int) []string {
	return slices.DeleteFunc(compute.QuotaResources(), func(name string) bool {
		return atLeast(r, minor) && slices.Contains(networkQuotas, name) || atLeast(r, 57) && slices.Contains(fileQuotas, name)
	})
}

type quotaDetail struct {
	Limit    int `json:"limit"`
	InUse    int `json:"in_use"`
	Reserved int `json:"reserved"`
}

func quotaView(r *httpapi.Request, id string, set compute.QuotaSet, detail bool) map[string]any {
	out := map[string]any{}
	if id != "" {
		out["id"] = id
	}
	for _, name := range quotaResources(r, 36) {
		if q := set[name]; detail {
			out[name] = quotaDetail{Limit: q.Limit, InUse: q.InUse}
		} else {
			out[name] = q.Limit
		}
	}
	return map[string]any{"quota_set": out}
}

// quotaUser is the user in the query.
func quotaUser(r *httpapi.Request) (string, error) {
	user, _ := r.Param("user_id")
	return user, onlyParams(r, 75, "user_id")
}

func (a *api) showQuotas(detail bool) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		user, err := quotaUser(r)
		if err != nil {
			return nil, err
		}
		set, err := a.Catalog.Quotas(r.Context(), r.PathValue("id"), user, detail)
		return httpapi.OK(quotaView(r, r.PathValue("id"), set, detail)), err
	}
}

func (a *api) defaultQuotas(r *httpapi.Request) (*httpapi.Response, error) {
	set, err := a.Catalog.DefaultQuotas(r.Context(), r.PathValue("id"))
	return httpapi.OK(quotaView(r, r.PathValue("id"), set, false)), err
}

// quotaSchema is the schema of limits by resource.
func quotaSchema(r *httpapi.Request, body string, minor int, also ...schema.Prop) *schema.Schema {
	limit := schema.Schema{Types: []string{"integer", "string"}, Pattern: signed, Minimum: schema.Bound(-1), Maximum: schema.Bound(maxInt)}
	var props []schema.Prop
	for _, name := range quotaResources(r, minor) {
		props = append(props, prop(name, limit))
	}
	if !atLeast(r, minor) {
		props = append(props, prop("networks", limit))
	}
	return only(body, schema.Schema{Props: append(props, also...)})
}

// quotaLimits reads what a checked body sets.
func quotaLimits(o object) (map[string]int, error) {
	if o.has("networks") {
		return nil, invalid("The networks quota has been removed")
	}
	limits := map[string]int{}
	for k := range o.All() {
		if k != "force" {
			limits[k] = o.int(k, 0)
		}
	}
	return limits, nil
}

func (a *api) updateQuotas(r *httpapi.Request) (*httpapi.Response, error) {
	user, err := quotaUser(r)
	if err != nil {
		return nil, err
	}
	body, err := parse(r, quotaSchema(r, "quota_set", 36, prop("force", boolean())))
	if err != nil {
		return nil, err
	}
	o := body.at("quota_set")
	limits, err := quotaLimits(o)
	if err != nil {
		return nil, err
	}
	set, err := a.Catalog.UpdateQuotas(r.Context(), r.PathValue("id"), user, limits, o.bool("force", false))
	return httpapi.OK(quotaView(r, "", set, false)), err
}

func (a *api) deleteQuotas(r *httpapi.Request) (*httpapi.Response, error) {
	user, err := quotaUser(r)
	if err != nil {
		return nil, err
	}
	return emptyAnswer(http.StatusAccepted), a.Catalog.DeleteQuotas(r.Context(), r.PathValue("id"), user)
}

func quotaClassView(r *httpapi.Request, id string, set compute.QuotaSet) map[string]any {
	out := map[string]any{}
	if id != "" {
		out["id"] = id
	}
	for _, name := range quotaResources(r, 50) {
		if !atLeast(r, 50) && (name == "server_groups" || name == "server_group_members") {
			continue
		}
		out[name] = set[name].Limit
	}
	return map[string]any{"quota_class_set": out}
}

func (a *api) showQuotaClass(r *httpapi.Request) (*httpapi.Response, error) {
	set, err := a.Catalog.QuotaClass(r.Context(), r.PathValue("id"))
	return httpapi.OK(quotaClassView(r, r.PathValue("id"), set)), err
}

func (a *api) updateQuotaClass(r *httpapi.Request) (*httpapi.Response, error) {
	body, err := parse(r, quotaSchema(r, "quota_class_set", 50))
	if err != nil {
		return nil, err
	}
	limits, err := quotaLimits(body.at("quota_class_set"))
	if err != nil {
		return nil, err
	}
	set, err := a.Catalog.UpdateQuotaClass(r.Context(), r.PathValue("id"), limits)
	return httpapi.OK(quotaClassView(r, "", set)), err
}
