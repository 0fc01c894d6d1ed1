package cinder

import (
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
)

func (a *api) backendRoutes() []httpapi.Route {
	hosts := []string{"volume_extension:hosts"}
	return []httpapi.Route{
		{Pattern: at("GET", "/os-availability-zone"), Rules: []string{"volume:get_all"}, Handler: a.listZones},
		{Pattern: at("GET", "/scheduler-stats/get_pools"), Rules: []string{"scheduler_extension:scheduler_stats:get_pools"}, Handler: a.listPools},
		{Pattern: at("GET", "/os-hosts"), Rules: hosts, Handler: a.listHosts},
		{Pattern: at("GET", "/os-hosts/{host}"), Rules: hosts, Handler: a.showHost},
		{Pattern: at("GET", "/resource_filters"), Min: "3.33", Rules: []string{"volume:get_all"}, Handler: a.listFilters},
	}
}

func (a *api) listZones(r *httpapi.Request) (*httpapi.Response, error) {
	zones, err := a.Backends.Zones(r.Context())
	if err != nil {
		return nil, err
	}
	out := make([]object, len(zones))
	for i, z := range zones {
		out[i] = object{"zoneName": z.Name, "zoneState": object{"available": z.Available}}
	}
	return httpapi.OK(object{"availabilityZoneInfo": out}), nil
}

func (a *api) listPools(r *httpapi.Request) (*httpapi.Response, error) {
	const rule = "scheduler_extension:scheduler_stats:get_pools"
	if !a.Backends.Allowed(r.Context(), rule, r.Caller().ProjectID) {
		return nil, denied(rule)
	}
	detail, err := boolParam(r, "detail")
	if err != nil {
		return nil, err
	}
	if since(r, "3.31") {
		if err := poolFilters(r); err != nil {
			return nil, err
		}
	}
	named := ""
	if since(r, "3.35") {
		named, _ = r.Param("volume_type")
	}
	pools, err := a.Backends.Pools(r.Context(), named)
	if err != nil {
		return nil, err
	}
	out := []object{}
	for _, p := range pools {
		if name, ok := r.Param("name"); ok && since(r, "3.28") && name != p.Name {
			continue
		}
		o := object{"name": p.Name}
		if detail {
			o["capabilities"] = capabilities(p)
		}
		out = append(out, o)
	}
	return httpapi.OK(object{"pools": out}), nil
}

// capabilities is a pool's capacity. What is not known is called so, what has
// no bound infinite.
func capabilities(p blockstorage.Backend) object {
	capacity := func(f float64) any {
		if f < 0 {
			return "infinite"
		}
		return f
	}
	return object{
		"volume_backend_name": p.Stats.Backend, "storage_protocol": p.Stats.Protocol, "total_capacity_gb": capacity(p.Stats.TotalGiB),
		"free_capacity_gb": capacity(p.Stats.FreeGiB), "allocated_capacity_gb": p.Stats.AllocatedGiB, "thin_provisioning_support": p.Stats.Thin,
		"reserved_percentage": p.Stats.ReservedPercentage, "max_over_subscription_ratio": overSubscription(p.Stats.MaxOverSubscription),
		"filter_function": orNull(p.Stats.Filter), "goodness_function": orNull(p.Stats.Goodness),
		"multiattach": p.MultiAttach, "vendor_name": "Nephos", "driver_version": "1", "backend_state": "up",
		"QoS_support": false, "updated": stamp(p.At), "timestamp": stamp(p.At), // what hosts are asked to bound, pools do not
	}
}

// overSubscription writes a ratio as Cinder's drivers do.
func overSubscription(ratio float64) string {
	text := strconv.FormatFloat(ratio, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func (a *api) listHosts(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.Backends.HostComponents(r.Context())
	if err != nil {
		return nil, err
	}
	out := make([]object, len(all))
	for i, c := range all {
		out[i] = object{
			"host_name": c.Host, "service": c.Binary, "zone": c.Zone, "service-status": map[bool]string{true: "available", false: "unavailable"}[c.Up],
			"service-state": enabled(c), "last-update": stamp(c.At),
		}
	}
	return httpapi.OK(object{"hosts": out}), nil
}

func (a *api) showHost(r *httpapi.Request) (*httpapi.Response, error) {
	name := r.PathValue("host")
	uses, err := a.Backends.Host(r.Context(), name)
	if err != nil {
		return nil, err
	}
	out := make([]object, len(uses))
	for i, u := range uses {
		project := u.ProjectID
		if i == 0 {
			project = "(total)"
		}
		out[i] = object{"resource": object{
			"host": name, "project": project, "volume_count": strconv.Itoa(u.Volumes), "total_volume_gb": strconv.Itoa(u.VolumesGiB),
			"snapshot_count": strconv.Itoa(u.Snapshots), "total_snapshot_gb": strconv.Itoa(u.SnapsGiB),
		}}
	}
	return httpapi.OK(object{"host": out}), nil
}

func (a *api) listFilters(r *httpapi.Request) (*httpapi.Response, error) {
	out := []object{}
	all := filters()
	for _, name := range []string{"volume", "snapshot", "attachment", "pool", "volume_type"} {
		if want, ok := r.Param("resource"); !ok || want == name {
			out = append(out, object{"resource": name, "filters": all[name]})
		}
	}
	return httpapi.OK(object{"resource_filters": out}), nil
}
