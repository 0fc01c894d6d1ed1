package cloud_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

// persona is somebody with a token.
type persona struct {
	client     *http.Client
	url, token string
	user       string
}

// reply is what a request was answered with.
type reply struct {
	status int
	body   []byte
	header http.Header
}

// text returns a text inside the body: one name or index a level.
func (r reply) text(t *testing.T, path ...any) string {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(r.body, &v), "%d %s", r.status, r.body)
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			require.Greater(t, len(l), p, "%v in %s", path, r.body)
			v = l[p]
		}
	}
	s, ok := v.(string)
	require.True(t, ok, "%v in %d %s", path, r.status, r.body)
	return s
}

// do sends a request to one of the APIs, in the API's newest microversion where
// version is empty.
func (p persona) do(t *testing.T, method, api, path, version, body string) reply {
	t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, p.url+"/"+api+path, in)
	require.NoError(t, err)
	r.Header.Set("X-Auth-Token", p.token)
	r.Header.Set("Content-Type", contentType(method, api, path))
	if version == "" {
		version = "latest"
	}
	r.Header.Set("OpenStack-API-Version", api+" "+version)
	resp, err := p.client.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return reply{resp.StatusCode, b, resp.Header}
}

func contentType(method, api, path string) string {
	switch {
	case api == "image" && method == http.MethodPatch:
		return "application/openstack-images-v2.1-json-patch"
	case api == "image" && (strings.HasSuffix(path, "/file") || strings.HasSuffix(path, "/stage")):
		return "application/octet-stream"
	}
	return "application/json"
}

// made sends a request that must succeed.
func (p persona) made(t *testing.T, method, api, path, body string) reply {
	t.Helper()
	r := p.do(t, method, api, path, "", body)
	require.Less(t, r.status, 300, "%s %s%s: %s", method, api, path, r.body)
	return r
}

// until asks until the text at the path is the one that is wanted.
func (p persona) until(t *testing.T, api, path, want string, at ...any) {
	t.Helper()
	for {
		got := p.made(t, "GET", api, path, "").text(t, at...)
		require.NotContains(t, strings.ToLower(got), "error", "%s%s", api, path)
		if got == want {
			return
		}
	}
}

func login(t *testing.T, c *cloudtest.Cloud, user, password, project string) persona {
	t.Helper()
	p := persona{client: c.Client(), url: c.URL}
	r := p.made(t, "POST", "identity", "/v3/auth/tokens", `{"auth":{"identity":{"methods":["password"],"password":{"user":{
		"name":"`+user+`","password":"`+password+`","domain":{"id":"default"}}}},
		"scope":{"project":{"name":"`+project+`","domain":{"id":"default"}}}}}`)
	p.token, p.user = r.header.Get("X-Subject-Token"), r.text(t, "token", "user", "id")
	return p
}

// cast is a cloud with people in it: in the project ours a member, whose the
// things are, and a reader; in the project theirs a stranger.
type cast struct {
	cloud *cloudtest.Cloud

	admin, member, reader, stranger persona
	// things are what the member has and what the cloud has, by API and by what
	// stands before a wildcard in a route.
	things map[string]map[string]string
	// private are the ids of the member's things, which no stranger may see.
	private []string
}

const sshKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl x@y"

