package nova_test

import (
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/stretchr/testify/require"
)

func TestFlavorsByGophercloud(t *testing.T) {
	s := serveCatalog(t)
	ctx := t.Context()
	admin, member := s.client("admin", "2.96"), s.client("member", "2.96")
	disk, private := 10, false
	made, err := flavors.Create(ctx, admin, flavors.CreateOpts{
		Name: "m1.small", ID: "7", RAM: 2048, VCPUs: 1, Disk: &disk, RxTxFactor: 2.5, Description: "small", IsPublic: &private,
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, flavors.Flavor{
		ID: "7", Name: "m1.small", RAM: 2048, VCPUs: 1, Disk: 10, RxTxFactor: 2.5, Description: "small", ExtraSpecs: map[string]string{},
	}, *made)
	_, err = flavors.Get(ctx, member, "7").Extract()
	require.ErrorContains(t, err, "404")
	access, err := flavors.AddAccess(ctx, admin, "7", flavors.AddAccessOpts{Tenant: memberProject}).Extract()
	require.NoError(t, err)
	require.Equal(t, []flavors.FlavorAccess{{FlavorID: "7", TenantID: memberProject}}, access)
	got, err := flavors.Get(ctx, member, "7").Extract()
	require.NoError(t, err)
	require.Equal(t, made, got)
	pages, err := flavors.ListAccesses(admin, "7").AllPages(ctx)
	require.NoError(t, err)
	access, err = flavors.ExtractAccesses(pages)
	require.NoError(t, err)
	require.Len(t, access, 1)
	_, err = flavors.RemoveAccess(ctx, admin, "7", flavors.RemoveAccessOpts{Tenant: memberProject}).Extract()
	require.NoError(t, err)

	updated, err := flavors.Update(ctx, admin, "7", flavors.UpdateOpts{Description: "tiny"}).Extract()
	require.NoError(t, err)
	require.Equal(t, "tiny", updated.Description)
	specs, err := flavors.CreateExtraSpecs(ctx, admin, "7", flavors.ExtraSpecsOpts{"hw:cpu_policy": "dedicated"}).Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"hw:cpu_policy": "dedicated"}, specs)
	_, err = flavors.UpdateExtraSpec(ctx, admin, "7", flavors.ExtraSpecsOpts{"hw:cpu_policy": "shared"}).Extract()
	require.NoError(t, err)
	spec, err := flavors.GetExtraSpec(ctx, admin, "7", "hw:cpu_policy").Extract()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"hw:cpu_policy": "shared"}, spec)
	specs, err = flavors.ListExtraSpecs(ctx, admin, "7").Extract()
	require.NoError(t, err)
	require.Len(t, specs, 1)
	require.NoError(t, flavors.DeleteExtraSpec(ctx, admin, "7", "hw:cpu_policy").ExtractErr())

	for _, id := range []string{"1", "2", "3"} {
		_, err := flavors.Create(ctx, admin, flavors.CreateOpts{Name: "f" + id, ID: id, RAM: 512, VCPUs: 1, Disk: &disk}).Extract()
		require.NoError(t, err)
	}
	walked := ""
	pages, err = flavors.ListDetail(admin, flavors.ListOpts{Limit: 2, AccessType: flavors.AllAccess}).AllPages(ctx)
	require.NoError(t, err)
	all, err := flavors.ExtractFlavors(pages)
	require.NoError(t, err)
	for _, f := range all {
		walked += f.ID
	}
	require.Equal(t, "1237", walked)
	require.NoError(t, flavors.Delete(ctx, admin, "7").ExtractErr())
	require.ErrorContains(t, flavors.Delete(ctx, admin, "7").ExtractErr(), "404")
}

