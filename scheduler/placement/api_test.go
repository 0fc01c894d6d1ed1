package placement_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/apitest"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/placement"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// clock stands still.
func clock() nephos.Clock {
	return nephos.NewVirtualClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
}

var people = apitest.People{
	"admin":   {UserID: "admin", ProjectID: "proj", Roles: []string{"admin"}},
	"service": {UserID: "service", ProjectID: "proj", Roles: []string{"service"}},
	"reader":  {UserID: "reader", ProjectID: "proj", Roles: []string{"reader"}},
}

type fixture struct {
	*apitest.Server // at /placement
	t               testing.TB
	store           *sqlstore.Store
	db              *store.DB
}

// with runs the test with an API at /placement on a database.
func with(t testing.TB, db *store.DB) *fixture {
	t.Helper()
	enforcer, err := policy.New(policy.Base(), placement.Rules())
	require.NoError(t, err)
	s, err := sqlstore.New(sqlstore.Config{Store: db, Clock: clock(), Ratios: map[string]float64{}})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	server := apitest.Serve(t, "placement", func(url string) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/placement/", http.StripPrefix("/placement", placement.New(placement.Config{
			Store: s, Policy: enforcer, HTTP: httpapi.Config{Verifier: people, PublicURL: url + "/placement", Clock: clock()},
		})))
		return mux
	})
	server.URL += "/placement"
	return &fixture{Server: server, t: t, store: s, db: db}
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return with(t, storetest.Open(t, clock(), sqlstore.Migrations()))
}

type answer struct {
	apitest.Answer
	body map[string]any
}

func (f *fixture) as(token, version, method, path string, body any) answer {
	f.t.Helper()
	text, ok := body.(string)
	if !ok && body != nil {
		b, err := json.Marshal(body)
		require.NoError(f.t, err)
		text = string(b)
	}
	a := answer{Answer: f.Do(token, method+" "+version, path, text)}
	if a.Body != "" {
		a.body = a.Object()
	}
	return a
}

func (f *fixture) do(version, method, path string, body any, status int) answer {
	f.t.Helper()
	a := f.as("admin", version, method, path, body)
	require.Equal(f.t, status, a.Status, "%s %s: %v", method, path, a.body)
	return a
}

// detail is the text and code of a fault.
func (a answer) detail() string {
	e := a.body["errors"].([]any)[0].(map[string]any)
	code, _ := e["code"].(string)
	return strings.TrimSpace(e["detail"].(string)) + " [" + code + "]"
}

type obj = map[string]any

const (
	rp1      = "11111111-1111-4111-8111-111111111111"
	rp2      = "22222222-2222-4222-8222-222222222222"
	rp3      = "33333333-3333-4333-8333-333333333333"
	agg1     = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	agg2     = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"
	consumer = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"
	server2  = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
	newest   = placement.MaxVersion
)

// provider makes a provider with some inventory.
func (f *fixture) provider(uuid, name, parent string, inventory obj) {
	f.t.Helper()
	body := obj{"uuid": uuid, "name": name}
	if parent != "" {
		body["parent_provider_uuid"] = parent
	}
	f.do(newest, "POST", "/resource_providers", body, 200)
	if inventory != nil {
		f.do(newest, "PUT", "/resource_providers/"+uuid+"/inventories", obj{"resource_provider_generation": 0, "inventories": inventory}, 200)
	}
}

func TestEveryRouteNamesItsRuleAndTheRuleExists(t *testing.T) {
	api := placement.New(placement.Config{HTTP: httpapi.Config{Verifier: people}})
	apitest.RulesExist(t, api.Routes(), placement.Rules())
	used := map[string]bool{}
	for _, r := range api.Routes() {
		for _, name := range r.Rules {
			used[name] = true
		}
	}
	require.Len(t, used, len(placement.Rules()))
}