func newCast(t *testing.T) *cast {
	c := cloudtest.New(t, cloudtest.Options{Hosts: 1})
	admin := login(t, c, "admin", cloudtest.AdminPassword, "admin")
	role := func(name string) string {
		return admin.made(t, "GET", "identity", "/v3/roles?name="+name, "").text(t, "roles", 0, "id")
	}
	project := func(name string) string {
		return admin.made(t, "POST", "identity", "/v3/projects", `{"project":{"name":"`+name+`"}}`).text(t, "project", "id")
	}
	ours, theirs := project("ours"), project("theirs")
	person := func(name, project, role string) persona {
		id := admin.made(t, "POST", "identity", "/v3/users", `{"user":{"name":"`+name+`","password":"secret"}}`).text(t, "user", "id")
		in := map[string]string{"ours": ours, "theirs": theirs}[project]
		admin.made(t, "PUT", "identity", "/v3/projects/"+in+"/users/"+id+"/roles/"+role, "")
		return login(t, c, name, "secret", project)
	}
	p := &cast{cloud: c, admin: admin}
	p.member = person("member", "ours", role("member"))
	p.reader = person("reader", "ours", role("reader"))
	p.stranger = person("stranger", "theirs", role("member"))

	member := p.member
	img := member.made(t, "POST", "image", "/v2/images", `{"name":"i","disk_format":"raw","container_format":"bare"}`).text(t, "id")
	member.made(t, "PUT", "image", "/v2/images/"+img+"/file", strings.Repeat("x", 4096))
	bystander := admin.made(t, "GET", "identity", "/v3/projects?name=admin", "").text(t, "projects", 0, "id")
	member.made(t, "POST", "image", "/v2/images/"+img+"/members", `{"member":"`+bystander+`"}`)
	create := func(by persona, api, path, kind, body string) string {
		r := by.made(t, "POST", api, path, `{"`+kind+`":`+body+`}`)
		if kind == "keypair" {
			return r.text(t, kind, "name")
		}
		return r.text(t, kind, "id")
	}
	public := admin.made(t, "GET", "network", "/v2.0/networks?name=public", "").text(t, "networks", 0, "id")
	net := create(member, "network", "/v2.0/networks", "network", `{"name":"n"}`)
	subnet := create(member, "network", "/v2.0/subnets", "subnet", `{"network_id":"`+net+`","cidr":"10.1.0.0/24","ip_version":4}`)
	port := create(member, "network", "/v2.0/ports", "port", `{"network_id":"`+net+`"}`)
	group := create(member, "network", "/v2.0/security-groups", "security_group", `{"name":"g"}`)
	rule := create(member, "network", "/v2.0/security-group-rules", "security_group_rule", `{"security_group_id":"`+group+`","direction":"ingress"}`)
	router := create(member, "network", "/v2.0/routers", "router", `{"name":"r","external_gateway_info":{"network_id":"`+public+`"}}`)
	member.made(t, "PUT", "network", "/v2.0/routers/"+router+"/add_router_interface", `{"subnet_id":"`+subnet+`"}`)
	fip := create(member, "network", "/v2.0/floatingips", "floatingip", `{"floating_network_id":"`+public+`"}`)

	volume := create(member, "volume", "/v3/volumes", "volume", `{"name":"v","size":1}`)
	spare := create(member, "volume", "/v3/volumes", "volume", `{"name":"w","size":1}`)
	member.until(t, "volume", "/v3/volumes/"+volume, "available", "volume", "status")
	member.until(t, "volume", "/v3/volumes/"+spare, "available", "volume", "status")
	gift := create(member, "volume", "/v3/volumes", "volume", `{"name":"g","size":1}`)
	member.until(t, "volume", "/v3/volumes/"+gift, "available", "volume", "status")
	offer := create(member, "volume", "/v3/volume-transfers", "transfer", `{"volume_id":"`+gift+`"}`)
	snapshot := create(member, "volume", "/v3/snapshots", "snapshot", `{"volume_id":"`+volume+`"}`)
	member.until(t, "volume", "/v3/snapshots/"+snapshot, "available", "snapshot", "status")

	key := create(member, "compute", "/v2.1/os-keypairs", "keypair", `{"name":"k","type":"ssh","public_key":"`+sshKey+`"}`)
	servers := create(member, "compute", "/v2.1/os-server-groups", "server_group", `{"name":"s","policy":"affinity"}`)
	server := create(member, "compute", "/v2.1/servers", "server", `{"name":"s","imageRef":"`+img+`","flavorRef":"1","networks":[{"port":"`+port+`"}]}`)
	member.until(t, "compute", "/v2.1/servers/"+server, "ACTIVE", "server", "status")
	member.made(t, "POST", "compute", "/v2.1/servers/"+server+"/os-volume_attachments", `{"volumeAttachment":{"volumeId":"`+volume+`"}}`)
	member.until(t, "volume", "/v3/volumes/"+volume, "in-use", "volume", "status")
	attachment := member.made(t, "GET", "volume", "/v3/attachments", "").text(t, "attachments", 0, "id")
	request := member.made(t, "GET", "compute", "/v2.1/servers/"+server+"/os-instance-actions", "").text(t, "instanceActions", 0, "request_id")

	cred := create(member, "identity", "/v3/users/"+member.user+"/application_credentials", "application_credential", `{"name":"a"}`)
	p.private = []string{
		img, net, subnet, port, group, rule, router, fip, volume, spare, snapshot, attachment, servers, server, cred, ours, p.member.user,
	}
	first := func(api, path string, at ...any) string { return admin.made(t, "GET", api, path, "").text(t, at...) }
	p.things = map[string]map[string]string{
		"identity": {
			"domains": "default", "projects": ours, "users": p.member.user, "roles": role("member"), "implies": role("reader"), "tags": "t",
			"groups":   create(admin, "identity", "/v3/groups", "group", `{"name":"g"}`),
			"services": first("identity", "/v3/services", "services", 0, "id"), "endpoints": first("identity", "/v3/endpoints", "endpoints", 0, "id"),
			"regions": "RegionOne", "application_credentials": cred,
		},
		"image": {"images": img, "tags": "t", "members": bystander, "stores": "default", "default": img},
		"network": {
			"networks": net, "subnets": subnet, "ports": port, "security-groups": group, "security-group-rules": rule, "routers": router,
			"floatingips": fip, "quotas": ours, "agents": first("network", "/v2.0/agents", "agents", 0, "id"), "extensions": "router",
			"network-ip-availabilities": net, "tags": "t", "external": public,
		},
		"volume": {
			"volumes": volume, "snapshots": snapshot, "attachments": attachment, "types": first("volume", "/v3/types", "volume_types", 0, "id"),
			"metadata": "k", "extra_specs": "k", "encryption": "k", "default-types": ours, "os-quota-sets": ours, "os-quota-class-sets": "default",
			"os-hosts": first("volume", "/v3/os-hosts", "hosts", 0, "host_name"), "os-services": "disable", "extensions": "OS-SCH-HNT", "servers": server,
			"volume-transfers": offer, "os-volume-transfer": offer,
			"qos-specs": create(admin, "volume", "/v3/qos-specs", "qos_specs", `{"name":"fast","k":"v"}`),
		},
		"compute": {
			"os-security-groups": group, "os-security-group-rules": rule,
			"servers": server, "metadata": "k", "tags": "t", "ips": "n", "os-instance-actions": request, "os-interface": port, "migrations": "1",
			"os-volume_attachments": volume, "flavors": "1", "os-extra_specs": "k", "os-keypairs": key, "os-server-groups": servers,
			"os-aggregates": "1", "os-quota-sets": ours, "os-quota-class-sets": "default",
			"os-hypervisors":   first("compute", "/v2.1/os-hypervisors", "hypervisors", 0, "id"),
			"os-services":      first("compute", "/v2.1/os-services", "services", 0, "id"),
			"os-services@2.52": "disable", "os-simple-tenant-usage": ours, "extensions": "os-keypairs", "images": img, "net": net, "users": p.member.user,
		},
		"placement": {
			"resource_providers": first("placement", "/resource_providers", "resource_providers", 0, "uuid"),
			"resource_classes":   "VCPU", "inventories": "VCPU", "traits": "HW_CPU_X86_AVX2", "allocations": server,
		},
	}
	return p
}

