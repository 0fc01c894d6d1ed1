package nova_test

import (
	"context"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/extensions"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/hypervisors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/usage"
	"github.com/gophercloud/gophercloud/v2/pagination"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi/apitest"
)

func TestServicesByGophercloud(t *testing.T) {
	s := serveCatalog(t)
	s.beat("h1", "h2")
	ctx := t.Context()
	admin := s.client("admin", "2.96")
	pages, err := services.List(admin, services.ListOpts{Host: "h1"}).AllPages(ctx)
	require.NoError(t, err)
	list, err := services.ExtractServices(pages)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "nova-compute", list[0].Binary)
	require.Equal(t, "up", list[0].State)
	require.Equal(t, "enabled", list[0].Status)
	require.Equal(t, "nova", list[0].Zone)
	got, err := services.Update(ctx, admin, list[0].ID, services.UpdateOpts{Status: services.ServiceDisabled, DisabledReason: "disks"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "disabled", got.Status)
	require.Equal(t, "disks", got.DisabledReason)
	require.NoError(t, services.Delete(ctx, admin, list[0].ID).Err)
	require.ErrorContains(t, services.Delete(ctx, admin, list[0].ID).Err, "404")
}

func TestServicesChangeWithMicroversions(t *testing.T) {
	s := serveCatalog(t)
	s.beat("h1")
	old := s.Do("admin", "GET", "/v2.1/os-services", "").Want(200)
	require.Equal(t, map[string]any{
		"id": 1.0, "binary": "nova-compute", "host": "h1", "zone": "nova", "status": "enabled", "state": "up",
		"updated_at": "2030-01-02T03:04:05.000678", "disabled_reason": nil,
	}, old.Get("services", 0))
	require.Equal(t, false, s.Do("admin", "GET 2.11", "/v2.1/os-services", "").Get("services", 0, "forced_down"))
	id := s.Do("admin", "GET 2.53", "/v2.1/os-services", "").Get("services", 0, "id").(string)
	require.Len(t, id, 36)

	put := func(method, path, body string) apitest.Answer {
		return s.Do("admin", method, "/v2.1/os-services/"+path, body)
	}
	const at = `{"host": "h1", "binary": "nova-compute"`
	require.JSONEq(t, `{"service": {"host": "h1", "binary": "nova-compute", "status": "disabled"}}`, put("PUT", "disable", at+`}`).Want(200).Body)
	require.JSONEq(t, `{"service": {"host": "h1", "binary": "nova-compute", "status": "disabled", "disabled_reason": "x"}}`,
		put("PUT", "disable-log-reason", at+`, "disabled_reason": "x"}`).Want(200).Body)
	put("PUT", "disable-log-reason", at+`}`).Fault(400, "Missing disabled reason field")
	require.JSONEq(t, `{"service": {"host": "h1", "binary": "nova-compute", "status": "enabled"}}`, put("PUT", "enable", at+`}`).Want(200).Body)
	put("PUT", "force-down", at+`}`).Fault(404, "Unknown action")
	require.JSONEq(t, `{"service": {"host": "h1", "binary": "nova-compute", "forced_down": true}}`,
		put("PUT 2.11", "force-down", at+`, "forced_down": "true"}`).Want(200).Body)
	require.Equal(t, "down", s.Do("admin", "GET 2.53", "/v2.1/os-services", "").Get("services", 0, "state"))
	put("PUT", "enable", `{"host": "h1", "binary": "nova-scheduler"}`).Fault(400, "Updating a nova-scheduler service is not supported. Only nova-compute services can be updated.")
	put("PUT", "enable", `{"host": "h9", "binary": "nova-compute"}`).Fault(404, "Host 'h9' is not mapped to any cell")
	put("PUT", "enable", `{"host": "h1"}`).Fault(400, "'binary' is a required property")

	put("PUT 2.53", "enable", `{"status": "enabled"}`).Fault(400, "Invalid uuid enable")
	put("PUT 2.53", id, `{}`).Fault(400, "No updates were requested. Fields 'status' or 'forced_down' should be specified.")
	put("PUT 2.53", id, `{"status": "enabled", "disabled_reason": "x"}`).Fault(400, "Specifying 'disabled_reason' with status 'enabled' is invalid.")
	put("PUT 2.53", id, `{"status": "tired"}`).Fault(400, "Invalid input for field/attribute status. Value: tired. 'tired' is not one of ['enabled', 'disabled']")
	require.Equal(t, "up", put("PUT 2.53", id, `{"forced_down": false}`).Want(200).Get("service", "state"))
	s.Do("admin", "DELETE 2.53", "/v2.1/os-services/1", "").Fault(400, "Invalid uuid 1")
	s.Do("admin", "DELETE 2.52", "/v2.1/os-services/1", "").Want(204)
	s.Do("admin", "DELETE 2.52", "/v2.1/os-services/1", "").Fault(404, "Service 1 not found.")
	s.Do("member", "GET", "/v2.1/os-services", "").Want(403)
}