func TestTheRootNeedsNoTokenAndTellsVersions(t *testing.T) {
	f := newFixture(t)
	a := f.as("", "", "GET", "/", nil)
	require.Equal(t, 200, a.Status)
	require.Equal(t, obj{"versions": []any{obj{
		"id": "v1.0", "min_version": "1.0", "max_version": newest, "status": "CURRENT", "links": []any{obj{"rel": "self", "href": ""}},
	}}}, a.body)
	require.Equal(t, 401, f.as("", "", "GET", "/resource_providers", nil).Status)
	require.Equal(t, 406, f.as("admin", "1.40", "GET", "/resource_providers", nil).Status)
	require.Equal(t, "placement 1.0", f.do("", "GET", "/resource_providers", nil, 200).Header.Get("OpenStack-API-Version"))
	require.Equal(t, "placement "+newest, f.do("latest", "GET", "/resource_providers", nil, 200).Header.Get("OpenStack-API-Version"))
}

func TestPolicies(t *testing.T) {
	f := newFixture(t)
	require.Equal(t, 200, f.as("service", newest, "GET", "/resource_providers", nil).Status)
	a := f.as("reader", newest, "GET", "/resource_providers", nil)
	require.Equal(t, 403, a.Status)
	require.Contains(t, a.detail(), "Policy does not allow placement:resource_providers:list to be performed.")
	require.Equal(t, 200, f.as("reader", newest, "GET", "/usages?project_id=proj", nil).Status)
	require.Equal(t, 403, f.as("reader", newest, "GET", "/usages?project_id=other", nil).Status)
}

func TestProviders(t *testing.T) {
	f := newFixture(t)
	a := f.do("1.0", "POST", "/resource_providers", obj{"name": "one", "uuid": strings.ReplaceAll(rp1, "-", "")}, 201)
	require.Nil(t, a.body)
	require.Equal(t, f.URL+"/resource_providers/"+rp1, a.Header.Get("Location"))
	require.Empty(t, a.Header.Get("Cache-Control"))
	a = f.do("1.0", "GET", "/resource_providers/"+rp1, nil, 200)
	self := "/placement/resource_providers/" + rp1
	require.Equal(t, obj{"uuid": rp1, "name": "one", "generation": 0.0, "links": []any{
		obj{"rel": "self", "href": self}, obj{"rel": "inventories", "href": self + "/inventories"}, obj{"rel": "usages", "href": self + "/usages"},
	}}, a.body)
	a = f.do(newest, "POST", "/resource_providers", obj{"name": "two", "uuid": rp2, "parent_provider_uuid": rp1}, 200)
	require.Equal(t, rp1, a.body["parent_provider_uuid"])
	require.Equal(t, rp1, a.body["root_provider_uuid"])
	require.Len(t, a.body["links"], 6)
	require.Equal(t, "no-cache", a.Header.Get("Cache-Control"))
	require.Equal(t, "Wed, 02 Jan 2030 03:04:05 GMT", a.Header.Get("Last-Modified"))

	for _, c := range []struct {
		version string
		body    any
		status  int
		detail  string
	}{
		{newest, obj{"name": "one"}, 409, "Conflicting resource provider name: one already exists. [placement.duplicate_name]"},
		{newest, obj{"name": "x", "uuid": rp1}, 409, "Conflicting resource provider uuid: " + rp1 + " already exists. [placement.duplicate_name]"},
		{newest, obj{}, 400, "JSON does not validate: 'name' is a required property [placement.undefined_code]"},
		{newest, obj{"name": "", "uuid": rp3}, 400, `Unable to create resource provider "", ` + rp3 + ": Object action create failed because: name is required [placement.undefined_code]"},
		{newest, obj{"name": "x", "uuid": "nope"}, 400, "JSON does not validate: 'nope' is not a 'uuid' [placement.undefined_code]"},
		{newest, obj{"name": "x", "more": 1}, 400, "JSON does not validate: Additional properties are not allowed ('more' was unexpected) [placement.undefined_code]"},
		{newest, obj{"name": "x", "parent_provider_uuid": rp3}, 400, "parent provider UUID does not exist."},
		{newest, obj{"name": strings.Repeat("x", 201)}, 400, "is too long"},
		{"1.13", obj{"name": "x", "parent_provider_uuid": rp1}, 400, "('parent_provider_uuid' was unexpected) []"},
		{newest, "{", 400, "Malformed JSON"},
	} {
		a := f.do(c.version, "POST", "/resource_providers", c.body, c.status)
		require.Contains(t, a.detail(), c.detail)
	}

	a = f.do("1.14", "PUT", "/resource_providers/"+rp2, obj{"name": "zwei", "parent_provider_uuid": nil}, 400)
	require.Contains(t, a.detail(), "un-parenting a provider is not currently allowed")
	a = f.do("1.37", "PUT", "/resource_providers/"+rp2, obj{"name": "zwei", "parent_provider_uuid": nil}, 200)
	require.Nil(t, a.body["parent_provider_uuid"])
	require.Equal(t, rp2, a.body["root_provider_uuid"])
	f.do("1.14", "PUT", "/resource_providers/"+rp2, obj{"name": "two", "parent_provider_uuid": rp1}, 200)
	a = f.do("1.37", "PUT", "/resource_providers/"+rp1, obj{"name": "one", "parent_provider_uuid": rp2}, 400)
	require.Contains(t, a.detail(), "creating loop in the provider tree is not allowed.")

	a = f.do(newest, "DELETE", "/resource_providers/"+rp1, nil, 409)
	require.Contains(t, a.detail(), "[placement.resource_provider.cannot_delete_parent]")
	f.do(newest, "DELETE", "/resource_providers/"+rp2, nil, 204)
	f.do(newest, "DELETE", "/resource_providers/"+rp1, nil, 204)
	a = f.do(newest, "DELETE", "/resource_providers/"+rp1, nil, 404)
	require.Contains(t, a.detail(), "No resource provider with uuid "+rp1+" found for delete")
	f.do(newest, "GET", "/resource_providers/"+rp1, nil, 404)
	f.do("1.1", "PATCH", "/resource_providers/"+rp1, obj{}, 405)
}