var optional = regexp.MustCompile(`/\{project_id\?\}`)

// path is a route's path to the cast's things.
func (p *cast) path(t *testing.T, api, pattern, version string) string {
	t.Helper()
	segments := strings.Split(pattern, "/")
	for i, s := range segments {
		if s == "{$}" {
			segments[i] = ""
		} else if strings.HasPrefix(s, "{") {
			thing, ok := p.things[api][segments[i-1]+"@"+version]
			if !ok {
				thing, ok = p.things[api][segments[i-1]]
			}
			require.True(t, ok, "%s %s: the test knows no %s", api, pattern, segments[i-1])
			segments[i] = thing
		}
	}
	return strings.Join(segments, "/")
}

// each calls f with every route that needs a token.
func (p *cast) each(t *testing.T, f func(name string, r call)) {
	for _, api := range mounted {
		for _, r := range routes(t, p.cloud, api) {
			if r.Public || api == "compute" && slices.Equal(r.Rules, []string{"@"}) { // what is gone says so to everybody
				continue
			}
			name := optional.ReplaceAllString(r.Pattern, "")
			method, pattern, _ := strings.Cut(name, " ")
			version := "latest"
			if r.Max != "" {
				version = r.Max
				name += " until " + r.Max
			}
			f(api+" "+name, call{method, api, p.path(t, api, pattern, version), version, ""})
		}
	}
}

