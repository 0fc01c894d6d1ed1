package cloud_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// TestHostileInputIsNobodysFailure sends every route of every API requests that
// were right before something in them was spoilt: ids, queries, headers, and one
// or two values of the body. Whatever it is, no answer may be of status 500, and
// each must be what it says it is. NEPHOS_HOSTILE is how many times each route is
// asked, and NEPHOS_SEED what chance begins with.
func TestHostileInputIsNobodysFailure(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { beHostile(t, "") })
	t.Run("postgres", func(t *testing.T) { beHostile(t, storetest.PostgresURL(t)) })
}

func beHostile(t *testing.T, database string) {
	rounds, seed := 1, 1
	if n, err := strconv.Atoi(os.Getenv("NEPHOS_HOSTILE")); err == nil {
		rounds = n
	}
	if n, err := strconv.Atoi(os.Getenv("NEPHOS_SEED")); err == nil {
		seed = n
	}
	var log notes
	c := cloudtest.New(t, cloudtest.Options{
		Hosts: 2, Database: database, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	h := &hostile{
		t: t, cloud: c, log: &log, seen: map[string]bool{},
		rand:     rand.New(rand.NewPCG(uint64(seed), 7)),
		statuses: map[int]int{},
	}
	p := c.Project()
	h.known = map[string][]string{
		"NET": {p.NetworkID}, "SUBNET": {p.SubnetID}, "ROUTER": {p.RouterID}, "EXT": {p.ExternalID}, "GROUP": {p.SecurityGroupID},
		"IMAGE": {p.ImageID}, "FLAVOR": {p.FlavorID}, "PROJECT": {p.ID}, "USER": {p.MemberID}, "KEY": {p.KeyName},
	}
	h.login(p.MemberName, p.Name)
	h.furnish()
	for range rounds {
		for _, name := range mounted {
			if h.lost {
				h.lost = false
				h.login(p.MemberName, p.Name)
				h.furnish()
			}
			for i, r := range routes(t, c, name) {
				if underRace && (i+seed)%4 != 0 {
					continue // the detector has enough to look at
				}
				if name == "compute" && slices.Contains(r.Rules, "@") {
					continue // gone, whoever asks
				}
				h.spoil(name, r)
				if strings.HasPrefix(r.Pattern, "P") { // with a body
					h.spoil(name, r)
				}
			}
		}
	}
	t.Log("answers by status:", h.statuses)
	asked := 0
	for _, n := range h.statuses {
		asked += n
	}
	require.Greater(t, h.statuses[200], asked/20, "hardly anything was right enough to be heeded")
}

// hostile is who sends the requests.
type hostile struct {
	t     *testing.T
	cloud *cloudtest.Cloud
	log   *notes
	rand  *rand.Rand
	admin string
	token string              // the member's
	known map[string][]string // ids, by the word that stands for them
	seen  map[string]bool     // what failed already
	lost  bool                // something was deleted

	statuses map[int]int
}

// notes are what is logged.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

// take returns what was logged since it was asked last.
func (n *notes) take() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	defer n.text.Reset()
	return n.text.String()
}

func (h *hostile) login(user, project string) {
	for _, who := range []struct {
		user, project string
		token         *string
	}{{"admin", "admin", &h.admin}, {user, project, &h.token}} {
		w := h.send("identity", "POST", "/v3/auth/tokens", nil, fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":
			{"name":%q,"domain":{"id":"default"},"password":%q}}},"scope":{"project":{"name":%q,"domain":{"id":"default"}}}}}`,
			who.user, cloudtest.AdminPassword, who.project))
		if w.Code != 201 && *who.token != "" {
			continue // somebody locked them out
		}
		require.Equal(h.t, 201, w.Code, w.Body)
		*who.token = w.Header().Get("X-Subject-Token")
	}
}

func (h *hostile) send(service, method, path string, headers map[string]string, body string) *httptest.ResponseRecorder {
	var in io.Reader = http.NoBody
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, "http://nephos.test/", in)
	require.NoError(h.t, err)
	path, r.URL.RawQuery, _ = strings.Cut(path, "?")
	u, err := r.URL.Parse("/" + service + path)
	if err != nil {
		return httptest.NewRecorder() // no server would see it
	}
	u.RawQuery = r.URL.RawQuery
	r.URL, r.RequestURI = u, u.RequestURI()
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.cloud.Handler().ServeHTTP(w, r)
	return w
}

// furnish makes what the bodies name.
func (h *hostile) furnish() {
	newest := map[string]string{"compute": "compute latest", "volume": "volume latest", "placement": "placement latest"}
	for _, b := range hostileBodies {
		if b.made == "" {
			continue
		}
		method, path, _ := strings.Cut(b.route, " ")
		token := h.token
		if b.admin {
			token = h.admin
		}
		path = h.fill(strings.ReplaceAll(path, "{project_id?}/", ""))
		w := h.send(b.service, method, path, map[string]string{"X-Auth-Token": token, "OpenStack-API-Version": newest[b.service]}, h.fill(b.body))
		if w.Code >= 300 {
			require.NotEmpty(h.t, h.known[b.made], "%s %s: %s", method, path, w.Body)
			continue // a quota, or what it needs is gone
		}
		var answer map[string]any
		require.NoError(h.t, json.Unmarshal(w.Body.Bytes(), &answer), "%s", w.Body)
		for _, v := range answer {
			if inner, ok := v.(map[string]any); ok {
				answer = inner
				break
			}
		}
		id := fmt.Sprint(answer["id"])
		if answer["uuid"] != nil {
			id = fmt.Sprint(answer["uuid"])
		}
		require.NotEqual(h.t, "<nil>", id, "%s", w.Body)
		h.known[b.made] = append(h.known[b.made], id)
	}
}

// fill puts ids in the places of their words.
func (h *hostile) fill(s string) string {
	for _, word := range slices.Backward(slices.Sorted(maps.Keys(h.known))) {
		s = strings.ReplaceAll(s, "$"+word, h.known[word][len(h.known[word])-1])
	}
	return strings.ReplaceAll(s, "$N", strconv.Itoa(h.rand.IntN(1<<20)))
}

func pick[T any](h *hostile, list []T) T { return list[h.rand.IntN(len(list))] }

// odd are values that no field expects.
var odd = []any{
	nil, true, false, 0, -1, 1, 2, 65536, json.Number("2147483648"), json.Number("9223372036854775807"), json.Number("9223372036854775808"),
	json.Number("-9223372036854775809"), json.Number("1e400"), json.Number("-1e400"), json.Number("1e-400"), json.Number("1.5"), json.Number("1e3"), json.Number("-0"),
	json.Number("123456789012345678901234567890123456789012345678901234567890"), "", " ", "a", "\x00", "a\x00b", "\u2028", "é", "💥", "\ufeff", "\ufffd", "%00", "../../etc/passwd",
	"'; DROP TABLE x; --", "${x}", "0", "-1", "1e9", "NaN", "Infinity", "null", "true", "None", "9223372036854775808", "default", "*", "%", "_", "\\",
	"00000000-0000-0000-0000-000000000000", "11111111111111111111111111111111", "fe80::1%eth0", "::", "0.0.0.0", "0.0.0.0/0", "10.0.0.0/33", "::/0", "::ffff:1.2.3.4", "ff:ff:ff:ff:ff:ff",
	"2999-12-31T23:59:59Z", "0000-00-00T00:00:00", "9999-99-99T99:99:99Z", "-9999-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "1970-01-01", "http://[::1", "file:///etc/passwd", "image:x",
	strings.Repeat("a", 256), strings.Repeat("ü", 255), strings.Repeat("9", 400), strings.Repeat("x", 70000),
	[]any{},
	[]any{nil},
	[]any{[]any{}},
	[]any{map[string]any{}},
	[]any{"a", "a"},
	[]any{1, "a", nil},
	map[string]any{},
	map[string]any{"": ""},
	map[string]any{"a\x00": "b"},
	map[string]any{"a": map[string]any{"b": []any{1}}},
	map[string]any{"uuid": nil},
	map[string]any{strings.Repeat("k", 300): strings.Repeat("v", 300)},
}

// oddText are the same for paths, queries and headers.
var oddText = []string{
	"", "%00", "a%00b", "%FF", "%C3%28", "%2F", "..", ".", "%2e%2e", "a%20b", "%0a", "%E2%80%A8", "-1", "0", "1", "99999999999999999999", "1e9", "null", "None", "true", "*", "%25", "'", "%22",
	"11111111-1111-4111-8111-111111111111", "11111111111111111111111111111111", strings.Repeat("a", 256), strings.Repeat("9", 300), strings.Repeat("%F0%9F%92%A5", 80), "in:", "in:,", "in:a,b", "neq:a", "gt:", "lt:x", "!x",
	"2999-12-31T23:59:59Z", "0000-00-00", "asc", "desc", "id:asc", "id:asc,name", ":", ",", ",,", "a:b:c", "{}", "[]", "{'a':%20'b'}", "(", "[", "(?P<", "[[:foo:]]", "\\", "%5C", "^(a+)+$", "%",
}

var queries = map[string][]string{
	"identity": {
		"limit", "marker", "name", "domain_id", "enabled", "sort_key", "sort_dir", "parent_id", "is_domain", "tags", "tags-any", "not-tags", "not-tags-any", "user.id", "group.id", "role.id", "scope.project.id",
		"scope.domain.id", "scope.system", "effective", "include_names", "include_subtree", "service_id", "interface", "region_id", "type", "subtree_as_list", "parents_as_ids", "subtree_as_ids", "parents_as_list", "password_expires_at", "name__contains", "id__icontains", "unique_id", "nocatalog", "allow_expired",
	},
	"image": {
		"limit", "marker", "name", "status", "visibility", "owner", "member_status", "sort_key", "sort_dir", "sort", "size_min", "size_max", "protected", "tag", "created_at", "updated_at", "container_format", "disk_format", "os_hidden", "id", "checksum", "min_ram", "wait",
	},
	"network": {
		"limit", "marker", "page_reverse", "fields", "sort_key", "sort_dir", "name", "id", "tags", "tags-any", "not-tags", "not-tags-any", "shared", "router:external", "admin_state_up", "mtu", "fixed_ips", "device_id", "device_owner", "mac_address", "ip_version", "cidr", "revision_number", "project_id", "tenant_id", "security_groups", "port_range_min", "direction", "status", "description", "changed_since", "network_id", "enable_dhcp", "provider:segmentation_id",
	},
	"volume": {
		"limit", "marker", "offset", "sort", "sort_key", "sort_dir", "name", "name~", "status", "all_tenants", "metadata", "bootable", "with_count", "created_at", "updated_at", "project_id", "migration_status", "availability_zone", "glance_metadata", "group_id", "volume_id", "is_public", "extra_specs", "detail", "usage", "consumes_quota", "force", "cascade", "host", "binary", "id", "user_id", "key", "attach_status",
	},
	"compute": {
		"limit", "marker", "sort_key", "sort_dir", "name", "status", "all_tenants", "changes-since", "changes-before", "image", "flavor", "ip", "ip6", "host", "node", "deleted", "tags", "tags-any", "not-tags", "not-tags-any", "reservation_id", "locked", "vm_state", "task_state", "power_state", "user_id", "project_id", "tenant_id", "minDisk", "minRam", "is_public", "start", "end", "detailed", "with_servers", "hypervisor_hostname_pattern", "binary", "usage", "instance_uuid", "migration_type", "offset", "launched_at", "progress", "uuid", "description", "config_drive", "soft_deleted", "access_ip_v4", "created_at", "reverse", "deleted_only",
	},
	"placement": {
		"name", "uuid", "member_of", "resources", "in_tree", "required", "limit", "group_policy", "resources1", "required1", "same_subtree", "root_required", "project_id", "user_id", "consumer_type", "associated", "resources_A", "member_of1", "in_tree_A",
	},
}

// spoil asks one route for something and spoils it.
func (h *hostile) spoil(service string, r httpapi.Route) {
	method, pattern, _ := strings.Cut(r.Pattern, " ")
	path := strings.TrimSuffix(strings.ReplaceAll(pattern, "{project_id?}/", ""), "{$}")
	words := strings.Split(path, "/")
	for i, w := range words {
		if strings.HasPrefix(w, "{") {
			words[i] = h.id(method, words[i-1])
		}
	}
	path = strings.Join(words, "/")
	var body string
	var seeds []string
	for _, b := range hostileBodies {
		if b.service == service && b.route == r.Pattern {
			seeds = append(seeds, b.body)
		}
	}
	switch {
	case len(seeds) > 0:
		body = h.spoilBody(h.fill(pick(h, seeds)))
	case method == "POST" || method == "PUT" || method == "PATCH":
		body = h.spoilBody(`{"` + pick(h, []string{"a", "name", "metadata", "tags", "server"}) + `": "x"}`)
	}
	if h.rand.IntN(3) > 0 {
		var q []string
		for range 1 + h.rand.IntN(3) {
			q = append(q, pick(h, queries[service])+"="+pick(h, oddText))
		}
		path += "?" + strings.Join(q, "&")
	}
	headers := map[string]string{"X-Auth-Token": h.admin}
	if h.rand.IntN(4) == 0 {
		headers["X-Auth-Token"] = h.token
	}
	switch service {
	case "compute":
		headers["OpenStack-API-Version"] = "compute " + pick(h, []string{"latest", "2.1", "2.36", "2." + strconv.Itoa(1+h.rand.IntN(96))})
	case "volume":
		headers["OpenStack-API-Version"] = "volume " + pick(h, []string{"latest", "3.0", "3." + strconv.Itoa(h.rand.IntN(67))})
	case "placement":
		headers["OpenStack-API-Version"] = "placement " + pick(h, []string{"latest", "1." + strconv.Itoa(h.rand.IntN(40))})
	case "image":
		if method == "PATCH" {
			headers["Content-Type"] = "application/openstack-images-v2.1-json-patch"
		}
	}
	if h.rand.IntN(20) == 0 {
		headers[pick(h, []string{"Range", "Accept", "Content-Type", "If-Match", "Idempotency-Key", "X-Subject-Token", "X-Image-Meta-Store", "Content-Range", "OpenStack-API-Version", "X-OpenStack-Nova-API-Version", "X-Auth-Token"})] = pick(h, []string{"", "bytes=0-", "bytes=5-1", "bytes=-0", "bytes 0-1/9999999999999999999", "a", "*/*", "\xff", strings.Repeat("x", 5000), "revision_number=99999999999999999999", "revision_number=x", ";", "text/html;q=x", "\"", "application/json;charset=\"", "compute 2.1, volume 3.1"})
	}
	h.check(service, method, path, headers, body)
}

// id is an id of a thing, by the word that stands before it in the path.
func (h *hostile) id(method, before string) string {
	if h.rand.IntN(8) == 0 {
		return pick(h, oddText)
	}
	word := map[string]string{
		"networks": "NET", "subnets": "SUBNET", "ports": "PORT", "routers": "ROUTER", "security-groups": "GROUP", "floatingips": "FIP", "images": "IMAGE", "servers": "SERVER", "flavors": "FLAVOR",
		"volumes": "VOLUME", "snapshots": "SNAPSHOT", "types": "TYPE", "projects": "PROJECT", "users": "USER", "roles": "ROLE", "domains": "DOMAIN", "groups": "UGROUP", "services": "SERVICE", "endpoints": "ENDPOINT",
		"regions": "REGION", "resource_providers": "RP", "allocations": "CONSUMER", "os-keypairs": "KEY", "os-aggregates": "AGG", "os-server-groups": "SGROUP", "attachments": "ATTACHMENT", "qos-specs": "QOS",
		"os-quota-sets": "PROJECT", "quotas": "PROJECT", "application_credentials": "APPCRED", "inventories": "VCPU", "os-volume-transfer": "TRANSFER", "volume-transfers": "TRANSFER", "os-volume_attachments": "VOLUME",
		"subnetpools": "POOL", "address-scopes": "SCOPE", "implies": "ROLE", "security-group-rules": "RULE", "members": "PROJECT", "os-interface": "PORT", "os-simple-tenant-usage": "PROJECT",
	}[before]
	if (word == "PROJECT" || word == "USER") && (method == "PATCH" || method == "DELETE") {
		word += "2" // nobody's who is logged in
	}
	if ids := h.known[word]; len(ids) > 0 {
		return ids[len(ids)-1]
	}
	switch before {
	case "inventories", "resource_classes":
		return pick(h, []string{"VCPU", "CUSTOM_A", "x"})
	case "traits":
		return pick(h, []string{"HW_CPU_X86_AVX", "CUSTOM_T", "x"})
	}
	return pick(h, []string{"a", "11111111-1111-4111-8111-111111111111", "1", "key"})
}

// spoilBody spoils one or two values of a body, or its text.
func (h *hostile) spoilBody(text string) string {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var tree any
	require.NoError(h.t, dec.Decode(&tree), text)
	for range h.rand.IntN(3) {
		tree = h.spoilValue(tree)
	}
	b, err := json.Marshal(tree)
	require.NoError(h.t, err)
	text = string(b)
	at := h.rand.IntN(len(text) + 1)
	switch h.rand.IntN(40) {
	case 0:
		return text[:at]
	case 1:
		return text[:at] + pick(h, []string{"\xff", "\xc3\x28", "\x00", "\\u0000", "\\ud800", "NaN", "Infinity", "-", "\"", "}", "]", ",", "\u2028"}) + text[at:]
	case 2:
		return strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	case 3:
		return strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300)
	case 4:
		return strings.Replace(text, "{", `{"a":1,"a":2,`, 1)
	case 5:
		return pick(h, []string{"[]", "null", "0", `""`, "{}", " ", "[[]]", "true", "\ufeff{}", "{}{}"})
	case 6:
		return strings.Replace(text, `":`, `":NaN,"b":`, 1)
	}
	return text
}

func (h *hostile) spoilValue(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		if len(v) == 0 || h.rand.IntN(12) == 0 {
			break
		}
		keys := slices.Sorted(maps.Keys(v))
		key := pick(h, keys)
		switch h.rand.IntN(24) {
		case 0:
			delete(v, key)
		case 1:
			v[pick(h, []string{"", "a", "id", "name", "\x00", "Name", key + " ", strings.ToUpper(key)})] = h.odd()
		default:
			v[key] = h.spoilValue(v[key])
		}
		return v
	case []any:
		if len(v) == 0 || h.rand.IntN(6) == 0 {
			break
		}
		i := h.rand.IntN(len(v))
		if h.rand.IntN(6) == 0 {
			return append(v, v[i])
		}
		v[i] = h.spoilValue(v[i])
		return v
	}
	return h.odd()
}

// odd is a copy of one of the odd values.
func (h *hostile) odd() any {
	b, err := json.Marshal(pick(h, odd))
	require.NoError(h.t, err)
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	require.NoError(h.t, dec.Decode(&v))
	return v
}

// check sends a request and looks at the answer.
func (h *hostile) check(service, method, path string, headers map[string]string, body string) {
	h.log.take()
	show := func() string {
		shown := body
		if len(shown) > 600 {
			shown = shown[:600] + "…"
		}
		return fmt.Sprintf("%s /%s%s %v\n%s\n", method, service, path, headers["OpenStack-API-Version"], shown)
	}
	var w *httptest.ResponseRecorder
	func() {
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				h.t.Errorf("%s panics: %v", show(), p)
			}
		}()
		w = h.send(service, method, path, headers, body)
	}()
	if w == nil {
		return
	}
	h.statuses[w.Code]++
	log := h.log.take()
	if w.Code >= 500 && w.Code != http.StatusNotImplemented || strings.Contains(log, "status=500") { // also if it was made up for
		key := fmt.Sprint(service, method, strings.Count(path, "/"), w.Code)
		if _, after, found := strings.Cut(log, "err="); found {
			key += after[:min(len(after), 60)]
		}
		if !h.seen[key] {
			h.seen[key] = true
			h.t.Errorf("%s%d %s\n%s", show(), w.Code, w.Body, log[:min(len(log), 1500)])
		}
	}
	answer := w.Body.Bytes()
	if ct := w.Header().Get("Content-Type"); method != "HEAD" && strings.HasPrefix(ct, "application/json") && len(answer) > 0 && !json.Valid(answer) {
		h.t.Errorf("%s%d %q is not JSON", show(), w.Code, answer[:min(len(answer), 300)])
	} else if strings.HasPrefix(ct, "text/") && !utf8.Valid(answer) {
		h.t.Errorf("%s%d %q is not text", show(), w.Code, answer[:min(len(answer), 300)])
	}
	h.lost = h.lost || method == "DELETE" && w.Code < 300
}