func uuids(list any) (out []string) {
	for _, p := range list.([]any) {
		out = append(out, p.(obj)["name"].(string))
	}
	sort.Strings(out)
	return out
}

func TestProviderFilters(t *testing.T) {
	f := newFixture(t)
	f.provider(rp1, "one", "", obj{"VCPU": obj{"total": 4, "max_unit": 2}})
	f.provider(rp2, "two", rp1, obj{"DISK_GB": obj{"total": 100}})
	f.provider(rp3, "three", "", obj{"VCPU": obj{"total": 8}})
	f.do(newest, "PUT", "/resource_providers/"+rp1+"/aggregates", obj{"aggregates": []string{agg1}, "resource_provider_generation": 1}, 200)
	f.do(newest, "PUT", "/resource_providers/"+rp3+"/aggregates", obj{"aggregates": []string{agg2}, "resource_provider_generation": 1}, 200)
	f.do(newest, "PUT", "/traits/CUSTOM_GOLD", nil, 201)
	f.do(newest, "PUT", "/resource_providers/"+rp3+"/traits", obj{"traits": []string{"CUSTOM_GOLD", "HW_CPU_X86_AVX"}, "resource_provider_generation": 2}, 200)
	for query, want := range map[string][]string{
		"":                                   {"one", "three", "two"},
		"?name=one":                          {"one"},
		"?uuid=" + rp2:                       {"two"},
		"?in_tree=" + rp2:                    {"one", "two"},
		"?in_tree=" + consumer:               nil,
		"?member_of=" + agg1:                 {"one"},
		"?member_of=in:" + agg1 + "," + agg2: {"one", "three"},
		"?member_of=!" + agg1:                {"three", "two"},
		"?member_of=" + agg1 + "&member_of=" + agg2: nil,
		"?resources=VCPU:3":                         {"three"},
		"?resources=VCPU:2":                         {"one", "three"},
		"?required=CUSTOM_GOLD,HW_CPU_X86_AVX":      {"three"},
		"?required=!CUSTOM_GOLD":                    {"one", "two"},
		"?required=in:CUSTOM_GOLD,HW_CPU_X86_SSE":   {"three"},
	} {
		a := f.do(newest, "GET", "/resource_providers"+query, nil, 200)
		require.Equal(t, want, uuids(a.body["resource_providers"]), query)
	}
	for query, want := range map[string]string{
		"?nope=1":                "Additional properties are not allowed ('nope' was unexpected)",
		"?resources=VCPU":        "Badly formed resources parameter.",
		"?resources=VCPU:x":      "expected positive integer amount. Got: x.",
		"?resources=VCPU:0":      "requires amount >= 1. Got: 0.",
		"?resources=CUSTOM_NO:1": "Invalid resource class in resources parameter: No such resource class CUSTOM_NO.",
		"?required=CUSTOM_NO":    `Invalid trait(s) in "required" parameter: No such trait(s): CUSTOM_NO.`,
		"?required=":             "Got an empty trait in: ",
		// Of several faults the first that Placement sees.
		"?required=CUSTOM_NO,CUSTOM_NA":           "No such trait(s): CUSTOM_NO.",
		"?resources=VCPU:x&required=":             "Got an empty trait in: ",
		"?resources=VCPU:x&member_of=x":           "contain valid UUID(s). Got: x",
		"?resources=VCPU:x&required=&member_of=x": "'member_of' parameter to contain valid UUID(s)",
		"?member_of=x":                            "Expected 'member_of' parameter to contain valid UUID(s). Got: x",
		"?uuid=x":                                 "'x' is not a 'uuid'",
		"?member_of=" + agg1 + ",":                "must be prefixed with",
	} {
		require.Contains(t, f.do(newest, "GET", "/resource_providers"+query, nil, 400).detail(), want, query)
	}
	require.Contains(t, f.do("1.17", "GET", "/resource_providers?required=HW_CPU_X86_AVX", nil, 400).detail(), "'required' was unexpected")
	require.Contains(t, f.do("1.21", "GET", "/resource_providers?required=!HW_CPU_X86_AVX", nil, 400).detail(), "Got: !HW_CPU_X86_AVX")
}