// call is a request to be.
type call struct{ method, api, path, version, body string }

func (c call) by(t *testing.T, p persona) reply {
	t.Helper()
	return p.do(t, c.method, c.api, c.path, c.version, c.body)
}

// changes are the bodies of requests that change something; without one it is
// {}. What stands in angle brackets is a thing of the cast's.
var changes = map[string][]string{
	"identity POST /v3/domains":                            {`{"domain":{"name":"x"}}`},
	"identity PATCH /v3/domains/{id}":                      {`{"domain":{"name":"x"}}`},
	"identity POST /v3/projects":                           {`{"project":{"name":"x"}}`},
	"identity PATCH /v3/projects/{id}":                     {`{"project":{"name":"x"}}`},
	"identity PUT /v3/projects/{id}/tags":                  {`{"tags":["x"]}`},
	"identity POST /v3/users":                              {`{"user":{"name":"x"}}`},
	"identity PATCH /v3/users/{id}":                        {`{"user":{"name":"x"}}`},
	"identity POST /v3/groups":                             {`{"group":{"name":"x"}}`},
	"identity PATCH /v3/groups/{id}":                       {`{"group":{"name":"x"}}`},
	"identity POST /v3/roles":                              {`{"role":{"name":"x"}}`},
	"identity PATCH /v3/roles/{id}":                        {`{"role":{"name":"x"}}`},
	"identity POST /v3/services":                           {`{"service":{"type":"x"}}`},
	"identity PATCH /v3/services/{id}":                     {`{"service":{"name":"x"}}`},
	"identity POST /v3/endpoints":                          {`{"endpoint":{"interface":"public","url":"http://x","service_id":"<services>"}}`},
	"identity PATCH /v3/endpoints/{id}":                    {`{"endpoint":{"url":"http://x"}}`},
	"identity PATCH /v3/regions/{id}":                      {`{"region":{"description":"x"}}`},
	"identity POST /v3/users/{id}/application_credentials": {`{"application_credential":{"name":"x"}}`},

	"image POST /v2/images":                         {`{"name":"x"}`},
	"image PATCH /v2/images/{id}":                   {`[{"op":"replace","path":"/name","value":"x"}]`},
	"image POST /v2/images/{id}/import":             {`{"method":{"name":"glance-direct"}}`},
	"image POST /v2/images/{id}/members":            {`{"member":"x"}`},
	"image PUT /v2/images/{id}/members/{member_id}": {`{"status":"accepted"}`},

	"network POST /v2.0/networks":                            {`{"network":{}}`, `{"networks":[{},{}]}`},
	"network PUT /v2.0/networks/{id}":                        {`{"network":{"name":"x"}}`},
	"network POST /v2.0/subnets":                             {`{"subnet":{"network_id":"<networks>","cidr":"10.2.0.0/24","ip_version":4}}`},
	"network PUT /v2.0/subnets/{id}":                         {`{"subnet":{"name":"x"}}`},
	"network POST /v2.0/ports":                               {`{"port":{"network_id":"<networks>"}}`},
	"network PUT /v2.0/ports/{id}":                           {`{"port":{"name":"x"}}`},
	"network POST /v2.0/security-groups":                     {`{"security_group":{"name":"x"}}`},
	"network PUT /v2.0/security-groups/{id}":                 {`{"security_group":{"name":"x"}}`},
	"network POST /v2.0/security-group-rules":                {`{"security_group_rule":{"security_group_id":"<security-groups>","direction":"egress"}}`},
	"network POST /v2.0/routers":                             {`{"router":{"name":"x"}}`},
	"network PUT /v2.0/routers/{id}":                         {`{"router":{"name":"x"}}`},
	"network PUT /v2.0/routers/{id}/add_router_interface":    {`{"subnet_id":"<subnets>"}`, `{"port_id":"<ports>"}`},
	"network PUT /v2.0/routers/{id}/remove_router_interface": {`{"subnet_id":"<subnets>"}`},
	"network PUT /v2.0/routers/{id}/add_extraroutes":         {`{"router":{"routes":[{"destination":"10.9.0.0/24","nexthop":"10.1.0.9"}]}}`},
	"network PUT /v2.0/routers/{id}/remove_extraroutes":      {`{"router":{"routes":[{"destination":"10.9.0.0/24","nexthop":"10.1.0.9"}]}}`},
	"network POST /v2.0/floatingips":                         {`{"floatingip":{"floating_network_id":"<external>"}}`},
	"network PUT /v2.0/floatingips/{id}":                     {`{"floatingip":{"port_id":"<ports>"}}`},
	"network PUT /v2.0/quotas/{project}":                     {`{"quota":{"network":1}}`},
	"network PUT /v2.0/floatingips/{id}/tags":                {`{"tags":["x"]}`},
	"network PUT /v2.0/networks/{id}/tags":                   {`{"tags":["x"]}`},
	"network PUT /v2.0/ports/{id}/tags":                      {`{"tags":["x"]}`},
	"network PUT /v2.0/routers/{id}/tags":                    {`{"tags":["x"]}`},
	"network PUT /v2.0/security-groups/{id}/tags":            {`{"tags":["x"]}`},
	"network PUT /v2.0/subnets/{id}/tags":                    {`{"tags":["x"]}`},
	"network PUT /v2.0/agents/{id}":                          {`{"agent":{"admin_state_up":false}}`},

	"volume POST /v3/volumes": {
		`{"volume":{"size":1}}`, `{"volume":{"size":1,"snapshot_id":"<snapshots>"}}`, `{"volume":{"size":1,"source_volid":"<volumes>"}}`,
	},
	"volume PUT /v3/volumes/{id}": {`{"volume":{"name":"x"}}`},
	"volume POST /v3/volumes/{id}/action": {
		`{"os-extend":{"new_size":2}}`, `{"os-reset_status":{"status":"error"}}`, `{"os-force_delete":{}}`, `{"os-reserve":{}}`,
		`{"os-unreserve":{}}`, `{"os-begin_detaching":{}}`, `{"os-roll_detaching":{}}`, `{"os-attach":{"instance_uuid":"<servers>","mountpoint":"/dev/vdx"}}`,
		`{"os-detach":{}}`, `{"os-initialize_connection":{"connector":{"host":"x"}}}`, `{"os-terminate_connection":{"connector":{"host":"x"}}}`,
		`{"os-update_readonly_flag":{"readonly":true}}`, `{"os-set_bootable":{"bootable":true}}`,
		`{"os-set_image_metadata":{"metadata":{"k":"v"}}}`, `{"os-unset_image_metadata":{"key":"k"}}`,
		`{"os-unmanage":{}}`, `{"os-retype":{"new_type":"<types>"}}`, `{"os-migrate_volume":{"host":"x"}}`, `{"os-migrate_volume_completion":{"new_volume":"<volumes>"}}`,
	},
	"volume POST /v3/volumes/{id}/metadata":          {`{"metadata":{"k":"v"}}`},
	"volume PUT /v3/volumes/{id}/metadata":           {`{"metadata":{"k":"v"}}`},
	"volume PUT /v3/volumes/{id}/metadata/{key}":     {`{"meta":{"k":"v"}}`},
	"volume POST /v3/snapshots/{id}/metadata":        {`{"metadata":{"k":"v"}}`},
	"volume PUT /v3/snapshots/{id}/metadata":         {`{"metadata":{"k":"v"}}`},
	"volume PUT /v3/snapshots/{id}/metadata/{key}":   {`{"meta":{"k":"v"}}`},
	"volume POST /v3/snapshots":                      {`{"snapshot":{"volume_id":"<volumes>","force":true}}`, `{"snapshot":{"volume_id":"<volumes>"}}`},
	"volume PUT /v3/snapshots/{id}":                  {`{"snapshot":{"name":"x"}}`},
	"volume POST /v3/snapshots/{id}/action":          {`{"os-reset_status":{"status":"error"}}`, `{"os-force_delete":{}}`, `{"os-update_snapshot_status":{"status":"error"}}`},
	"volume POST /v3/attachments":                    {`{"attachment":{"volume_uuid":"<volumes>","instance_uuid":"<servers>"}}`},
	"volume PUT /v3/attachments/{id}":                {`{"attachment":{"connector":{"host":"x"}}}`},
	"volume POST /v3/attachments/{id}/action":        {`{"os-complete":{}}`},
	"volume POST /v3/types":                          {`{"volume_type":{"name":"x"}}`},
	"volume PUT /v3/types/{id}":                      {`{"volume_type":{"name":"x"}}`},
	"volume POST /v3/types/{id}/extra_specs":         {`{"extra_specs":{"k":"v"}}`},
	"volume PUT /v3/types/{id}/extra_specs/{key}":    {`{"k":"v"}`},
	"volume POST /v3/types/{id}/encryption":          {`{"encryption":{"provider":"luks","control_location":"front-end"}}`},
	"volume PUT /v3/types/{id}/encryption/{key}":     {`{"encryption":{"key_size":64}}`},
	"volume POST /v3/types/{id}/action":              {`{"addProjectAccess":{"project":"<os-quota-sets>"}}`, `{"removeProjectAccess":{"project":"<os-quota-sets>"}}`},
	"volume POST /v3/volume-transfers":               {`{"transfer":{"volume_id":"<volumes>"}}`},
	"volume POST /v3/volume-transfers/{id}/accept":   {`{"accept":{"auth_key":"x"}}`},
	"volume POST /v3/os-volume-transfer":             {`{"transfer":{"volume_id":"<volumes>"}}`},
	"volume POST /v3/os-volume-transfer/{id}/accept": {`{"accept":{"auth_key":"x"}}`},
	"volume POST /v3/manageable_volumes":             {`{"volume":{"host":"x","ref":{"source-name":"x"}}}`},
	"volume POST /v3/os-volume-manage":               {`{"volume":{"host":"x","ref":{"source-name":"x"}}}`},
	"volume POST /v3/qos-specs":                      {`{"qos_specs":{"name":"x"}}`},
	"volume PUT /v3/qos-specs/{id}":                  {`{"qos_specs":{"k":"v"}}`},
	"volume PUT /v3/qos-specs/{id}/delete_keys":      {`{"keys":["k"]}`},
	"volume PUT /v3/default-types/{project}":         {`{"default_type":{"volume_type":"<types>"}}`},
	"volume PUT /v3/os-quota-sets/{project}":         {`{"quota_set":{"volumes":1}}`},
	"volume PUT /v3/os-quota-class-sets/{class}":     {`{"quota_class_set":{"volumes":1}}`},
	"volume PUT /v3/os-services/{action}":            {`{"host":"x","binary":"cinder-volume"}`},

	"compute POST /v2.1/servers":                    {`{"server":{"name":"x","imageRef":"<images>","flavorRef":"1","networks":"none"}}`},
	"compute POST /v2.1/os-volumes_boot until 2.35": {`{"server":{"name":"x","imageRef":"<images>","flavorRef":"1"}}`},
	"compute PUT /v2.1/servers/{id}":                {`{"server":{"name":"x"}}`},
	"compute POST /v2.1/servers/{id}/metadata":      {`{"metadata":{"k":"v"}}`},
	"compute PUT /v2.1/servers/{id}/metadata":       {`{"metadata":{"k":"v"}}`},
	"compute PUT /v2.1/servers/{id}/metadata/{key}": {`{"meta":{"k":"v"}}`},
	"compute PUT /v2.1/servers/{id}/tags":           {`{"tags":["x"]}`},
	"compute POST /v2.1/servers/{id}/action": {
		`{"os-start":null}`, `{"os-stop":null}`, `{"reboot":{"type":"HARD"}}`, `{"pause":null}`, `{"unpause":null}`, `{"lock":null}`, `{"unlock":null}`,
		`{"forceDelete":null}`, `{"os-resetState":{"state":"error"}}`, `{"os-getConsoleOutput":{}}`,
	},
	"compute POST /v2.1/servers/{id}/os-interface":                  {`{"interfaceAttachment":{"net_id":"<net>"}}`},
	"compute POST /v2.1/servers/{id}/os-volume_attachments":         {`{"volumeAttachment":{"volumeId":"<os-volume_attachments>"}}`},
	"compute PUT /v2.1/servers/{id}/os-volume_attachments/{volume}": {`{"volumeAttachment":{"volumeId":"<os-volume_attachments>"}}`},
	"compute POST /v2.1/servers/{id}/migrations/{migration}/action": {`{"force_complete":null}`},
	"compute POST /v2.1/os-aggregates/{id}/images":                  {`{"cache":[{"id":"<images>"}]}`},
	"compute PUT /v2.1/servers/{id}/tags/{tag}":                     {`null`},
	"compute POST /v2.1/servers/{id}/remote-consoles":               {`{"remote_console":{"protocol":"vnc","type":"novnc"}}`},
	"compute POST /v2.1/flavors":                                    {`{"flavor":{"name":"x","ram":1,"vcpus":1,"disk":1}}`},
	"compute PUT /v2.1/flavors/{id}":                                {`{"flavor":{"description":"x"}}`},
	"compute POST /v2.1/flavors/{id}/action":                        {`{"addTenantAccess":{"tenant":"<os-quota-sets>"}}`, `{"removeTenantAccess":{"tenant":"<os-quota-sets>"}}`},
	"compute POST /v2.1/os-security-groups until 2.35":              {`{"security_group":{"name":"x","description":""}}`},
	"compute PUT /v2.1/os-security-groups/{id} until 2.35":          {`{"security_group":{"name":"x","description":""}}`},
	"compute POST /v2.1/os-security-group-rules until 2.35":         {`{"security_group_rule":{"parent_group_id":"<os-security-groups>","ip_protocol":"tcp","from_port":1,"to_port":2}}`},
	"compute POST /v2.1/flavors/{id}/os-extra_specs":                {`{"extra_specs":{"k":"v"}}`},
	"compute PUT /v2.1/flavors/{id}/os-extra_specs/{key}":           {`{"k":"v"}`},
	"compute POST /v2.1/os-keypairs":                                {`{"keypair":{"name":"x","type":"ssh","public_key":"` + sshKey + `","user_id":"<users>"}}`},
	"compute POST /v2.1/os-server-groups":                           {`{"server_group":{"name":"x","policy":"affinity"}}`},
	"compute POST /v2.1/os-aggregates":                              {`{"aggregate":{"name":"x"}}`},
	"compute PUT /v2.1/os-aggregates/{id}":                          {`{"aggregate":{"name":"x"}}`},
	"compute POST /v2.1/os-aggregates/{id}/action": {
		`{"add_host":{"host":"x"}}`, `{"remove_host":{"host":"x"}}`, `{"set_metadata":{"metadata":{"k":"v"}}}`,
	},
	"compute PUT /v2.1/os-quota-sets/{id}":          {`{"quota_set":{"cores":1}}`},
	"compute PUT /v2.1/os-quota-class-sets/{id}":    {`{"quota_class_set":{"cores":1}}`},
	"compute PUT /v2.1/os-services/{id}":            {`{"status":"disabled"}`},
	"compute PUT /v2.1/os-services/{id} until 2.52": {`{"host":"host-1","binary":"nova-compute"}`},
	"compute POST /v2.1/os-server-external-events": {
		`{"events":[{"name":"network-changed","server_uuid":"<servers>"}]}`,
	},
}

