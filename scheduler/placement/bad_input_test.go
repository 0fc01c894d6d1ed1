package placement_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// ask sends one request to a Placement API, and returns the status, the first
// line of the fault's own words, its code, and the body.
func (p peer) ask(t require.TestingT, version, method, path string, body any) (int, string, string, map[string]any) {
	var in io.Reader
	if body != nil {
		text, ok := body.(string)
		if !ok {
			b, err := json.Marshal(body)
			require.NoError(t, err)
			text = string(b)
		}
		in = strings.NewReader(text)
	}
	req, err := http.NewRequest(method, p.url+path, in)
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", "admin")
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("OpenStack-API-Version", "placement "+version)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	out := map[string]any{}
	if len(raw) > 0 {
		require.NoError(t, json.Unmarshal(raw, &out), "%s", raw)
	}
	detail, code := "", ""
	if list, ok := out["errors"].([]any); ok {
		one := list[0].(obj)
		code, _ = one["code"].(string)
		// The first paragraph is the same for all of a status.
		_, detail, _ = strings.Cut(strings.TrimSpace(one["detail"].(string)), "\n\n")
		detail, _, _ = strings.Cut(strings.TrimSpace(detail), "\n")
	}
	return resp.StatusCode, strings.TrimSpace(detail), code, out
}

// everything is all that the API shows of the providers and the consumer.
func (p peer) everything(t *testing.T) []any {
	t.Helper()
	var all []any
	get := func(path string) map[string]any {
		_, _, _, body := p.ask(t, newest, "GET", path, nil)
		all = append(all, body)
		return body
	}
	for _, one := range get("/resource_providers")["resource_providers"].([]any) {
		at := "/resource_providers/" + one.(obj)["uuid"].(string)
		for _, what := range []string{"/inventories", "/traits", "/aggregates", "/usages", "/allocations"} {
			get(at + what)
		}
	}
	get("/allocations/" + consumer)
	get("/allocations/" + server2)
	get("/resource_classes")
	get("/traits?name=startswith:CUSTOM_")
	get("/usages?project_id=p")
	return all
}