func TestInventories(t *testing.T) {
	f := newFixture(t)
	base := "/resource_providers/" + rp1 + "/inventories"
	require.Contains(t, f.do(newest, "GET", base, nil, 404).detail(), "No resource provider with uuid "+rp1+" found : No resource provider with uuid "+rp1+" found")
	f.provider(rp1, "one", "", nil)
	a := f.do(newest, "GET", base, nil, 200)
	require.Equal(t, obj{"inventories": obj{}, "resource_provider_generation": 0.0}, a.body)
	a = f.do(newest, "POST", base, obj{"resource_class": "VCPU", "total": 16, "allocation_ratio": 2.5}, 201)
	require.Equal(t, obj{
		"total": 16.0, "reserved": 0.0, "min_unit": 1.0, "max_unit": 2147483647.0, "step_size": 1.0, "allocation_ratio": 2.5,
		"resource_provider_generation": 1.0,
	}, a.body)
	require.Equal(t, f.URL+base+"/VCPU", a.Header.Get("Location"))
	f.do(newest, "POST", base, obj{"resource_class": "VCPU", "total": 16}, 409)
	require.Contains(t, f.do(newest, "POST", base, obj{"resource_class": "CUSTOM_X", "total": 1}, 400).detail(), "No such resource class CUSTOM_X.")
	full := obj{"DISK_GB": obj{"total": 100, "reserved": 100}, "VCPU": obj{"total": 8}}
	a = f.do(newest, "PUT", base, obj{"resource_provider_generation": 0, "inventories": full}, 409)
	require.Contains(t, a.detail(), "resource provider generation conflict [placement.concurrent_update]")
	require.Contains(t, f.do("1.25", "PUT", base, obj{"resource_provider_generation": 1, "inventories": full}, 400).detail(), "The reserved value is greater than or equal to total.")
	a = f.do("1.26", "PUT", base, obj{"resource_provider_generation": 1, "inventories": full}, 200)
	require.Equal(t, 2.0, a.body["resource_provider_generation"])
	require.Len(t, a.body["inventories"], 2)
	for body, want := range map[string]string{
		`{"inventories": {}}`: "'resource_provider_generation' is a required property",
		`{"resource_provider_generation": 2, "inventories": {"VCPU": {"total": 0}}}`:                "0 is less than the minimum of 1",
		`{"resource_provider_generation": 2, "inventories": {"VCPU": {"total": 2147483648}}}`:       "2147483648 is greater than the maximum of 2147483647",
		`{"resource_provider_generation": 2, "inventories": {"VCPU": {}}}`:                          "'total' is a required property",
		`{"resource_provider_generation": 2, "inventories": {"vcpu": {"total": 1}}}`:                "No such resource class vcpu.",
		`{"resource_provider_generation": 2, "inventories": {"VCPU": {"total": 1, "reserved": 2}}}`: "The reserved value is greater than total.",
		`{"resource_provider_generation": 2, "inventories": {"VCPU": {"total": "1"}}}`:              "is not of type 'integer'",
		`{"resource_provider_generation": 2, "inventories": {"CUSTOM_Q": {"total": 1}}}`:            "Unknown resource class in inventory",
	} {
		require.Contains(t, f.do(newest, "PUT", base, body, 400).detail(), want, body)
	}
	f.do(newest, "PUT", base+"/VCPU", obj{"resource_provider_generation": 1, "total": 9}, 409)
	a = f.do(newest, "PUT", base+"/VCPU", obj{"resource_provider_generation": 2, "total": 9}, 200)
	require.Equal(t, 9.0, a.body["total"])
	f.do(newest, "PUT", base+"/MEMORY_MB", obj{"resource_provider_generation": 3, "total": 9}, 400)
	require.Equal(t, 9.0, f.do(newest, "GET", base+"/VCPU", nil, 200).body["total"])
	f.do(newest, "GET", base+"/MEMORY_MB", nil, 404)

	f.do("1.27", "PUT", "/allocations/"+consumer, obj{"allocations": obj{rp1: obj{"resources": obj{"VCPU": 2}}}, "project_id": "p", "user_id": "u"}, 204)
	require.Contains(t, f.do(newest, "DELETE", base+"/VCPU", nil, 409).detail(), "in use.")
	require.Contains(t, f.do(newest, "DELETE", base, nil, 409).detail(), "[placement.inventory.inuse]")
	require.Contains(t, f.do(newest, "PUT", base, obj{"resource_provider_generation": 4, "inventories": obj{"DISK_GB": obj{"total": 1}}}, 409).detail(), "[placement.inventory.inuse]")
	require.Contains(t, f.do(newest, "DELETE", "/resource_providers/"+rp1, nil, 409).detail(), "[placement.resource_provider.inuse]")
	f.do(newest, "DELETE", base+"/DISK_GB", nil, 204)
	f.do(newest, "DELETE", base+"/DISK_GB", nil, 404)
	f.do(newest, "DELETE", "/allocations/"+consumer, nil, 204)
	f.do("1.4", "DELETE", base, nil, 405)
	f.do("1.5", "DELETE", base, nil, 204)
}

