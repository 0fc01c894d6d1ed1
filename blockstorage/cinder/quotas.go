package cinder

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// classValue is the form of a quota in a text.
var classValue = schema.Match(`^[0-9]*$`)

func (a *api) quotaRoutes() []httpapi.Route {
	const base = "volume_extension:quotas:"
	return []httpapi.Route{
		{Pattern: at("GET", "/os-quota-sets/{project}"), Rules: []string{base + "show"}, Handler: a.showQuotas},
		{Pattern: at("GET", "/os-quota-sets/{project}/defaults"), Rules: []string{base + "show"}, Handler: a.showDefaultQuotas},
		{Pattern: at("GET", "/os-quota-sets/{project}/default"), Rules: []string{base + "show"}, Handler: a.showDefaultQuotas},
		{Pattern: at("PUT", "/os-quota-sets/{project}"), Rules: []string{base + "update"}, Handler: a.updateQuotas},
		{Pattern: at("DELETE", "/os-quota-sets/{project}"), Rules: []string{base + "delete"}, Handler: a.deleteQuotas},
		{Pattern: at("GET", "/os-quota-class-sets/{class}"), Rules: []string{"volume_extension:quota_classes:get"}, Handler: a.showQuotaClass},
		{Pattern: at("PUT", "/os-quota-class-sets/{class}"), Rules: []string{"volume_extension:quota_classes:update"}, Handler: a.updateQuotaClass},
		{Pattern: at("GET", "/limits"), Rules: []string{"limits_extension:used_limits"}, Handler: a.showLimits},
	}
}

func (a *api) showQuotas(r *httpapi.Request) (*httpapi.Response, error) {
	usage, err := boolParam(r, "usage")
	if err != nil {
		return nil, err
	}
	set, err := a.Quotas.QuotaSet(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	o := object{"id": r.PathValue("project")}
	for name, q := range set {
		if o[name] = q.Limit; usage {
			o[name] = object{"limit": q.Limit, "in_use": q.InUse, "reserved": 0}
		}
	}
	return httpapi.OK(object{"quota_set": o}), nil
}

// limitsView is quotas on the wire, under an ID unless that is empty.
func limitsView(id string, limits map[string]int) object {
	o := object{}
	if id != "" {
		o["id"] = id
	}
	for name, n := range limits {
		o[name] = n
	}
	return o
}

func (a *api) showDefaultQuotas(r *httpapi.Request) (*httpapi.Response, error) {
	limits, err := a.Quotas.DefaultQuotas(r.Context(), r.PathValue("project"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"quota_set": limitsView(r.PathValue("project"), limits)}), nil
}

// readQuotas reads quotas from a body: integers, or texts of them.
func readQuotas(in object) (map[string]int, error) {
	out := map[string]int{}
	for name, v := range in {
		if slices.Contains([]string{"tenant_id", "id"}, name) {
			continue
		}
		var s string
		switch v := v.(type) {
		case json.Number:
			s = v.String()
		case string:
			s = v
		}
		n, err := strconv.ParseInt(s, 10, 64)
		switch {
		case err != nil:
			return nil, badRequest("%s must be an integer", clip(name))
		case n < -1:
			return nil, badRequest("%s must be >= -1", clip(name))
		case n > maxInt:
			return nil, badRequest("%s must be <= %d", clip(name), maxInt)
		}
		out[name] = int(n)
	}
	return out, nil
}

func (a *api) updateQuotas(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("quota_set", schema.Schema{Types: typeObject, Open: true, MinProps: 1}))
	if err != nil {
		return nil, err
	}
	quotas, err := readQuotas(member(o, "quota_set"))
	if err != nil {
		return nil, err
	}
	limits, err := a.Quotas.UpdateQuotas(r.Context(), r.PathValue("project"), quotas)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"quota_set": limitsView("", limits)}), nil
}

func (a *api) deleteQuotas(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Quotas.DeleteQuotas(r.Context(), r.PathValue("project")); err != nil {
		return nil, err
	}
	return httpapi.Status(200, nil), nil
}

func (a *api) showQuotaClass(r *httpapi.Request) (*httpapi.Response, error) {
	limits, err := a.Quotas.QuotaClass(r.Context())
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"quota_class_set": limitsView(r.PathValue("class"), limits)}), nil
}

func (a *api) updateQuotaClass(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("quota_class_set", schema.Schema{Types: typeObject, Patterns: pairs(anyKey, schema.Schema{
		Types: typeSize, Pattern: classValue, MinLength: 1, Minimum: schema.Bound(-1), Maximum: schema.Bound(maxInt),
	})}))
	if err != nil {
		return nil, err
	}
	quotas, err := readQuotas(member(o, "quota_class_set"))
	if err != nil {
		return nil, err
	}
	if class := r.PathValue("class"); class != "default" {
		return nil, badRequest("Quota class %s is not one that quotas are taken from: only default is.", clip(class))
	}
	limits, err := a.Quotas.UpdateQuotaClass(r.Context(), quotas)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"quota_class_set": limitsView("", limits)}), nil
}

func (a *api) showLimits(r *httpapi.Request) (*httpapi.Response, error) {
	project := r.Caller().ProjectID
	if since(r, "3.39") && a.Backends.IsAdmin(r.Context()) {
		for _, name := range []string{"tenant_id", "project_id"} {
			if p, ok := r.Param(name); ok {
				project = strings.ReplaceAll(p, "\x00", "\ufffd") // which is nobody's, too
			}
		}
	}
	set, err := a.Quotas.Limits(r.Context(), project)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"limits": object{"rate": []any{}, "absolute": absolute(set)}}), nil
}

func absolute(set map[string]blockstorage.QuotaUse) object {
	return object{
		"maxTotalVolumes": set["volumes"].Limit, "maxTotalVolumeGigabytes": set["gigabytes"].Limit, "maxTotalSnapshots": set["snapshots"].Limit,
		"maxTotalBackups": set["backups"].Limit, "maxTotalBackupGigabytes": set["backup_gigabytes"].Limit,
		"totalVolumesUsed": set["volumes"].InUse, "totalGigabytesUsed": set["gigabytes"].InUse, "totalSnapshotsUsed": set["snapshots"].InUse,
		"totalBackupsUsed": set["backups"].InUse, "totalBackupGigabytesUsed": set["backup_gigabytes"].InUse,
	}
}