// TestBadInputIsRefusedAndChangesNothing sends what must be refused to a cloud
// of a small tree with one consumer. With NEPHOS_PLACEMENT_PEER a real Placement
// API is asked as well, and must say the same.
func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	inventories := func(generation any, of obj) obj {
		return obj{"resource_provider_generation": generation, "inventories": of}
	}
	vcpus := func(of obj) obj { return inventories(1, obj{"VCPU": of}) }
	used := func(generation any, of obj) obj {
		return obj{"allocations": of, "project_id": "p", "user_id": "u", "consumer_generation": generation, "consumer_type": "INSTANCE"}
	}
	at := func(uuid string, amounts obj) obj { return obj{uuid: obj{"resources": amounts}} }
	one, child, other := "/resource_providers/"+rp1, "/resource_providers/"+rp2, "/resource_providers/"+rp3
	cases := []struct {
		method, path string
		body         any
		status       int
		detail, code string
	}{
		// Inventories.
		{"PUT", child + "/inventories", vcpus(obj{"total": -1}), 400, "JSON does not validate: -1 is less than the minimum of 1", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": 0}), 400, "JSON does not validate: 0 is less than the minimum of 1", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": 1 << 31}), 400, "JSON does not validate: 2147483648 is greater than the maximum of 2147483647", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": 4, "reserved": -1}), 400, "JSON does not validate: -1 is less than the minimum of 0", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": 4, "min_unit": 0}), 400, "JSON does not validate: 0 is less than the minimum of 1", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": 4, "max_unit": 0}), 400, "JSON does not validate: 0 is less than the minimum of 1", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": 4, "step_size": 0}), 400, "JSON does not validate: 0 is less than the minimum of 1", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": 4, "allocation_ratio": "x"}), 400, "JSON does not validate: 'x' is not of type 'number'", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": "4"}), 400, "JSON does not validate: '4' is not of type 'integer'", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": 4, "reserved": 5}), 400, "Unable to update inventory for resource provider " + rp2 +
			": Invalid inventory for 'VCPU' on resource provider '" + rp2 + "'. The reserved value is greater than total.", ""},
		{"PUT", child + "/inventories", vcpus(obj{}), 400, "JSON does not validate: 'total' is a required property", ""},
		{"PUT", child + "/inventories", vcpus(obj{"total": 4, "wheels": 4}), 400, "JSON does not validate: Additional properties are not allowed ('wheels' was unexpected)", ""},
		{"PUT", child + "/inventories", inventories(1, obj{"CUSTOM_NO": obj{"total": 4}}), 400, "Unknown resource class in inventory for resource provider " + rp2 +
			": No such resource class CUSTOM_NO.", ""},
		{"PUT", child + "/inventories", inventories(1, obj{"vcpu": obj{"total": 4}}), 400, "", ""},
		{"PUT", child + "/inventories", inventories(7, obj{"VCPU": obj{"total": 4}}), 409, "resource provider generation conflict", "placement.concurrent_update"},
		{"PUT", child + "/inventories", inventories("1", obj{}), 400, "JSON does not validate: '1' is not of type 'integer'", ""},
		{"PUT", child + "/inventories", obj{"inventories": obj{}}, 400, "JSON does not validate: 'resource_provider_generation' is a required property", ""},
		{"PUT", child + "/inventories", `{"inventories"`, 400, "", ""},
		{"PUT", one + "/inventories", inventories(3, obj{}), 409, "", "placement.inventory.inuse"},
		{"PUT", one + "/inventories", inventories(3, obj{"MEMORY_MB": obj{"total": 4}}), 409, "", "placement.inventory.inuse"},
		{"PUT", child + "/inventories/VCPU", obj{"resource_provider_generation": 0, "total": 4}, 409, "resource provider generation conflict", "placement.concurrent_update"},
		{"PUT", child + "/inventories/DISK_GB", obj{"resource_provider_generation": 1, "total": 4}, 400, "", ""},
		{"POST", child + "/inventories", obj{"resource_class": "VCPU", "total": 4}, 409, "", "placement.concurrent_update"},
		{"POST", child + "/inventories", obj{"resource_class": "CUSTOM_NO", "total": 4}, 400, "", ""},
		{"DELETE", one + "/inventories", nil, 409, "", "placement.inventory.inuse"},
		{"DELETE", one + "/inventories/VCPU", nil, 409, "", "placement.concurrent_update"},
		{"DELETE", child + "/inventories/DISK_GB", nil, 404, "", ""},
		{"PUT", "/resource_providers/" + numa0 + "/inventories", inventories(0, obj{}), 404, "", ""},
		// Trees.
		{"PUT", one, obj{"name": "one", "parent_provider_uuid": rp2}, 400, "Unable to save resource provider " + rp1 +
			": Object action update failed because: creating loop in the provider tree is not allowed.", ""},
		{"PUT", one, obj{"name": "one", "parent_provider_uuid": rp1}, 400, "Unable to save resource provider " + rp1 +
			": Object action update failed because: creating loop in the provider tree is not allowed.", ""},
		{"PUT", other, obj{"name": "three", "parent_provider_uuid": numa0}, 400, "", ""},
		{"PUT", other, obj{"name": "one"}, 409, "Conflicting resource provider one already exists.", "placement.duplicate_name"},

		{"PUT", other, obj{"name": "three", "generation": 4}, 400, "", ""},
		{"POST", "/resource_providers", obj{"name": "one"}, 409, "Conflicting resource provider name: one already exists.", "placement.duplicate_name"},
		{"POST", "/resource_providers", obj{"name": "new", "uuid": numa0, "parent_provider_uuid": numa0}, 400, "", ""},
		{"POST", "/resource_providers", obj{"name": "new", "uuid": numa1, "parent_provider_uuid": numa0}, 400, "", ""},
		{"POST", "/resource_providers", obj{"name": "new", "uuid": "new"}, 400, "JSON does not validate: 'new' is not a 'uuid'", ""},
		{"DELETE", one, nil, 409, "", "placement.resource_provider.cannot_delete_parent"},
		// Traits, aggregates and classes.
		{"PUT", one + "/traits", obj{"resource_provider_generation": 9, "traits": []string{"CUSTOM_A"}}, 409, "", "placement.concurrent_update"},
		{"PUT", one + "/traits", obj{"resource_provider_generation": 3, "traits": []string{"CUSTOM_NO"}}, 400, "", ""},
		{"PUT", one + "/traits", obj{"resource_provider_generation": 3, "traits": []string{"no"}}, 400, "", ""},
		{"PUT", one + "/aggregates", obj{"resource_provider_generation": 9, "aggregates": []string{agg1}}, 409, "", "placement.concurrent_update"},
		{"PUT", one + "/aggregates", obj{"resource_provider_generation": 3, "aggregates": []string{"no"}}, 400, "", ""},
		{"PUT", "/traits/no", nil, 400, "", ""},
		{"PUT", "/resource_classes/no", nil, 400, "", ""},
		{"DELETE", "/resource_classes/VCPU", nil, 400, "Error in delete resource class: Cannot delete standard resource class VCPU.", ""},
		{"DELETE", "/resource_classes/CUSTOM_NO", nil, 404, "", ""},
		{"DELETE", "/traits/HW_CPU_X86_AVX", nil, 400, "Cannot delete standard trait HW_CPU_X86_AVX.", ""},
		{"DELETE", "/traits/CUSTOM_A", nil, 409, "The trait CUSTOM_A is in use by a resource provider.", ""},
		// Allocations.
		{"PUT", "/allocations/" + consumer, used(nil, at(rp1, obj{"VCPU": 1})), 409, "consumer generation conflict - expected 1 but got None", "placement.concurrent_update"},
		{"PUT", "/allocations/" + consumer, used(7, at(rp1, obj{"VCPU": 1})), 409, "consumer generation conflict - expected 1 but got 7", "placement.concurrent_update"},
		{"PUT", "/allocations/" + server2, used(3, at(rp1, obj{"VCPU": 1})), 409, "consumer generation conflict - expected null but got 3", "placement.concurrent_update"},
		{"PUT", "/allocations/" + server2, used(nil, at(rp1, obj{"VCPU": 3})), 409, "Unable to allocate inventory: Unable to create allocation for 'VCPU' on resource provider '" +
			rp1 + "'. The requested amount would exceed the capacity.", ""},
		{"PUT", "/allocations/" + server2, used(nil, at(rp1, obj{"MEMORY_MB": 3})), 409, "Unable to allocate inventory: Unable to create allocation for 'MEMORY_MB' on resource provider '" +
			rp1 + "'. The requested amount would violate inventory constraints.", ""},
		{"PUT", "/allocations/" + server2, used(nil, at(rp1, obj{"DISK_GB": 3})), 409, "Unable to allocate inventory: Inventory for 'DISK_GB' on resource provider '" + rp1 + "' invalid.", ""},
		{"PUT", "/allocations/" + server2, used(nil, at(numa0, obj{"VCPU": 1})), 400, "Allocation for resource provider '" + numa0 + "' that does not exist.", ""},
		{"PUT", "/allocations/" + numa1, used(nil, at(rp1, obj{"CUSTOM_NO": 1})), 400, "", ""}, // the real one keeps the consumer
		{"PUT", "/allocations/" + server2, used(nil, at(rp1, obj{"VCPU": 0})), 400, "JSON does not validate: 0 is less than the minimum of 1", ""},
		{"PUT", "/allocations/" + server2, used(nil, at(rp1, obj{"VCPU": -1})), 400, "JSON does not validate: -1 is less than the minimum of 1", ""},
		{"PUT", "/allocations/" + server2, used(nil, at(rp1, obj{})), 400, "", ""},
		{"PUT", "/allocations/" + server2, obj{"allocations": obj{}}, 400, "", ""},
		{"PUT", "/allocations/no", used(nil, at(rp1, obj{"VCPU": 1})), 400, "", ""},
		{"DELETE", "/allocations/" + server2, nil, 404, "No allocations for consumer '" + server2 + "'", ""},
		// Several at once: the second is wrong, so the first does nothing.
		{"POST", "/allocations", obj{consumer: used(1, obj{}), server2: used(nil, at(rp1, obj{"VCPU": 5}))}, 409, "", ""},
		{"POST", "/allocations", obj{consumer: used(1, obj{}), server2: used(4, at(rp1, obj{"VCPU": 1}))}, 409, "", "placement.concurrent_update"},
		{"POST", "/allocations", obj{}, 400, "", ""},
		{"POST", "/reshaper", obj{"inventories": obj{rp3: inventories(9, obj{"VCPU": obj{"total": 4}})}, "allocations": obj{}}, 409, "", "placement.concurrent_update"},
		{"POST", "/reshaper", obj{"inventories": obj{rp1: inventories(3, obj{"MEMORY_MB": obj{"total": 4}})}, "allocations": obj{}}, 409, "", "placement.inventory.inuse"},
		{"POST", "/reshaper", obj{
			"inventories": obj{rp1: inventories(3, obj{}), rp3: inventories(0, obj{"VCPU": obj{"total": 1}})},
			"allocations": obj{consumer: used(1, at(rp3, obj{"VCPU": 2}))},
		}, 409, "", ""},
		{"POST", "/reshaper", obj{"inventories": obj{numa0: inventories(0, obj{})}, "allocations": obj{}}, 400, "", "placement.resource_provider.not_found"},
		{"POST", "/reshaper", obj{"inventories": obj{rp3: inventories(0, obj{"CUSTOM_NO": obj{"total": 4}})}, "allocations": obj{}}, 400, "", ""},
		{"POST", "/reshaper", obj{"inventories": obj{}, "allocations": obj{}}, 400, "", ""},
		// Queries.
		{"GET", "/allocation_candidates?resources=VCPU:0", nil, 400, "Requested resource VCPU requires amount >= 1. Got: 0.", ""},
		{"GET", "/allocation_candidates?resources=VCPU:-1", nil, 400, "Requested resource VCPU requires amount >= 1. Got: -1.", ""},
		{"GET", "/allocation_candidates?resources=CUSTOM_NO:1", nil, 400, "Invalid resource class in resources parameter: No such resource class CUSTOM_NO.", ""},
		{"GET", "/allocation_candidates?resources=VCPU:1&required=CUSTOM_NO", nil, 400, "No such trait(s): CUSTOM_NO.", ""},
		{"GET", "/allocation_candidates?resources=VCPU:1&limit=0", nil, 400, "", ""},
		{"GET", "/allocation_candidates?resources1=VCPU:1&resources2=VCPU:1", nil, 400, "", ""},
		{"GET", "/allocation_candidates?resources=VCPU:1&same_subtree=_A", nil, 400, "", "placement.query.bad_value"},
		{"GET", "/allocation_candidates?required=CUSTOM_A", nil, 400, "", "placement.query.missing_value"},
		{"GET", "/allocation_candidates?resources=VCPU:1&root_required=CUSTOM_A,!CUSTOM_A", nil, 400, "", "placement.query.bad_value"},
		{"GET", "/allocation_candidates?resources=VCPU:1&root_required=CUSTOM_A&root_required=CUSTOM_A", nil, 400, "", "placement.query.duplicate_key"},
		{"GET", "/allocation_candidates?resources=VCPU:1&member_of=" + agg1 + "," + agg2, nil, 400, "", ""},
		{"GET", "/allocation_candidates?resources=VCPU:1&required=in:CUSTOM_A,!HW_CPU_X86_AVX", nil, 400, "", ""},
		{"GET", "/resource_providers?resources=VCPU:1:2", nil, 400, "", ""},
	}
	prepare := func(t *testing.T, p peer) {
		do := func(method, path string, body any) {
			status, detail, _, _ := p.ask(t, newest, method, path, body)
			require.Less(t, status, 300, "%s %s: %s", method, path, detail)
		}
		do("PUT", "/traits/CUSTOM_A", nil)
		do("POST", "/resource_providers", obj{"name": "one", "uuid": rp1})
		do("POST", "/resource_providers", obj{"name": "two", "uuid": rp2, "parent_provider_uuid": rp1})
		do("POST", "/resource_providers", obj{"name": "three", "uuid": rp3})
		do("PUT", one+"/inventories", inventories(0, obj{"VCPU": obj{"total": 4}, "MEMORY_MB": obj{"total": 8, "step_size": 2}}))
		do("PUT", child+"/inventories", inventories(0, obj{"VCPU": obj{"total": 2}}))
		do("PUT", one+"/traits", obj{"resource_provider_generation": 1, "traits": []string{"CUSTOM_A"}})
		do("PUT", "/allocations/"+consumer, used(nil, at(rp1, obj{"VCPU": 2})))
	}
	check := func(t *testing.T, ours peer, real peer) {
		prepare(t, ours)
		if real.url != "" {
			prepare(t, real)
		}
		before := ours.everything(t)
		for _, c := range cases {
			what := fmt.Sprintf("%s %s %v", c.method, c.path, c.body)
			status, detail, code, _ := ours.ask(t, newest, c.method, c.path, c.body)
			assert.Equal(t, c.status, status, "%s: %s", what, detail)
			if c.detail != "" {
				assert.Equal(t, c.detail, detail, what)
			}
			require.NotEmpty(t, detail, what)
			if c.code == "" {
				c.code = "placement.undefined_code"
			}
			assert.Equal(t, c.code, code, "%s: %s", what, detail)
			require.Equal(t, before, ours.everything(t), "%s changed something", what)
			// The real one quotes its parser and its database.
			if real.url != "" && !strings.HasPrefix(detail, "Malformed JSON") && !strings.HasPrefix(detail, "Update conflict") {
				theirs, theirDetail, theirCode, _ := real.ask(t, newest, c.method, c.path, c.body)
				theirDetail, _, _ = strings.Cut(theirDetail, "  Failed validating") // which quotes its schema
				if strings.Contains(theirDetail, "expected 0 but") {
					continue // it keeps the consumers of some requests that it refused
				}
				if status != theirs || detail != theirDetail || code != theirCode {
					t.Errorf("%s:\n ours   %d %s [%s]\n theirs %d %s [%s]", what, status, detail, code, theirs, theirDetail, theirCode)
				}
			}
		}
	}
	storetest.Each(t, clock(), []store.Migrations{sqlstore.Migrations()}, func(t *testing.T, db *store.DB) {
		real := peer{}
		if !db.Postgres() {
			real.url = os.Getenv("NEPHOS_PLACEMENT_PEER")
		}
		if real.url != "" {
			real.clear(t)
		}
		check(t, peer{with(t, db).URL}, real)
	})
}