func TestTraitsAndClasses(t *testing.T) {
	f := newFixture(t)
	f.provider(rp1, "one", "", nil)
	f.do("1.5", "GET", "/traits", nil, 404)
	require.Contains(t, f.do(newest, "GET", "/traits?name=startswith:HW_CPU_X86_AVX", nil, 200).body["traits"], "HW_CPU_X86_AVX2")
	require.Equal(t, f.URL+"/traits/CUSTOM_A", f.do(newest, "PUT", "/traits/CUSTOM_A", nil, 201).Header.Get("Location"))
	f.do(newest, "PUT", "/traits/CUSTOM_A", nil, 204)
	f.do(newest, "PUT", "/traits/GOLD", nil, 400)
	f.do(newest, "GET", "/traits/CUSTOM_A", nil, 204)
	f.do(newest, "GET", "/traits/HW_CPU_X86_AVX2", nil, 204)
	f.do(newest, "GET", "/traits/CUSTOM_B", nil, 404)
	base := "/resource_providers/" + rp1 + "/traits"
	a := f.do(newest, "PUT", base, obj{"traits": []string{"CUSTOM_A"}, "resource_provider_generation": 0}, 200)
	require.Equal(t, obj{"traits": []any{"CUSTOM_A"}, "resource_provider_generation": 1.0}, a.body)
	require.Equal(t, a.body, f.do(newest, "GET", base, nil, 200).body)
	require.Contains(t, f.do(newest, "PUT", base, obj{"traits": []string{}, "resource_provider_generation": 0}, 409).detail(), "[placement.concurrent_update]")
	require.Contains(t, f.do(newest, "PUT", base, obj{"traits": []string{"CUSTOM_B"}, "resource_provider_generation": 1}, 400).detail(), "No such trait CUSTOM_B")
	require.Equal(t, []any{"CUSTOM_A"}, f.do(newest, "GET", "/traits?associated=true", nil, 200).body["traits"])
	f.do(newest, "GET", "/traits?associated=perhaps", nil, 400)
	f.do(newest, "GET", "/traits?name=CUSTOM", nil, 400)
	require.Contains(t, f.do(newest, "DELETE", "/traits/CUSTOM_A", nil, 409).detail(), "The trait CUSTOM_A is in use by a resource provider.")
	f.do(newest, "DELETE", base, nil, 204)
	f.do(newest, "DELETE", "/traits/CUSTOM_A", nil, 204)
	f.do(newest, "DELETE", "/traits/CUSTOM_A", nil, 404)
	f.do(newest, "DELETE", "/traits/HW_CPU_X86_AVX2", nil, 400)

	a = f.do(newest, "GET", "/resource_classes", nil, 200)
	require.Equal(t, obj{"name": "VCPU", "links": []any{obj{"rel": "self", "href": "/placement/resource_classes/VCPU"}}}, a.body["resource_classes"].([]any)[0])
	f.do("1.2", "POST", "/resource_classes", obj{"name": "CUSTOM_GPU"}, 201)
	f.do("1.2", "POST", "/resource_classes", obj{"name": "CUSTOM_GPU"}, 409)
	f.do("1.2", "POST", "/resource_classes", obj{"name": "GPU"}, 400)
	f.do("1.6", "PUT", "/resource_classes/CUSTOM_GPU", obj{"name": "CUSTOM_FPU"}, 200)
	f.do(newest, "PUT", "/resource_classes/CUSTOM_FPU", nil, 204)
	f.do(newest, "PUT", "/resource_classes/CUSTOM_GPU", nil, 201)
	f.do(newest, "PUT", "/resource_classes/GPU", nil, 400)
	f.do(newest, "POST", "/resource_providers/"+rp1+"/inventories", obj{"resource_class": "CUSTOM_FPU", "total": 1}, 201)
	require.Contains(t, f.do(newest, "DELETE", "/resource_classes/CUSTOM_FPU", nil, 409).detail(), "Class is in use in inventory.")
	f.do(newest, "DELETE", "/resource_classes/CUSTOM_GPU", nil, 204)
	f.do(newest, "DELETE", "/resource_classes/VCPU", nil, 400)
	f.do(newest, "GET", "/resource_classes/CUSTOM_GPU", nil, 404)
}