func TestFlavorsChangeWithMicroversions(t *testing.T) {
	s := serveCatalog(t)
	s.Do("admin", "POST", "/v2.1/flavors", `{"flavor": {"name": "f", "id": 5, "ram": "512", "vcpus": 1, "disk": 0}}`).Want(200)
	old := s.Do("member", "GET", "/v2.1/flavors/5", "").Want(200)
	require.JSONEq(t, `{"flavor": {"id": "5", "name": "f", "ram": 512, "vcpus": 1, "disk": 0, "swap": "", "OS-FLV-EXT-DATA:ephemeral": 0,
		"OS-FLV-DISABLED:disabled": false, "os-flavor-access:is_public": true, "rxtx_factor": 1.0, "links": [
		{"rel": "self", "href": "`+s.URL+`/v2.1/flavors/5"}, {"rel": "bookmark", "href": "`+s.URL+`/flavors/5"}]}}`, old.Body)
	require.Contains(t, old.Body, `"rxtx_factor":1.0`)
	require.NotContains(t, s.Do("member", "GET 2.54", "/v2.1/flavors/5", "").Body, "description")
	require.Nil(t, s.Do("member", "GET 2.55", "/v2.1/flavors/5", "").Get("flavor").(map[string]any)["extra_specs"])
	require.Equal(t, map[string]any{}, s.Do("member", "GET 2.61", "/v2.1/flavors/5", "").Get("flavor", "extra_specs"))
	require.Equal(t, "", s.Do("member", "GET 2.74", "/v2.1/flavors/5", "").Get("flavor", "swap"))
	require.EqualValues(t, 0, s.Do("member", "GET 2.75", "/v2.1/flavors/5", "").Get("flavor", "swap"))
	require.ElementsMatch(t, []string{"id", "name", "links"}, s.Do("member", "GET", "/v2.1/flavors", "").Keys("flavors", 0))
	require.ElementsMatch(t, []string{"id", "name", "links", "description"}, s.Do("member", "GET 2.96", "/v2.1/flavors", "").Keys("flavors", 0))
	require.Contains(t, s.Do("member", "GET", "/v2.1/"+memberProject+"/flavors/5", "").Body, s.URL+"/v2.1/"+memberProject+"/flavors/5")

	s.Do("admin", "PUT 2.54", "/v2.1/flavors/5", `{"flavor": {"description": "x"}}`).Want(404)
	s.Do("member", "GET 2.74", "/v2.1/flavors?nosuch=1", "").Want(200)
	s.Do("member", "GET 2.75", "/v2.1/flavors?nosuch=1", "").Fault(400, "Additional properties are not allowed ('nosuch' was unexpected)")
	s.Do("admin", "POST 2.6", "/v2.1/flavors/5/action", `{"addTenantAccess": {"tenant": "p"}}`).Want(200)
	s.Do("admin", "POST 2.7", "/v2.1/flavors/5/action", `{"addTenantAccess": {"tenant": "p"}}`).Fault(409, "Can not add access to a public flavor.")
	s.Do("admin", "GET", "/v2.1/flavors/5/os-flavor-access", "").Fault(404, "Access list not available for public flavors.")
	s.Do("admin", "DELETE", "/v2.1/flavors/5", "").Want(202)
}

