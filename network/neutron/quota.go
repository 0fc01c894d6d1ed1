package neutron

import (
	"errors"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/network"
)

func (a *api) quotaRoutes() []httpapi.Route {
	read := []string{"get_quota"}
	at := "/v2.0/quotas"
	return []httpapi.Route{
		{Pattern: "GET " + at, Rules: read, Handler: a.listQuotas},
		{Pattern: "GET " + at + "/tenant", Rules: read, Handler: a.ownProject("tenant")},
		{Pattern: "GET " + at + "/project", Rules: read, Handler: a.ownProject("project")},
		{Pattern: "GET " + at + "/{project}", Rules: read, Handler: a.showQuota},
		{Pattern: "GET " + at + "/{project}/default", Rules: read, Handler: a.defaultQuota},
		{Pattern: "GET " + at + "/{project}/details", Rules: read, Handler: a.detailQuota},
		{Pattern: "GET " + at + "/{project}/details.json", Rules: read, Handler: a.detailQuota},
		{Pattern: "PUT " + at + "/{project}", Rules: []string{"update_quota"}, Handler: a.setQuota},
		{Pattern: "DELETE " + at + "/{project}", Rules: []string{"delete_quota"}, Handler: a.resetQuota},
	}
}

func limits(q map[string]network.Quota) map[string]any {
	m := map[string]any{}
	for resource, x := range q {
		m[resource] = x.Limit
	}
	return m
}

func (a *api) listQuotas(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.cfg.Service.ListQuotas(r.Context())
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for _, project := range sorted(all) {
		m := limits(all[project])
		m["tenant_id"], m["project_id"] = project, project
		out = append(out, m)
	}
	return httpapi.OK(map[string]any{"quotas": out}), nil
}

// ownProject answers with the caller's project, under the name the path gives.
func (a *api) ownProject(name string) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		id := r.Caller().ProjectID
		if id == "" {
			return nil, nephos.Errorf(nephos.ErrInvalid, "Tenant-id was missing from quota request.").WithReason("QuotaMissingTenant")
		}
		return httpapi.OK(map[string]any{name: map[string]string{name + "_id": id}}), nil
	}
}

func (a *api) showQuota(r *httpapi.Request) (*httpapi.Response, error) {
	q, err := a.cfg.Service.Quotas(r.Context(), r.PathValue("project"), false)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"quota": limits(q)}), nil
}

func (a *api) defaultQuota(r *httpapi.Request) (*httpapi.Response, error) {
	q, err := a.cfg.Service.DefaultQuotas(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"quota": limits(q)}), nil
}

func (a *api) detailQuota(r *httpapi.Request) (*httpapi.Response, error) {
	q, err := a.cfg.Service.Quotas(r.Context(), r.PathValue("project"), true)
	if errors.Is(err, nephos.ErrForbidden) {
		return nil, nephos.Errorf(nephos.ErrForbidden, "User does not have admin privileges: Only admin is authorized to access quotas for another project.").
			WithReason("AdminRequired")
	}
	if err != nil {
		return nil, err
	}
	m := map[string]any{}
	for resource, x := range q {
		m[resource] = map[string]int{"limit": x.Limit, "used": x.Used, "reserved": 0}
	}
	return httpapi.OK(map[string]any{"quota": m}), nil
}

// quotaResources are the names that a PUT may give.
var quotaResources = []string{"network", "subnet", "port", "router", "floatingip", "security_group", "security_group_rule", "subnetpool", "rbac_policy"}

func (a *api) setQuota(r *httpapi.Request) (*httpapi.Response, error) {
	attributes := map[string]attribute{
		"force": onPut(boolean), "check_limit": onPut(boolean),
		"tenant_id": onPut(text(255)), "project_id": onPut(text(255)),
	}
	for _, name := range quotaResources {
		attributes[name] = onPut(integer(-1, 1<<31-1))
	}
	items, _, err := decode(r, "quota", "quotas", attributes, false)
	if err != nil {
		return nil, err
	}
	var used map[string]network.Quota
	if plain[bool](items[0], "check_limit") {
		if used, err = a.cfg.Service.Quotas(r.Context(), r.PathValue("project"), true); err != nil {
			return nil, err
		}
	}
	set := map[string]int{}
	for name, v := range items[0] {
		if n, ok := v.(int64); ok && slices.Contains(quotaResources, name) {
			if have := used[name].Used; n >= 0 && int(n) < have {
				return nil, badRequest("Quota limit %d for %s must be greater than or equal to already used %d", n, name, have)
			}
			set[name] = int(n)
		}
	}
	q, err := a.cfg.Service.SetQuotas(r.Context(), r.PathValue("project"), set)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"quota": limits(q)}), nil
}

func (a *api) resetQuota(r *httpapi.Request) (*httpapi.Response, error) {
	return httpapi.NoContent(), a.cfg.Service.ResetQuotas(r.Context(), r.PathValue("project"))
}