func TestAggregates(t *testing.T) {
	f := newFixture(t)
	f.provider(rp1, "one", "", nil)
	base := "/resource_providers/" + rp1 + "/aggregates"
	f.do("1.0", "GET", base, nil, 404)
	require.Equal(t, obj{"aggregates": []any{}}, f.do("1.18", "GET", base, nil, 200).body)
	require.Equal(t, obj{"aggregates": []any{agg1}}, f.do("1.18", "PUT", base, []string{agg1}, 200).body)
	require.Equal(t, obj{"aggregates": []any{agg1}, "resource_provider_generation": 0.0}, f.do("1.19", "GET", base, nil, 200).body)
	a := f.do("1.19", "PUT", base, obj{"aggregates": []string{agg2}, "resource_provider_generation": 0}, 200)
	require.Equal(t, obj{"aggregates": []any{agg2}, "resource_provider_generation": 1.0}, a.body)
	f.do("1.19", "PUT", base, obj{"aggregates": []string{agg2}, "resource_provider_generation": 0}, 409)
	f.do("1.19", "PUT", base, obj{"aggregates": []string{"x"}, "resource_provider_generation": 1}, 400)
	f.do("1.19", "PUT", base, obj{"aggregates": []string{agg1, agg1}, "resource_provider_generation": 1}, 400)
}