// unlike are requests of a reader's that are answered with another status than
// 403, as they are in OpenStack.
var unlike = map[string]int{
	"image POST /v2/images/{id}/import":       http.StatusConflict, // the image's state comes first
	"image DELETE /v2/stores/{store}/{id}":    http.StatusNotFound, // there is one store, of which nobody is told
	"network PUT /v2.0/agents/{id}":           http.StatusNotFound, // who may not see it does not learn of it
	"network DELETE /v2.0/agents/{id}":        http.StatusNotFound,
	"compute DELETE /v2.1/os-keypairs/{name}": http.StatusNotFound, // everybody has their own
}

var angled = regexp.MustCompile(`<[a-z_-]+>`)

func (p *cast) body(t *testing.T, api, text string) string {
	return angled.ReplaceAllStringFunc(text, func(s string) string {
		thing, ok := p.things[api][s[1:len(s)-1]]
		require.True(t, ok, "the test knows no %s in %s", s, api)
		return thing
	})
}

// Neither changes anything, so that one cast is enough for both.
func TestPersonas(t *testing.T) {
	p := newCast(t)
	t.Run("a reader changes nothing", func(t *testing.T) { readerChangesNothing(t, p) })
	t.Run("a stranger sees nothing", func(t *testing.T) { strangerSeesNothing(t, p) })
}

