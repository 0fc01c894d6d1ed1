package compute_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/attachinterfaces"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/instanceactions"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/tags"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/compute/nova"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/apitest"
)

// wire serves the cloud's Compute API.
type wire struct {
	*testCloud
	*apitest.Server
}

func newWire(t *testing.T, hosts int, config func(*compute.Config)) *wire {
	c := newCloud(t, hosts, config)
	return &wire{c, apitest.Serve(t, "compute", func(string) http.Handler {
		api := nova.New(nova.Config{Service: c.service, Policy: c.policy, HTTP: httpapi.Config{
			PublicURL: "http://cloud.test/compute",
			Verifier: apitest.People{
				"user":  {UserID: user, ProjectID: project, Roles: []string{"member", "reader"}},
				"admin": {UserID: "admin", ProjectID: "admin", Roles: []string{"admin", "member", "reader"}},
				"other": {UserID: "other", ProjectID: "other", Roles: []string{"member", "reader"}},
				"look":  {UserID: "look", ProjectID: project, Roles: []string{"reader"}},
			},
		}})
		require.NoError(t, httpapi.CheckRoutes(api.Routes()))
		return api
	})}
}

// client is a real client of the API.
func (w *wire) client(token, version string) *gophercloud.ServiceClient {
	return &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{TokenID: token},
		Endpoint:       w.URL + "/v2.1/", Type: "compute", Microversion: version,
	}
}

// answer is an answer with its body decoded, where it is an object.
type answer struct {
	apitest.Answer
	body map[string]any
}

// call makes one request, by hand.
func (w *wire) call(token, version, method, path, body string) answer {
	w.t.Helper()
	a := answer{Answer: w.Do(token, method+" "+version, path, body)}
	_ = json.Unmarshal([]byte(a.Body), &a.body)
	return a
}

func (w *wire) bootWire(version, extra string) string {
	w.t.Helper()
	flavor := w.flavor(1, 512, 1)
	a := w.call("user", version, "POST", "/v2.1/servers", `{"server": {"name": "web", "imageRef": "`+w.images.id+`", "flavorRef": "`+flavor+`", "networks": "auto"`+extra+`}}`)
	require.Equal(w.t, 202, a.Status, a.Body)
	return a.body["server"].(map[string]any)["id"].(string)
}

func TestWireServerLife(t *testing.T) {
	w := newWire(t, 2, nil)
	ctx := t.Context()
	c := w.client("user", "2.90")
	flavor := w.flavor(1, 512, 1)
	s, err := servers.Create(ctx, c, servers.CreateOpts{
		Name: "web", ImageRef: w.images.id, FlavorRef: flavor, Networks: "auto", Metadata: map[string]string{"a": "b"}, Tags: []string{"x"},
	}, nil).Extract()
	require.NoError(t, err)
	require.NotEmpty(t, s.AdminPass)
	got, err := servers.Get(ctx, c, s.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "BUILD", got.Status)
	w.settle()
	got, err = servers.Get(ctx, c, s.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, "ACTIVE", got.Status, "%+v", got.Fault)
	require.Contains(t, got.Addresses, "private")
	require.Equal(t, []string{"x"}, *got.Tags)

	pages, err := servers.List(c, servers.ListOpts{Name: "^we"}).AllPages(ctx)
	require.NoError(t, err)
	list, err := servers.ExtractServers(pages)
	require.NoError(t, err)
	require.Len(t, list, 1)

	require.NoError(t, servers.Stop(ctx, c, s.ID).ExtractErr())
	require.Equal(t, "powering-off", w.server(s.ID).TaskState)
	w.settle()
	require.Equal(t, compute.Stopped, w.server(s.ID).VMState)
	require.NoError(t, servers.Start(ctx, c, s.ID).ExtractErr())
	w.settle()
	require.NoError(t, servers.Reboot(ctx, c, s.ID, servers.RebootOpts{Type: servers.HardReboot}).ExtractErr())
	w.settle()
	require.NoError(t, servers.Pause(ctx, c, s.ID).ExtractErr())
	w.settle()
	require.Equal(t, compute.Paused, w.server(s.ID).VMState)
	require.NoError(t, servers.Unpause(ctx, c, s.ID).ExtractErr())
	w.settle()
	require.Equal(t, compute.Active, w.server(s.ID).VMState)

	require.NoError(t, tags.Add(ctx, c, s.ID, "y").ExtractErr())
	all, err := tags.List(ctx, c, s.ID).Extract()
	require.NoError(t, err)
	require.Equal(t, []string{"x", "y"}, all)

	nic, err := attachinterfaces.Create(ctx, c, s.ID, attachinterfaces.CreateOpts{NetworkID: w.net.ID}).Extract()
	require.NoError(t, err)
	w.settle()
	require.Len(t, w.server(s.ID).NICs, 2)
	require.Len(t, w.guests(s.ID)[0].NICs, 2)
	require.NoError(t, attachinterfaces.Delete(ctx, c, s.ID, nic.PortID).ExtractErr())
	w.settle()
	require.Len(t, w.server(s.ID).NICs, 1)

	actionPages, err := instanceactions.List(c, s.ID, nil).AllPages(ctx)
	require.NoError(t, err)
	actions, err := instanceactions.ExtractInstanceActions(actionPages)
	require.NoError(t, err)
	var names []string
	for _, a := range actions {
		names = append(names, a.Action)
	}
	require.Equal(t, []string{"detach_interface", "attach_interface", "unpause", "pause", "reboot", "start", "stop", "create"}, names)

	log, err := servers.ShowConsoleOutput(ctx, c, s.ID, servers.ShowConsoleOutputOpts{Length: 5}).Extract()
	require.NoError(t, err)
	require.NotEmpty(t, log)

	require.NoError(t, servers.Delete(ctx, c, s.ID).ExtractErr())
	w.settle()
	_, err = servers.Get(ctx, c, s.ID).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, 404))
	w.empty()
}