func TestAllocations(t *testing.T) {
	storetest.Each(t, clock(), []store.Migrations{sqlstore.Migrations()}, func(t *testing.T, db *store.DB) {
		f := with(t, db)
		f.provider(rp1, "one", "", obj{"VCPU": obj{"total": 4, "max_unit": 3}, "MEMORY_MB": obj{"total": 1024}})
		f.provider(rp2, "two", "", obj{"VCPU": obj{"total": 4}})
		put := func(version string, body obj, status int) answer {
			t.Helper()
			return f.do(version, "PUT", "/allocations/"+consumer, body, status)
		}
		of := func(amounts obj) obj { return obj{rp1: obj{"resources": amounts}} }
		require.Equal(t, obj{"allocations": obj{}}, f.do(newest, "GET", "/allocations/"+consumer, nil, 200).body)

		put("1.7", obj{"allocations": []obj{{"resource_provider": obj{"uuid": rp1}, "resources": obj{"VCPU": 1}}}}, 204)
		require.Equal(t, obj{"allocations": obj{rp1: obj{"generation": 2.0, "resources": obj{"VCPU": 1.0}}}}, f.do("1.11", "GET", "/allocations/"+consumer, nil, 200).body)
		put("1.12", obj{"allocations": of(obj{"VCPU": 2}), "project_id": "p", "user_id": "u"}, 204)
		a := f.do(newest, "GET", "/allocations/"+consumer, nil, 200)
		require.Equal(t, obj{
			"allocations": obj{rp1: obj{"generation": 3.0, "resources": obj{"VCPU": 2.0}}},
			"project_id":  "p", "user_id": "u", "consumer_generation": 2.0, "consumer_type": "unknown",
		}, a.body)

		body := func(generation any, allocations obj) obj {
			return obj{"allocations": allocations, "project_id": "p", "user_id": "u", "consumer_generation": generation, "consumer_type": "INSTANCE"}
		}
		require.Contains(t, put(newest, body(nil, of(obj{"VCPU": 1})), 409).detail(), "consumer generation conflict - expected 2 but got None [placement.concurrent_update]")
		put(newest, body(2, of(obj{"VCPU": 3, "MEMORY_MB": 512})), 204)
		require.Contains(t, put(newest, body(3, of(obj{"VCPU": 4})), 409).detail(), "would violate inventory constraints.")
		require.Contains(t, put(newest, body(3, of(obj{"MEMORY_MB": 2000})), 409).detail(), "would exceed the capacity.")
		require.Contains(t, put(newest, body(3, of(obj{"DISK_GB": 1})), 409).detail(), "Inventory for 'DISK_GB' on resource provider '"+rp1+"' invalid.")
		require.Contains(t, put(newest, body(3, of(obj{"CUSTOM_NO": 1})), 400).detail(), "No such resource class CUSTOM_NO.")
		require.Contains(t, put(newest, body(3, obj{rp3: obj{"resources": obj{"VCPU": 1}}}), 400).detail(), "that does not exist.")
		require.Contains(t, put(newest, body(3, of(obj{"VCPU": 0})), 400).detail(), "0 is less than the minimum of 1")
		require.Contains(t, put("1.27", obj{"allocations": obj{}, "project_id": "p", "user_id": "u"}, 400).detail(), "does not have enough properties")
		require.Contains(t, put("1.28", obj{"allocations": obj{}, "project_id": "p", "user_id": "u"}, 400).detail(), "'consumer_generation' is a required property")
		f.do(newest, "PUT", "/allocations/nope", body(nil, of(obj{"VCPU": 1})), 400)

		usages := f.do(newest, "GET", "/resource_providers/"+rp1+"/usages", nil, 200).body
		require.Equal(t, obj{"VCPU": 3.0, "MEMORY_MB": 512.0}, usages["usages"])
		require.Equal(t, obj{"usages": obj{"INSTANCE": obj{"consumer_count": 1.0, "VCPU": 3.0, "MEMORY_MB": 512.0}}}, f.do(newest, "GET", "/usages?project_id=p", nil, 200).body)
		require.Equal(t, obj{"usages": obj{"all": obj{"consumer_count": 1.0, "VCPU": 3.0, "MEMORY_MB": 512.0}}}, f.do(newest, "GET", "/usages?project_id=p&user_id=u&consumer_type=all", nil, 200).body)
		require.Equal(t, obj{"usages": obj{}}, f.do(newest, "GET", "/usages?project_id=p&consumer_type=unknown", nil, 200).body)
		require.Equal(t, obj{"usages": obj{"VCPU": 3.0, "MEMORY_MB": 512.0}}, f.do("1.37", "GET", "/usages?project_id=p", nil, 200).body)
		f.do("1.37", "GET", "/usages", nil, 400)
		f.do("1.8", "GET", "/usages?project_id=p", nil, 404)

		// Two consumers at once: the one makes room for the other.
		f.do(newest, "POST", "/allocations", obj{
			consumer: body(3, obj{rp2: obj{"resources": obj{"VCPU": 1}}}), server2: body(nil, of(obj{"VCPU": 3})),
		}, 204)
		f.do(newest, "POST", "/allocations", obj{consumer: body(9, obj{}), server2: body(1, obj{})}, 409)
		a = f.do(newest, "GET", "/resource_providers/"+rp1+"/allocations", nil, 200)
		require.Equal(t, obj{server2: obj{"resources": obj{"VCPU": 3.0}, "consumer_generation": 1.0}}, a.body["allocations"])

		// Reshape moves use and inventory together.
		f.do(newest, "POST", "/reshaper", obj{
			"inventories": obj{
				rp1: obj{"resource_provider_generation": a.body["resource_provider_generation"], "inventories": obj{}},
				rp2: obj{"resource_provider_generation": 2, "inventories": obj{"VCPU": obj{"total": 8}}},
			},
			"allocations": obj{server2: body(1, obj{rp2: obj{"resources": obj{"VCPU": 3}}})},
		}, 204)
		require.Equal(t, obj{"VCPU": 4.0}, f.do(newest, "GET", "/resource_providers/"+rp2+"/usages", nil, 200).body["usages"])
		put(newest, body(4, obj{}), 204)
		f.do(newest, "DELETE", "/allocations/"+server2, nil, 204)
		require.Contains(t, f.do(newest, "DELETE", "/allocations/"+server2, nil, 404).detail(), "No allocations for consumer '"+server2+"'")
		require.Equal(t, obj{"VCPU": 0.0}, f.do(newest, "GET", "/resource_providers/"+rp2+"/usages", nil, 200).body["usages"])
	})
}