func TestHypervisorsByGophercloud(t *testing.T) {
	s := serveCatalog(t)
	s.beat("h1", "h2")
	ctx := t.Context()
	for _, version := range []string{"", "2.53", "2.87"} {
		admin := s.client("admin", version)
		pages, err := hypervisors.List(admin, nil).AllPages(ctx)
		require.NoError(t, err)
		list, err := hypervisors.ExtractHypervisors(pages)
		require.NoError(t, err)
		require.Len(t, list, 2)
		h := list[0]
		require.Equal(t, "h1", h.HypervisorHostname)
		require.Equal(t, "QEMU", h.HypervisorType)
		require.Equal(t, 7002000, h.HypervisorVersion)
		require.Equal(t, 8, h.VCPUs)
		require.Equal(t, 60, h.FreeDiskGB)
		require.Equal(t, "x86_64", h.CPUInfo.Arch)
		one, err := hypervisors.Get(ctx, admin, h.ID).Extract()
		require.NoError(t, err)
		require.Equal(t, h, *one)
		sum, err := hypervisors.GetStatistics(ctx, admin).Extract()
		require.NoError(t, err)
		require.Equal(t, 2, sum.Count)
		require.Equal(t, 32768, sum.MemoryMB)
	}
}

func TestHypervisorsChangeWithMicroversions(t *testing.T) {
	s := serveCatalog(t)
	s.beat("h1", "h2")
	require.Equal(t, map[string]any{"id": 1.0, "hypervisor_hostname": "h1", "state": "up", "status": "enabled"},
		s.Do("admin", "GET", "/v2.1/os-hypervisors", "").Get("hypervisors", 0))
	require.IsType(t, "", s.Do("admin", "GET 2.27", "/v2.1/os-hypervisors/1", "").Get("hypervisor", "cpu_info"))
	require.IsType(t, map[string]any{}, s.Do("admin", "GET 2.28", "/v2.1/os-hypervisors/1", "").Get("hypervisor", "cpu_info"))
	id := s.Do("admin", "GET 2.53", "/v2.1/os-hypervisors", "").Get("hypervisors", 0, "id").(string)
	newest := s.Do("admin", "GET 2.88", "/v2.1/os-hypervisors/"+id, "").Want(200)
	require.ElementsMatch(t, []string{"id", "hypervisor_hostname", "state", "status", "hypervisor_type", "hypervisor_version", "host_ip", "service", "uptime"}, newest.Keys("hypervisor"))
	require.Equal(t, []any{}, s.Do("admin", "GET 2.75", "/v2.1/os-hypervisors?with_servers=true", "").Get("hypervisors", 0, "servers"))
	require.NotContains(t, s.Do("admin", "GET 2.53", "/v2.1/os-hypervisors?with_servers=true", "").Keys("hypervisors", 0), "servers")
	require.Len(t, s.Do("admin", "GET 2.53", "/v2.1/os-hypervisors?hypervisor_hostname_pattern=h2", "").Get("hypervisors"), 1)
	page := s.Do("admin", "GET 2.53", "/v2.1/os-hypervisors/detail?limit=1", "").Want(200)
	require.Equal(t, s.URL+"/v2.1/os-hypervisors/detail?limit=1&marker="+id, page.Get("hypervisors_links", 0, "href"))

	for _, tc := range []struct {
		method, path string
		status       int
		message      string
	}{
		{"GET 2.53", "?hypervisor_hostname_pattern=zz", 404, "No hypervisor matching 'zz' could be found."},
		{"GET 2.53", "?hypervisor_hostname_pattern=h&limit=1", 400, "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported."},
		{"GET 2.53", "?with_servers=perhaps", 400, "Invalid input for query parameters with_servers. Value: perhaps. 'perhaps' is not one of [True, 'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no']"},
		{"GET 2.53", "?dogs=1", 400, "Additional properties are not allowed ('dogs' was unexpected)"},
		{"GET 2.53", "/1", 400, "Invalid uuid 1"},
		{"GET 2.52", "/x", 404, "Hypervisor with ID 'x' could not be found."},
		{"GET 2.53", "/" + "1c6a4a6e-0000-4000-8000-000000000000", 404, "Hypervisor with ID '1c6a4a6e-0000-4000-8000-000000000000' could not be found."},
		{"GET", "/1/uptime", 501, "The requested functionality is not supported."},
		{"GET", "/zz/search", 404, "No hypervisor matching 'zz' could be found."},
	} {
		s.Do("admin", tc.method, "/v2.1/os-hypervisors"+tc.path, "").Fault(tc.status, tc.message)
	}
	require.Len(t, s.Do("admin", "GET", "/v2.1/os-hypervisors/h/search", "").Get("hypervisors"), 2)
	s.Do("admin", "GET", "/v2.1/os-hypervisors/h/servers", "").Want(200)
	s.Do("admin", "GET 2.53", "/v2.1/os-hypervisors/h/servers", "").Want(404)
	s.Do("admin", "GET 2.88", "/v2.1/os-hypervisors/"+id+"/uptime", "").Want(404)
	s.Do("admin", "GET 2.88", "/v2.1/os-hypervisors/statistics", "").Want(404)
}