func TestFlavorLists(t *testing.T) {
	s := serveCatalog(t)
	for _, f := range []string{
		`{"name": "b", "id": "1", "ram": 512, "vcpus": 2, "disk": 1}`, `{"name": "a", "id": "2", "ram": 1024, "vcpus": 1, "disk": 2}`,
		`{"name": "c", "id": "3", "ram": 2048, "vcpus": 3, "disk": 3, "os-flavor-access:is_public": "False"}`,
	} {
		s.Do("admin", "POST", "/v2.1/flavors", `{"flavor": `+f+`}`).Want(200)
	}
	ids := func(path, token string) string {
		out := ""
		for _, f := range s.Do(token, "GET", path, "").Want(200).Get("flavors").([]any) {
			out += f.(map[string]any)["id"].(string)
		}
		return out
	}
	require.Equal(t, "12", ids("/v2.1/flavors", "admin"))
	require.Equal(t, "123", ids("/v2.1/flavors?is_public=None", "admin"))
	require.Equal(t, "3", ids("/v2.1/flavors?is_public=f", "admin"))
	require.Equal(t, "12", ids("/v2.1/flavors?is_public=None", "member"))
	require.Equal(t, "2", ids("/v2.1/flavors?minRam=1000", "member"))
	require.Equal(t, "2", ids("/v2.1/flavors/detail?minDisk=2", "member"))
	require.Equal(t, "21", ids("/v2.1/flavors?sort_key=name", "member"))
	require.Equal(t, "12", ids("/v2.1/flavors?sort_key=name&sort_dir=desc", "member"))
	require.Equal(t, "21", ids("/v2.1/flavors?sort_dir=desc", "member"))
	require.Equal(t, "", ids("/v2.1/flavors?limit=0", "member"))
	first := s.Do("member", "GET", "/v2.1/flavors?limit=1", "").Want(200)
	require.Equal(t, s.URL+"/v2.1/flavors?limit=1&marker=1", first.Get("flavors_links", 0, "href"))
	require.Equal(t, "2", ids("/v2.1/flavors?limit=1&marker=1", "member"))
	for path, message := range map[string]string{
		"?marker=nosuch":   "marker [nosuch] not found",
		"?limit=-1":        "Invalid input for query parameters limit. Value: -1. '-1' does not match '^[0-9]*$'",
		"?minRam=lots":     "Invalid minRam filter [lots]",
		"?minDisk=lots":    "Invalid minDisk filter [lots]",
		"?is_public=maybe": "Invalid is_public filter [maybe]",
		"?sort_dir=up":     "Invalid input for query parameters sort_dir. Value: up. 'up' is not one of ['asc', 'desc']",
		"?sort_key=colour": "Invalid input for query parameters sort_key. Value: colour. 'colour' is not one of ['created_at', 'description', 'disabled', 'ephemeral_gb', 'flavorid', 'id', 'is_public', 'memory_mb', 'name', 'root_gb', 'rxtx_factor', 'swap', 'updated_at', 'vcpu_weight', 'vcpus']",
	} {
		s.Do("admin", "GET", "/v2.1/flavors"+path, "").Fault(400, message)
	}
}