func TestWireRefusals(t *testing.T) {
	w := newWire(t, 1, nil)
	id := w.bootWire("2.90", "")
	w.settle()
	path := "/v2.1/servers/" + id
	for _, c := range []struct {
		name, token, version, method, path, body string
		status                                   int
		text                                     string
	}{
		{"foreign", "other", "", "GET", path, "", 404, "Instance " + id + " could not be found."},
		{"foreign action", "other", "", "POST", path + "/action", `{"os-stop": null}`, 404, "Instance " + id + " could not be found."},
		{"reader", "look", "", "POST", path + "/action", `{"os-stop": null}`, 403, "Policy doesn't allow os_compute_api:servers:stop to be performed."},
		{"start a running", "user", "", "POST", path + "/action", `{"os-start": null}`, 409, "Cannot 'start' instance " + id + " while it is in vm_state active"},
		{"unknown action", "user", "", "POST", path + "/action", `{"dance": {}}`, 400, "There is no such action: dance"},
		{"not built", "user", "", "POST", path + "/action", `{"resize": {"flavorRef": "1"}}`, 501, "is not built here"},
		{"not built, foreign", "other", "", "POST", path + "/action", `{"resize": {"flavorRef": "1"}}`, 404, "could not be found"},
		{"gone action", "user", "2.6", "POST", path + "/action", `{"os-getVNCConsole": {"type": "novnc"}}`, 404, ""},
		{"reset by a user", "user", "", "POST", path + "/action", `{"os-resetState": {"state": "error"}}`, 403, "Policy doesn't allow"},
		{"bad reboot", "user", "", "POST", path + "/action", `{"reboot": {"type": "MEDIUM"}}`, 400, "Invalid input for field/attribute type. Value: MEDIUM. 'MEDIUM' is not one of"},
		{"no name", "user", "", "POST", "/v2.1/servers", `{"server": {"flavorRef": "1", "imageRef": "` + w.images.id + `"}}`, 400, "'name' is a required property"},
		{"empty name", "user", "", "POST", "/v2.1/servers", `{"server": {"name": "", "flavorRef": "1", "imageRef": "` + w.images.id + `"}}`, 400, "Invalid input for field/attribute name. Value: . '' is too short"},
		{"networks needed", "user", "2.37", "POST", "/v2.1/servers", `{"server": {"name": "a", "flavorRef": "1", "imageRef": "` + w.images.id + `"}}`, 400, "'networks' is a required property"},
		{"tags too early", "user", "2.51", "POST", "/v2.1/servers", `{"server": {"name": "a", "flavorRef": "1", "imageRef": "` + w.images.id + `", "networks": "auto", "tags": ["a"]}}`, 400, "Additional properties are not allowed ('tags' was unexpected)"},
		{"no image", "user", "", "POST", "/v2.1/servers", `{"server": {"name": "a", "flavorRef": "1"}}`, 400, "Missing imageRef attribute"},
		{"unknown image", "user", "", "POST", "/v2.1/servers", `{"server": {"name": "a", "flavorRef": "` + w.flavor(1, 1, 1) + `", "imageRef": "44444444-4444-4444-4444-444444444444"}}`, 400, "Can not find requested image"},
		{"unknown flavor", "user", "", "POST", "/v2.1/servers", `{"server": {"name": "a", "flavorRef": "nope", "imageRef": "` + w.images.id + `"}}`, 400, "Flavor nope could not be found."},
		{"bad user data", "user", "", "POST", "/v2.1/servers", `{"server": {"name": "a", "flavorRef": "1", "imageRef": "` + w.images.id + `", "user_data": "%%"}}`, 400, "is not a 'base64'"},
		{"min over max", "user", "", "POST", "/v2.1/servers", `{"server": {"name": "a", "flavorRef": "1", "imageRef": "` + w.images.id + `", "min_count": 3, "max_count": 2}}`, 400, "min_count must be <= max_count"},
		{"all tenants", "user", "", "GET", "/v2.1/servers?all_tenants=1", "", 403, "Policy doesn't allow os_compute_api:servers:index:get_all_tenants"},
		{"bad status", "user", "2.38", "GET", "/v2.1/servers?status=NOPE", "", 400, "Invalid status value"},
		{"unknown filter", "user", "2.75", "GET", "/v2.1/servers?nope=1", "", 400, "'nope' does not match any of the regexes: '^_'"},
		{"not a truth value", "user", "", "GET", "/v2.1/servers?all_tenants=x", "", 400, "Unrecognized value 'x', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"},
		{"not a pattern", "user", "", "GET", "/v2.1/servers?name=[", "", 400, "Invalid input for query parameters name. Value: [. '[' is not a 'regex'"},
		{"two actions", "user", "", "POST", path + "/action", `{"a": 1, "b": 1}`, 400, "Malformed request body"},
		{"bad marker", "user", "", "GET", "/v2.1/servers?marker=nope", "", 400, "marker [nope] not found"},
		{"tags too early", "user", "2.25", "GET", path + "/tags", "", 404, ""},
		{"bad metadata", "user", "", "PUT", path + "/metadata/a", `{"meta": {"b": "c"}}`, 400, "Request body and URI mismatch"},
		{"no metadata", "user", "", "GET", path + "/metadata/nope", "", 404, "Metadata item was not found"},
		{"other project's URL", "user", "", "GET", "/v2.1/99999999999999999999999999999999/servers", "", 400, "Malformed request URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := w.call(c.token, c.version, c.method, c.path, c.body)
			require.Equal(t, c.status, a.Status, a.Body)
			require.Contains(t, a.Body, c.text)
		})
	}
}