func TestUsageExtensionsAndEvents(t *testing.T) {
	s := serveCatalog(t)
	ctx := t.Context()
	err := usage.SingleTenant(s.client("member", "2.96"), memberProject, usage.SingleTenantOpts{
		Start: &[]time.Time{time.Date(2029, 1, 1, 0, 0, 0, 0, time.UTC)}[0],
	}).EachPage(ctx, func(_ context.Context, page pagination.Page) (bool, error) {
		used, err := usage.ExtractSingleTenant(page)
		require.NoError(t, err)
		require.Zero(t, used.TotalHours)
		return false, nil
	})
	require.NoError(t, err)
	require.JSONEq(t, `{"tenant_usage": {}}`, s.Do("member", "GET", "/v2.1/os-simple-tenant-usage/"+memberProject+"?start=2029-01-01T00:00:00", "").Want(200).Body)
	require.JSONEq(t, `{"tenant_usages": []}`, s.Do("admin", "GET", "/v2.1/os-simple-tenant-usage?start=2029-01-01T00:00:00&detailed=1", "").Want(200).Body)
	s.Do("admin", "GET", "/v2.1/os-simple-tenant-usage?start=yesterday", "").Fault(400, "Invalid datetime string: Datetime is in invalid format")
	s.Do("admin", "GET", "/v2.1/os-simple-tenant-usage?start=2031-01-01T00:00:00", "").
		Fault(400, "Invalid start time. The start time cannot occur after the end time.")
	s.Do("member", "GET", "/v2.1/os-simple-tenant-usage", "").Want(403)

	pages, err := extensions.List(s.client("member", "2.96")).AllPages(ctx)
	require.NoError(t, err)
	all, err := extensions.ExtractExtensions(pages)
	require.NoError(t, err)
	require.Greater(t, len(all), 40)
	one, err := extensions.Get(ctx, s.client("member", "2.96"), "os-keypairs").Extract()
	require.NoError(t, err)
	require.Equal(t, "Keypairs", one.Name)
	s.Do("member", "GET", "/v2.1/extensions/nosuch", "").Want(404)

	const nobody = "1c6a4a6e-0000-4000-8000-000000000000"
	answer := s.Do("admin", "POST", "/v2.1/os-server-external-events", `{"events": [{"name": "network-changed", "server_uuid": "`+nobody+`"}]}`).Want(207)
	require.Equal(t, map[string]any{"name": "network-changed", "server_uuid": nobody, "status": "failed", "code": 404.0}, answer.Get("events", 0))
	s.Do("admin", "POST", "/v2.1/os-server-external-events", `{"events": []}`).Fault(400, "Invalid input for field/attribute events. Value: []. [] is too short")
	s.Do("admin", "POST", "/v2.1/os-server-external-events", `{"events": [{"name": "network-changed", "server_uuid": "x"}]}`).
		Fault(400, "Invalid input for field/attribute server_uuid. Value: x. 'x' is not a 'uuid'")
	s.Do("member", "POST", "/v2.1/os-server-external-events", `{"events": [{"name": "network-changed", "server_uuid": "`+nobody+`"}]}`).Want(403)
	require.JSONEq(t, `{"migrations": []}`, s.Do("admin", "GET 2.96", "/v2.1/os-migrations", "").Want(200).Body)
	s.Do("member", "GET", "/v2.1/os-migrations", "").Want(403)
}

// Administrators see in a zone of its own what runs no servers.
func TestZonesInDetailTellOfEveryService(t *testing.T) {
	s := serveCatalog(t)
	s.beat("h1")
	zones := s.Do("admin", "GET", "/v2.1/os-availability-zone/detail", "").Want(200)
	require.Equal(t, "internal", zones.Get("availabilityZoneInfo", 0, "zoneName"))
	require.Equal(t, true, zones.Get("availabilityZoneInfo", 0, "zoneState", "available"))
	for _, binary := range []string{"nova-conductor", "nova-scheduler"} {
		require.Equal(t, true, zones.Get("availabilityZoneInfo", 0, "hosts", "nephos", binary, "available"))
	}
	require.Equal(t, true, zones.Get("availabilityZoneInfo", 1, "hosts", "h1", "nova-compute", "active"))
	short := s.Do("member", "GET", "/v2.1/os-availability-zone", "").Want(200).Get("availabilityZoneInfo").([]any)
	require.Len(t, short, 1)
	require.Equal(t, map[string]any{"zoneName": "nova", "zoneState": map[string]any{"available": true}, "hosts": nil}, short[0])
}