func readerChangesNothing(t *testing.T, p *cast) {
	used := map[string]bool{}
	p.each(t, func(name string, c call) {
		if c.method == http.MethodGet || c.method == http.MethodHead {
			return
		}
		used[name] = true
		want := http.StatusForbidden
		if other, ok := unlike[name]; ok {
			want = other
		}
		bodies := changes[name]
		if bodies == nil {
			bodies = []string{"{}"}
		}
		for _, body := range bodies {
			c.body = p.body(t, c.api, body)
			r := c.by(t, p.reader)
			if r.status != want {
				t.Errorf("%s %s: %d, should be %d: %s", name, c.body, r.status, want, r.body)
			}
		}
	})
	for name := range changes {
		require.True(t, used[name], "there is no %s", name)
	}
}

// elsewhere are requests for others' things that are answered with another
// status than 404, as they are in OpenStack: who may not ask this of their own
// either, or asks about a project, is told so.
var elsewhere = map[string]int{
	"network GET /v2.0/quotas/{project}":              http.StatusForbidden,
	"network GET /v2.0/quotas/{project}/default":      http.StatusForbidden,
	"network GET /v2.0/quotas/{project}/details":      http.StatusForbidden,
	"network GET /v2.0/quotas/{project}/details.json": http.StatusForbidden,
	"network PUT /v2.0/quotas/{project}":              http.StatusForbidden,
	"network DELETE /v2.0/quotas/{project}":           http.StatusForbidden,
	"volume GET /v3/default-types/{project}":          http.StatusForbidden,
	"volume PUT /v3/default-types/{project}":          http.StatusForbidden,
	"volume DELETE /v3/default-types/{project}":       http.StatusForbidden,
	"volume GET /v3/os-quota-sets/{project}":          http.StatusForbidden,
	"volume GET /v3/os-quota-sets/{project}/defaults": http.StatusForbidden,
	"volume GET /v3/os-quota-sets/{project}/default":  http.StatusForbidden,
	"volume PUT /v3/os-quota-sets/{project}":          http.StatusForbidden,
	"volume DELETE /v3/os-quota-sets/{project}":       http.StatusForbidden,
	"compute GET /v2.1/os-quota-sets/{id}":            http.StatusForbidden,
	"compute GET /v2.1/os-quota-sets/{id}/detail":     http.StatusForbidden,
	"compute GET /v2.1/os-quota-sets/{id}/defaults":   http.StatusOK, // the same for all
	"compute PUT /v2.1/os-quota-sets/{id}":            http.StatusForbidden,
	"compute DELETE /v2.1/os-quota-sets/{id}":         http.StatusForbidden,
	"compute GET /v2.1/os-simple-tenant-usage/{id}":   http.StatusForbidden,
}

func strangerSeesNothing(t *testing.T, p *cast) {
	used := map[string]bool{}
	p.each(t, func(name string, c call) {
		theirs := slices.ContainsFunc(p.private, func(id string) bool { return strings.Contains(c.path, id) })
		if !theirs {
			if c.method == http.MethodGet {
				r := c.by(t, p.stranger)
				for _, id := range p.private {
					require.NotContains(t, string(r.body), id, "%s %d", name, r.status)
				}
			}
			return
		}
		used[name] = true
		want := http.StatusNotFound
		if c.api == "identity" || c.api == "placement" {
			want = http.StatusForbidden
		}
		if other, ok := elsewhere[name]; ok {
			want = other
		}
		bodies := changes[name]
		switch {
		case c.method == http.MethodGet || c.method == http.MethodHead:
			bodies = []string{""}
		case bodies == nil:
			bodies = []string{"{}"}
		}
		for _, body := range bodies {
			c.body = p.body(t, c.api, body)
			if r := c.by(t, p.stranger); r.status != want {
				t.Errorf("%s %s: %d, should be %d: %s", name, c.body, r.status, want, r.body)
			}
		}
	})
	for name := range elsewhere {
		require.True(t, used[name], "there is no %s", name)
	}
}