func TestHostsAreProvidersAndDecisionsHeedTheAPI(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.store.PutHost(t.Context(), scheduler.Host{
		ID: "compute1", Node: "node1", Up: true, Enabled: true, Traits: []string{"HW_CPU_X86_AVX2"},
		Inventory: map[string]scheduler.Inventory{scheduler.VCPU: {Total: 2, Ratio: 4}},
	}))
	list := f.do(newest, "GET", "/resource_providers?name=node1", nil, 200).body["resource_providers"].([]any)
	uuid := list[0].(obj)["uuid"].(string)
	require.Equal(t, sqlstore.ProviderID("compute1"), uuid)
	require.Equal(t, []any{"HW_CPU_X86_AVX2"}, f.do(newest, "GET", "/resource_providers/"+uuid+"/traits", nil, 200).body["traits"])
	_, err := f.store.Schedule(t.Context(), scheduler.Request{Resources: scheduler.Resources{scheduler.VCPU: 2}},
		sqlstore.Options{Consumer: sqlstore.Consumer{ID: server2, ProjectID: "p", UserID: "u", Type: "INSTANCE"}}, nil)
	require.NoError(t, err)
	a := f.do(newest, "GET", "/allocations/"+server2, nil, 200)
	require.Equal(t, "INSTANCE", a.body["consumer_type"])
	generation := a.body["allocations"].(obj)[uuid].(obj)["generation"]
	f.do(newest, "PUT", "/resource_providers/"+uuid+"/inventories/VCPU", obj{"resource_provider_generation": generation, "total": 3}, 200)
	try := func(n int64) error {
		_, err := f.store.Schedule(t.Context(), scheduler.Request{Resources: scheduler.Resources{scheduler.VCPU: n}},
			sqlstore.Options{Consumer: sqlstore.Consumer{ID: "c" + fmt.Sprint(n)}}, nil)
		return err
	}
	require.ErrorIs(t, try(2), nephos.ErrNoCapacity)
	require.NoError(t, try(1))
	f.do(newest, "DELETE", "/allocations/"+server2, nil, 204)
	require.NoError(t, try(2))
}

// raw sends a request as it is, without a server between.
func (f *fixture) raw(method, url, body string) int {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("X-Auth-Token", "admin")
	req.Header.Set("OpenStack-API-Version", "placement latest")
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	req.URL.Path = "/placement" + req.URL.Path
	f.HTTP.Config.Handler.ServeHTTP(w, req)
	return w.Code
}