func TestWireMicroversions(t *testing.T) {
	w := newWire(t, 1, nil)
	id := w.bootWire("2.90", "")
	w.settle()
	show := func(token, version string) map[string]any {
		a := w.call(token, version, "GET", "/v2.1/"+project+"/servers/"+id, "")
		if token == "admin" {
			a = w.call(token, version, "GET", "/v2.1/servers/"+id, "")
		}
		require.Equal(t, 200, a.Status, a.Body)
		return a.body["server"].(map[string]any)
	}
	for field, from := range map[string]string{
		"locked": "2.9", "description": "2.19", "tags": "2.26", "trusted_image_certificates": "2.63", "server_groups": "2.71",
		"locked_reason": "2.73", "OS-EXT-SRV-ATTR:hostname": "2.90", "pinned_availability_zone": "2.96",
	} {
		v := httpapi.MustVersion(from)
		require.Contains(t, show("user", from), field, from)
		require.NotContains(t, show("user", httpapi.V(2, v.Minor-1).String()), field)
	}
	require.Contains(t, show("user", "2.46")["flavor"], "id")
	require.Contains(t, show("user", "2.47")["flavor"], "original_name")
	require.Contains(t, show("admin", "2.16"), "host_status")
	require.NotContains(t, show("user", "2.16"), "host_status")
	require.Contains(t, show("admin", "2.1"), "OS-EXT-SRV-ATTR:host")
	require.NotContains(t, show("admin", "2.2"), "OS-EXT-SRV-ATTR:user_data")
	require.Contains(t, show("admin", "2.3"), "OS-EXT-SRV-ATTR:user_data")
	require.NotContains(t, show("user", "2.89"), "OS-EXT-SRV-ATTR:host")
	require.Equal(t, "http://cloud.test/compute/v2.1/servers/"+id, show("user", "2.1")["links"].([]any)[0].(map[string]any)["href"])
}