func TestBadFlavorBodies(t *testing.T) {
	s := serveCatalog(t)
	for body, message := range map[string]string{
		``:                                   "None is not of type 'object'",
		`[]`:                                 "[] is not of type 'object'",
		`{}`:                                 "'flavor' is a required property",
		`{"flavor": 1}`:                      "Invalid input for field/attribute flavor. Value: 1. 1 is not of type 'object'",
		`{"flavor": {"vcpus": 1, "ram": 1}}`: "Invalid input for field/attribute flavor. Value: {'vcpus': 1, 'ram': 1}. 'name' is a required property",
		`{"flavor": {"name": "", "ram": 1, "vcpus": 1, "disk": 1}}`:                                         "Invalid input for field/attribute name. Value: . '' is too short",
		`{"flavor": {"name": " x", "ram": 1, "vcpus": 1, "disk": 1}}`:                                       "An invalid 'name' value was provided. The name must be: printable characters. Can not start or end with whitespace.",
		`{"flavor": {"name": "x", "ram": 0, "vcpus": 1, "disk": 1}}`:                                        "Invalid input for field/attribute ram. Value: 0. 0 is less than the minimum of 1",
		`{"flavor": {"name": "x", "ram": "0", "vcpus": 1, "disk": 1}}`:                                      "Invalid input for field/attribute ram. Value: 0. 0 is less than the minimum of 1",
		`{"flavor": {"name": "x", "ram": 2147483648, "vcpus": 1, "disk": 1}}`:                               "Invalid input for field/attribute ram. Value: 2147483648. 2147483648 is greater than the maximum of 2147483647",
		`{"flavor": {"name": "x", "ram": 1.5, "vcpus": 1, "disk": 1}}`:                                      "Invalid input for field/attribute ram. Value: 1.5. 1.5 is not of type 'integer', 'string'",
		`{"flavor": {"name": "x", "ram": "x", "vcpus": 1, "disk": 1}}`:                                      "Invalid input for field/attribute ram. Value: x. 'x' does not match '^[0-9]+$'",
		`{"flavor": {"name": "x", "ram": null, "vcpus": 1, "disk": 1}}`:                                     "Invalid input for field/attribute ram. Value: None. None is not of type 'integer', 'string'",
		`{"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "id": " x"}}`:                            "Invalid input for field/attribute id. Value:  x. ' x' does not match '^(?! )[a-zA-Z0-9. _-]+(?<! )$'",
		`{"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "a'b": 1}}`:                              `Invalid input for field/attribute flavor. Value: {'name': 'x', 'ram': 1, 'vcpus': 1, 'disk': 1, "a'b": 1}. Additional properties are not allowed ("a'b" was unexpected)`,
		`{"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "description": "x"}}`:                    "Invalid input for field/attribute flavor. Value: {'name': 'x', 'ram': 1, 'vcpus': 1, 'disk': 1, 'description': 'x'}. Additional properties are not allowed ('description' was unexpected)",
		`{"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": "maybe"}}`: "Invalid input for field/attribute os-flavor-access:is_public. Value: maybe. 'maybe' is not one of [True, 'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no']",
	} {
		s.Do("admin", "POST 2.54", "/v2.1/flavors", body).Fault(400, message)
	}
	s.Do("member", "POST", "/v2.1/flavors", `{"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1}}`).
		Fault(403, "Policy doesn't allow os_compute_api:os-flavor-manage:create to be performed.")
	s.Do("admin", "POST", "/v2.1/flavors", `{"flavor": {"name": "x", "id": "1", "ram": 1, "vcpus": 1, "disk": 1}}`).Want(200)
	s.Do("admin", "POST", "/v2.1/flavors", `{"flavor": {"name": "y", "id": "1", "ram": 1, "vcpus": 1, "disk": 1}}`).Fault(409, "Flavor with ID 1 already exists.")
	s.Do("admin", "GET", "/v2.1/flavors/nosuch", "").Fault(404, "Flavor nosuch could not be found.")
	s.Do("admin", "POST", "/v2.1/flavors/1/os-extra_specs", `{"extra_specs": {"a": 5, "b": "c"}}`).Want(200)
	require.JSONEq(t, `{"extra_specs": {"a": "5", "b": "c"}}`, s.Do("member", "GET", "/v2.1/flavors/1/os-extra_specs", "").Body)
	s.Do("admin", "POST", "/v2.1/flavors/1/os-extra_specs", `{"extra_specs": {"ü": "1"}}`).
		Fault(400, "Invalid input for field/attribute extra_specs. Value: {'ü': '1'}. 'ü' does not match any of the regexes: '^[a-zA-Z0-9-_:. ]{1,255}$'")
	s.Do("admin", "PUT", "/v2.1/flavors/1/os-extra_specs/a", `{"b": "1"}`).Fault(400, "Request body and URI mismatch")
	s.Do("admin", "PUT", "/v2.1/flavors/1/os-extra_specs/a", `{"a": "1", "b": "1"}`).Fault(400, "{'a': '1', 'b': '1'} has too many properties")
	s.Do("admin", "POST 2.86", "/v2.1/flavors/1/os-extra_specs", `{"extra_specs": {"hw:numa_nodes": "0"}}`).
		Fault(400, "Validation failed; '0' is less than the min value of '1'.")
	s.Do("member", "GET", "/v2.1/flavors/1/os-extra_specs/z", "").Fault(404, "Flavor 1 has no extra specs with key z.")
	require.Empty(t, s.Do("admin", "DELETE", "/v2.1/flavors/1/os-extra_specs/a", "").Want(200).Body)
	s.Do("admin", "POST", "/v2.1/flavors/1/action", `{"dance": {}}`).Fault(400, "There is no such action: dance")
}
