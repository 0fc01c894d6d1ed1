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
	old := s.do("GET", "/v2.1/os-services", "admin", "").want(200)
	require.Equal(t, map[string]any{
		"id": 1.0, "binary": "nova-compute", "host": "h1", "zone": "nova", "status": "enabled", "state": "up",
		"updated_at": "2030-01-02T03:04:05.000678", "disabled_reason": nil,
	}, old.get("services", 0))
	require.Equal(t, false, s.do("GET 2.11", "/v2.1/os-services", "admin", "").get("services", 0, "forced_down"))
	id := s.do("GET 2.53", "/v2.1/os-services", "admin", "").get("services", 0, "id").(string)
	require.Len(t, id, 36)

	put := func(method, path, body string) catalogAnswer {
		return s.do(method, "/v2.1/os-services/"+path, "admin", body)
	}
	const at = `{"host": "h1", "binary": "nova-compute"`
	require.JSONEq(t, `{"service": {"host": "h1", "binary": "nova-compute", "status": "disabled"}}`, put("PUT", "disable", at+`}`).want(200).body)
	require.JSONEq(t, `{"service": {"host": "h1", "binary": "nova-compute", "status": "disabled", "disabled_reason": "x"}}`,
		put("PUT", "disable-log-reason", at+`, "disabled_reason": "x"}`).want(200).body)
	put("PUT", "disable-log-reason", at+`}`).fault(400, "Missing disabled reason field")
	require.JSONEq(t, `{"service": {"host": "h1", "binary": "nova-compute", "status": "enabled"}}`, put("PUT", "enable", at+`}`).want(200).body)
	put("PUT", "force-down", at+`}`).fault(404, "Unknown action")
	require.JSONEq(t, `{"service": {"host": "h1", "binary": "nova-compute", "forced_down": true}}`,
		put("PUT 2.11", "force-down", at+`, "forced_down": "true"}`).want(200).body)
	require.Equal(t, "down", s.do("GET 2.53", "/v2.1/os-services", "admin", "").get("services", 0, "state"))
	put("PUT", "enable", `{"host": "h1", "binary": "nova-scheduler"}`).fault(400, "Updating a nova-scheduler service is not supported. Only nova-compute services can be updated.")
	put("PUT", "enable", `{"host": "h9", "binary": "nova-compute"}`).fault(404, "Host 'h9' is not mapped to any cell")
	put("PUT", "enable", `{"host": "h1"}`).fault(400, "'binary' is a required property")

	put("PUT 2.53", "enable", `{"status": "enabled"}`).fault(400, "Invalid uuid enable")
	put("PUT 2.53", id, `{}`).fault(400, "No updates were requested. Fields 'status' or 'forced_down' should be specified.")
	put("PUT 2.53", id, `{"status": "enabled", "disabled_reason": "x"}`).fault(400, "Specifying 'disabled_reason' with status 'enabled' is invalid.")
	put("PUT 2.53", id, `{"status": "tired"}`).fault(400, "Invalid input for field/attribute status. Value: tired. 'tired' is not one of ['enabled', 'disabled']")
	require.Equal(t, "up", put("PUT 2.53", id, `{"forced_down": false}`).want(200).get("service", "state"))
	s.do("DELETE 2.53", "/v2.1/os-services/1", "admin", "").fault(400, "Invalid uuid 1")
	s.do("DELETE 2.52", "/v2.1/os-services/1", "admin", "").want(204)
	s.do("DELETE 2.52", "/v2.1/os-services/1", "admin", "").fault(404, "Service 1 not found.")
	s.do("GET", "/v2.1/os-services", "member", "").want(403)
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
		s.do("GET", "/v2.1/os-hypervisors", "admin", "").get("hypervisors", 0))
	require.IsType(t, "", s.do("GET 2.27", "/v2.1/os-hypervisors/1", "admin", "").get("hypervisor", "cpu_info"))
	require.IsType(t, map[string]any{}, s.do("GET 2.28", "/v2.1/os-hypervisors/1", "admin", "").get("hypervisor", "cpu_info"))
	id := s.do("GET 2.53", "/v2.1/os-hypervisors", "admin", "").get("hypervisors", 0, "id").(string)
	newest := s.do("GET 2.88", "/v2.1/os-hypervisors/"+id, "admin", "").want(200)
	require.ElementsMatch(t, []string{"id", "hypervisor_hostname", "state", "status", "hypervisor_type", "hypervisor_version", "host_ip", "service", "uptime"}, newest.keys("hypervisor"))
	require.Equal(t, []any{}, s.do("GET 2.75", "/v2.1/os-hypervisors?with_servers=true", "admin", "").get("hypervisors", 0, "servers"))
	require.NotContains(t, s.do("GET 2.53", "/v2.1/os-hypervisors?with_servers=true", "admin", "").keys("hypervisors", 0), "servers")
	require.Len(t, s.do("GET 2.53", "/v2.1/os-hypervisors?hypervisor_hostname_pattern=h2", "admin", "").get("hypervisors"), 1)
	page := s.do("GET 2.53", "/v2.1/os-hypervisors/detail?limit=1", "admin", "").want(200)
	require.Equal(t, s.url+"/v2.1/os-hypervisors/detail?limit=1&marker="+id, page.get("hypervisors_links", 0, "href"))

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
		s.do(tc.method, "/v2.1/os-hypervisors"+tc.path, "admin", "").fault(tc.status, tc.message)
	}
	require.Len(t, s.do("GET", "/v2.1/os-hypervisors/h/search", "admin", "").get("hypervisors"), 2)
	s.do("GET", "/v2.1/os-hypervisors/h/servers", "admin", "").want(200)
	s.do("GET 2.53", "/v2.1/os-hypervisors/h/servers", "admin", "").want(404)
	s.do("GET 2.88", "/v2.1/os-hypervisors/"+id+"/uptime", "admin", "").want(404)
	s.do("GET 2.88", "/v2.1/os-hypervisors/statistics", "admin", "").want(404)
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
	require.JSONEq(t, `{"tenant_usage": {}}`, s.do("GET", "/v2.1/os-simple-tenant-usage/"+memberProject+"?start=2029-01-01T00:00:00", "member", "").want(200).body)
	require.JSONEq(t, `{"tenant_usages": []}`, s.do("GET", "/v2.1/os-simple-tenant-usage?start=2029-01-01T00:00:00&detailed=1", "admin", "").want(200).body)
	s.do("GET", "/v2.1/os-simple-tenant-usage?start=yesterday", "admin", "").fault(400, "Invalid datetime string: Datetime is in invalid format")
	s.do("GET", "/v2.1/os-simple-tenant-usage?start=2031-01-01T00:00:00", "admin", "").
		fault(400, "Invalid start time. The start time cannot occur after the end time.")
	s.do("GET", "/v2.1/os-simple-tenant-usage", "member", "").want(403)

	pages, err := extensions.List(s.client("member", "2.96")).AllPages(ctx)
	require.NoError(t, err)
	all, err := extensions.ExtractExtensions(pages)
	require.NoError(t, err)
	require.Greater(t, len(all), 40)
	one, err := extensions.Get(ctx, s.client("member", "2.96"), "os-keypairs").Extract()
	require.NoError(t, err)
	require.Equal(t, "Keypairs", one.Name)
	s.do("GET", "/v2.1/extensions/nosuch", "member", "").want(404)

	const nobody = "1c6a4a6e-0000-4000-8000-000000000000"
	answer := s.do("POST", "/v2.1/os-server-external-events", "admin", `{"events": [{"name": "network-changed", "server_uuid": "`+nobody+`"}]}`).want(207)
	require.Equal(t, map[string]any{"name": "network-changed", "server_uuid": nobody, "status": "failed", "code": 404.0}, answer.get("events", 0))
	s.do("POST", "/v2.1/os-server-external-events", "admin", `{"events": []}`).fault(400, "Invalid input for field/attribute events. Value: []. [] is too short")
	s.do("POST", "/v2.1/os-server-external-events", "admin", `{"events": [{"name": "network-changed", "server_uuid": "x"}]}`).
		fault(400, "Invalid input for field/attribute server_uuid. Value: x. 'x' is not a 'uuid'")
	s.do("POST", "/v2.1/os-server-external-events", "member", `{"events": [{"name": "network-changed", "server_uuid": "`+nobody+`"}]}`).want(403)
	require.JSONEq(t, `{"migrations": []}`, s.do("GET 2.96", "/v2.1/os-migrations", "admin", "").want(200).body)
	s.do("GET", "/v2.1/os-migrations", "member", "").want(403)
}
