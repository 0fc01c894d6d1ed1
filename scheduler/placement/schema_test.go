package placement_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBodiesAreCheckedBySchemas asks for what a real Placement (8.0, which is
// Zed's) refuses, and wants its words.
func TestBodiesAreCheckedBySchemas(t *testing.T) {
	f := newFixture(t)
	p := peer{f.URL}
	f.do(newest, "POST", "/resource_providers", obj{"name": "one", "uuid": rp1}, 200)
	one, used := "/resource_providers/"+rp1, "/allocations/"+consumer
	const regexes = "'^member_of([1-9][0-9]*)?$', '^required([1-9][0-9]*)?$', '^resources([1-9][0-9]*)?$'"
	for _, c := range []struct{ version, method, path, body, detail string }{
		// Of several mistakes the one nearest to the root, then what is missing.
		{newest, "POST", "/resource_providers", `{"foo": 1, "bar": 2}`, "'name' is a required property"},
		{newest, "POST", "/resource_providers", `{"name": 1, "foo": 1, "bar": 2}`, "Additional properties are not allowed ('bar', 'foo' were unexpected)"},
		{newest, "POST", "/resource_providers", `{"name": null}`, "None is not of type 'string'"},
		{newest, "POST", "/resource_providers", `{"name": "n", "uuid": null}`, "None is not of type 'string'"},
		{newest, "POST", "/resource_providers", `{"name": "n", "parent_provider_uuid": true}`, "True is not valid under any of the given schemas"},
		{newest, "POST", "/resource_providers", `{"name": "n", "parent_provider_uuid": {"b": [1, "x"], "a": 1.50}}`, "{'b': [1, 'x'], 'a': 1.5} is not valid under any of the given schemas"},
		{newest, "POST", "/resource_providers", `{"name": "n", "parent_provider_uuid": "x"}`, "'x' is not a 'uuid'"},
		{"1.13", "POST", "/resource_providers", `{"name": "n", "parent_provider_uuid": "x"}`, "Additional properties are not allowed ('parent_provider_uuid' was unexpected)"},
		{newest, "POST", "/resource_providers", `[]`, "[] is not of type 'object'"},
		{newest, "PUT", one, `{"name": "n", "uuid": 1}`, "Additional properties are not allowed ('uuid' was unexpected)"},
		{newest, "PUT", one, `{"name": "it's"` + `, "x": 1}`, "Additional properties are not allowed ('x' was unexpected)"},
		{newest, "PUT", one + "/inventories", `{"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 1, "reserved": null}}}`, "None is not of type 'integer'"},
		{newest, "PUT", one + "/inventories", `{"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 0, "step_size": "1"}}}`, "'1' is not of type 'integer'"},
		{newest, "PUT", one + "/inventories", `{"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 1e40}}}`, "1e+40 is greater than the maximum of 2147483647"},
		{newest, "PUT", one + "/inventories", `{"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 1, "allocation_ratio": 1e39}}}`, "1e+39 is greater than the maximum of 3.40282e+38"},
		{newest, "PUT", one + "/inventories/VCPU", `{"total": true}`, "'resource_provider_generation' is a required property"},
		{newest, "PUT", one + "/traits", `{"resource_provider_generation": 0, "traits": [""]}`, "'' is too short"},
		{newest, "PUT", one + "/aggregates", `{"resource_provider_generation": 0, "aggregates": ["` + agg1 + `", "` + agg1 + `"]}`, "['" + agg1 + "', '" + agg1 + "'] has non-unique elements"},
		{"1.18", "PUT", one + "/aggregates", `{}`, "{} is not of type 'array'"},
		{newest, "POST", "/resource_classes", `{"name": "gpu"}`, "'gpu' does not match '^CUSTOM_[A-Z0-9_]+$'"},
		{"1.0", "PUT", used, `{"allocations": []}`, "[] is too short"},
		{"1.0", "PUT", used, `{"allocations": [{}]}`, "'resource_provider' is a required property"},
		{"1.12", "PUT", used, `{"allocations": {}, "project_id": "p", "user_id": "u"}`, "{} does not have enough properties"},
		{"1.12", "PUT", used, `{"foo": 1}`, "Additional properties are not allowed ('foo' was unexpected)"},
		{"1.8", "PUT", used, `{"foo": 1}`, "'allocations' is a required property"},
		{"1.28", "PUT", used, `{"allocations": {}, "project_id": "p", "user_id": "u", "consumer_generation": "1"}`, "'1' is not of type 'integer', 'null'"},
		{newest, "PUT", used, `{"allocations": {"x": {}, "y": 1}, "project_id": "p", "user_id": "u", "consumer_generation": null, "consumer_type": "T"}`, "'x', 'y' do not match any of the regexes: '^[0-9a-fA-F-]{36}$'"},
		{newest, "PUT", used, `{"allocations": {}, "project_id": "p", "user_id": "u", "consumer_generation": null, "consumer_type": "t"}`, "'t' does not match '^[A-Z0-9_]+$'"},
		{newest, "PUT", used, `{"allocations": {}, "project_id": "p", "user_id": "u", "consumer_generation": null, "consumer_type": "T", "mappings": {}}`, "{} does not have enough properties"},
		{newest, "POST", "/reshaper", `{"inventories": {"` + rp1 + `": {}}, "allocations": {}}`, "'resource_provider_generation' is a required property"},
		// Queries.
		{newest, "GET", "/usages?project_id=p&consumer_type=x", "", "'x' does not match '^[A-Z0-9_]+$|^all|^unknown$'"},
		{newest, "GET", "/usages?project_id=p&b=1&a=1", "", "Additional properties are not allowed ('a', 'b' were unexpected)"},
		{newest, "GET", "/usages?project_id=", "", "'' is too short"},
		{newest, "GET", "/allocation_candidates?resources=VCPU:1&required=%00", "", "'\\x00' has a NUL character"},
		{newest, "GET", "/resource_providers?name=%ff", "", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"},
		{newest, "POST", "/resource_providers", `{"name": "a\u0000b"}`, "a string has a NUL character"},
		{newest, "PUT", used, `{"a\u0000": 1}`, "a string has a NUL character"},
		{newest, "GET", "/resource_providers?name=%00", "", "'\\x00' has a NUL character"},
		{newest, "GET", "/allocation_candidates?resources=VCPU:1&root_required=", "", "Expected 'required' parameter value of the form: HW_CPU_X86_VMX,!CUSTOM_MAGIC. Got an empty trait in:"},
		{newest, "GET", "/allocation_candidates?resources=VCPU:1&root_required=in:A,B", "", "The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' only supported since microversion 1.39. Got: in:A,B"},
		{"1.24", "GET", "/allocation_candidates?resources1=VCPU:1", "", "'resources' is a required property"},
		{"1.30", "GET", "/allocation_candidates?resources_X=VCPU:1&in_tree=x", "", "'in_tree', 'resources_X' do not match any of the regexes: " + regexes},
	} {
		what := c.version + " " + c.method + " " + c.path + " " + c.body
		var body any
		if c.body != "" {
			body = c.body
		}
		status, detail, _, _ := p.ask(t, c.version, c.method, c.path, body)
		assert.Equal(t, 400, status, what)
		before := "JSON does not validate: "
		if c.method == "GET" {
			before = "Invalid query string parameters: "
		}
		assert.Equal(t, before+c.detail, detail, what)
	}
}

// TestNumbersAreReadAndWrittenAsPlacementDoes takes integers that are written as
// other numbers, and writes ratios with a point.
func TestNumbersAreReadAndWrittenAsPlacementDoes(t *testing.T) {
	f := newFixture(t)
	f.do(newest, "POST", "/resource_providers", obj{"name": "one", "uuid": rp1}, 200)
	f.do(newest, "PUT", "/resource_providers/"+rp1+"/inventories", `{"resource_provider_generation": 0.0, "inventories": {"VCPU": {"total": 8.0, "max_unit": 1e1}}}`, 200)
	req, err := http.NewRequest("GET", f.URL+"/resource_providers/"+rp1+"/inventories", nil)
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", "admin")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"allocation_ratio":1.0`)
	require.Contains(t, string(raw), `"max_unit":10`)
	// No inventory gives so much, however large the number is.
	a := f.do("1.0", "PUT", "/allocations/"+consumer, `{"allocations": [{"resource_provider": {"uuid": "`+rp1+`"}, "resources": {"VCPU": 1180591620717411303424}}]}`, 409)
	require.Contains(t, a.detail(), "would violate inventory constraints")
	// Of a parameter that is given twice the last counts.
	f.do(newest, "PUT", "/allocations/"+consumer, obj{"allocations": obj{rp1: obj{"resources": obj{"VCPU": 1}}}, "project_id": "p", "user_id": "u", "consumer_generation": nil, "consumer_type": "T"}, 204)
	require.Empty(t, f.do(newest, "GET", "/usages?project_id=p&project_id=q", nil, 200).body["usages"])
	require.NotEmpty(t, f.do(newest, "GET", "/usages?project_id=q&project_id=p", nil, 200).body["usages"])
}

// TestHeadersSayWhatIsReadAndWritten sends headers of every kind with requests
// of which some read a body.
func TestHeadersSayWhatIsReadAndWritten(t *testing.T) {
	f := newFixture(t)
	const none = "-"
	missing := "/resource_providers/" + rp3
	for _, c := range []struct {
		method, path, body, accept, contentType string
		status                                  int
		gives, has                              string
	}{
		{"GET", missing, "", none, none, 404, "application/json", "No resource provider with uuid"},
		{"GET", missing, "", "*/*", none, 404, "application/json", "No resource provider with uuid"},
		{"GET", missing, "", "*/*;q=0.5", none, 404, "text/html; charset=UTF-8", "No resource provider with uuid"},
		{"GET", missing, "", "garbage", none, 404, "text/html; charset=UTF-8", "No resource provider with uuid"},
		{"GET", missing, "", "application/xml", none, 406, "text/plain; charset=UTF-8", "Only application/json is provided"},
		{"GET", missing, "", "application/json;q=0", none, 406, "text/plain; charset=UTF-8", "Only application/json is provided"},
		{"GET", missing, "{}", "*/*", none, 400, "application/json", "content-type header required when content-length"},
		{"PUT", missing, "{}", "*/*", none, 400, "application/json", "content-type header required when content-length"},
		{"PUT", missing, "", "*/*", none, 415, "application/json", "The media type None is not supported, use application/json"},
		{"PUT", missing, "{}", "*/*", "text/plain", 415, "application/json", "The media type text/plain is not supported, use application/json"},
		{"PUT", missing, "{}", "*/*", "application/x+json; a=b", 415, "application/json", "The media type application/x+json is not supported"},
		{"PUT", missing, "{}", "*/*", "application/json; charset=utf-8", 404, "application/json", "No resource provider with uuid"},
		{"PUT", missing + "/inventories/NOPE", `{"total": 1, "resource_provider_generation": 0}`, "*/*", "application/json", 404, "application/json", "No resource provider with uuid"},
		{"DELETE", missing + "/inventories/NOPE", "", "*/*", none, 404, "application/json", "No resource provider with uuid"},
		{"PUT", "/traits/CUSTOM_NEW", "", "*/*", none, 201, "", ""},
		{"PUT", "/resource_classes/CUSTOM_NEW", "", "*/*", none, 201, "", ""},
	} {
		what := strings.Join([]string{c.method, c.path, c.accept, c.contentType}, " ")
		req, err := http.NewRequest(c.method, f.URL+c.path, strings.NewReader(c.body))
		require.NoError(t, err)
		req.Header.Set("X-Auth-Token", "admin")
		req.Header.Set("OpenStack-API-Version", "placement "+newest)
		for name, value := range map[string]string{"Accept": c.accept, "Content-Type": c.contentType} {
			if value != none {
				req.Header.Set(name, value)
			}
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, c.status, resp.StatusCode, "%s: %s", what, raw)
		assert.Equal(t, c.gives, resp.Header.Get("Content-Type"), what)
		assert.Contains(t, string(raw), c.has, what)
	}
	// A class that is not there.
	f.do(newest, "POST", "/resource_providers", obj{"name": "one", "uuid": rp1}, 200)
	at := "/resource_providers/" + rp1 + "/inventories"
	require.Contains(t, f.do(newest, "PUT", at+"/NOPE", obj{"total": 1, "resource_provider_generation": 0}, 404).detail(), "No such resource class NOPE.")
	require.Contains(t, f.do(newest, "DELETE", at+"/NOPE", nil, 404).detail(), "No inventory of class NOPE found for delete: No such resource class NOPE.")
	of := obj{"allocations": obj{rp1: obj{"resources": obj{"NOPE": 1}}}, "project_id": "p", "user_id": "u", "consumer_generation": nil, "consumer_type": "T"}
	require.Contains(t, f.do(newest, "PUT", "/allocations/"+consumer, of, 400).detail(), "Unable to allocate inventory for consumer "+consumer+": No such resource class NOPE.")
	require.Contains(t, f.do(newest, "POST", "/allocations", obj{consumer: of}, 400).detail(), "Unable to allocate inventory No such resource class NOPE.")
	require.Contains(t, f.do(newest, "POST", "/reshaper", obj{
		"inventories": obj{rp1: obj{"resource_provider_generation": 0, "inventories": obj{}}}, "allocations": obj{consumer: of},
	}, 400).detail(), "malformed reshaper data: No such resource class NOPE.")
	for _, path := range []string{"/resource_providers/%00", "/resource_classes/%ff", "/allocations/%00", "/traits/%00"} {
		f.do(newest, "GET", path, nil, 404)
	}
	// An empty list has not been modified, and a version may lack a method.
	require.Empty(t, f.do(newest, "GET", at, nil, 200).Header.Get("Last-Modified"))
	a := f.do("1.4", "DELETE", at, nil, 405)
	require.NotContains(t, a.detail(), "specified")
	// Classes stand in Placement's order.
	f.do(newest, "PUT", at, obj{"resource_provider_generation": 0, "inventories": obj{"MEMORY_MB": obj{"total": 4}, "VCPU": obj{"total": 4}}}, 200)
	of["allocations"] = obj{rp1: obj{"resources": obj{"VCPU": 1, "MEMORY_MB": 1}}}
	f.do(newest, "PUT", "/allocations/"+consumer, of, 204)
	require.Contains(t, f.do(newest, "DELETE", at, nil, 409).detail(), "Inventory for 'VCPU, MEMORY_MB' on resource provider '"+rp1+"' in use.")
}
