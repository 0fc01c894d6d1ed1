package placement_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	numa0 = "44444444-4444-4444-8444-444444444444"
	numa1 = "55555555-5555-4555-8555-555555555555"
	nfs   = "66666666-6666-4666-8666-666666666666"
)

// tree makes a host with two NUMA cells, and storage that it shares with a
// second host.
func (f *fixture) tree() {
	f.t.Helper()
	f.provider(rp1, "host1", "", obj{"MEMORY_MB": obj{"total": 1000}})
	f.provider(numa0, "numa0", rp1, obj{"VCPU": obj{"total": 4}})
	f.provider(numa1, "numa1", rp1, obj{"VCPU": obj{"total": 2}})
	f.provider(rp2, "host2", "", obj{"MEMORY_MB": obj{"total": 500}, "VCPU": obj{"total": 8}, "DISK_GB": obj{"total": 50}})
	f.provider(nfs, "nfs", "", obj{"DISK_GB": obj{"total": 1000}})
	f.do(newest, "PUT", "/resource_providers/"+nfs+"/traits", obj{"traits": []string{"MISC_SHARES_VIA_AGGREGATE"}, "resource_provider_generation": 1}, 200)
	f.do(newest, "PUT", "/resource_providers/"+numa1+"/traits", obj{"traits": []string{"HW_CPU_X86_AVX2"}, "resource_provider_generation": 1}, 200)
	for _, p := range []struct {
		uuid       string
		generation int
	}{{rp1, 1}, {nfs, 2}} {
		f.do(newest, "PUT", "/resource_providers/"+p.uuid+"/aggregates", obj{"aggregates": []string{agg1}, "resource_provider_generation": p.generation}, 200)
	}
}

func TestCandidates(t *testing.T) {
	f := newFixture(t)
	f.tree()
	get := func(version, query string) (requests []any, summaries obj) {
		t.Helper()
		body := f.do(version, "GET", "/allocation_candidates?"+query, nil, 200).body
		return body["allocation_requests"].([]any), body["provider_summaries"].(obj)
	}
	requests, summaries := get(newest, "resources=VCPU:1,MEMORY_MB:100,DISK_GB:10")
	require.ElementsMatch(t, []any{
		obj{
			"allocations": obj{numa0: obj{"resources": obj{"VCPU": 1.0}}, rp1: obj{"resources": obj{"MEMORY_MB": 100.0}}, nfs: obj{"resources": obj{"DISK_GB": 10.0}}},
			"mappings":    obj{"": []any{nfs, rp1, numa0}},
		},
		obj{
			"allocations": obj{numa1: obj{"resources": obj{"VCPU": 1.0}}, rp1: obj{"resources": obj{"MEMORY_MB": 100.0}}, nfs: obj{"resources": obj{"DISK_GB": 10.0}}},
			"mappings":    obj{"": []any{nfs, rp1, numa1}},
		},
		obj{
			"allocations": obj{rp2: obj{"resources": obj{"VCPU": 1.0, "MEMORY_MB": 100.0, "DISK_GB": 10.0}}},
			"mappings":    obj{"": []any{rp2}},
		},
	}, requests)
	require.Len(t, summaries, 5)
	require.Equal(t, obj{
		"resources": obj{"VCPU": obj{"capacity": 2.0, "used": 0.0}}, "traits": []any{"HW_CPU_X86_AVX2"},
		"parent_provider_uuid": rp1, "root_provider_uuid": rp1,
	}, summaries[numa1])

	// Before nested providers, in the oldest form.
	requests, summaries = get("1.10", "resources=VCPU:1,MEMORY_MB:100")
	require.Equal(t, []any{obj{"allocations": []any{obj{"resource_provider": obj{"uuid": rp2}, "resources": obj{"VCPU": 1.0, "MEMORY_MB": 100.0}}}}}, requests)
	require.Equal(t, obj{rp2: obj{"resources": obj{"VCPU": obj{"capacity": 8.0, "used": 0.0}, "MEMORY_MB": obj{"capacity": 500.0, "used": 0.0}}}}, summaries)

	// A limit keeps what the trees of those within it have for those beyond.
	requests, summaries = get("1.28", "resources=VCPU:1&limit=1")
	require.Len(t, requests, 1)
	require.Equal(t, []string{numa0, numa1}, slices.Sorted(maps.Keys(summaries)))

	for query, want := range map[string]int{
		"resources=VCPU:1&limit=2":                                                           2,
		"resources=VCPU:1":                                                                   3,
		"resources=VCPU:3":                                                                   2,
		"resources=VCPU:9":                                                                   0,
		"resources=VCPU:1&required=HW_CPU_X86_AVX2":                                          1,
		"resources=VCPU:1&required=!HW_CPU_X86_AVX2":                                         2,
		"resources=VCPU:1&required=in:HW_CPU_X86_AVX2,HW_CPU_X86_SSE":                        1,
		"resources=VCPU:1&member_of=" + agg1:                                                 2,
		"resources=VCPU:1&member_of=!" + agg1:                                                1,
		"resources=VCPU:1&in_tree=" + numa1:                                                  2,
		"resources1=VCPU:1&in_tree1=" + rp2:                                                  1,
		"resources1=VCPU:2&resources2=VCPU:2&group_policy=isolate":                           2,
		"resources1=VCPU:2&resources2=VCPU:2&group_policy=none":                              4,
		"resources_A=VCPU:1&resources_B=MEMORY_MB:1&group_policy=none":                       3,
		"resources_A=VCPU:1&required_A=HW_CPU_X86_AVX2":                                      1,
		"resources=VCPU:1&root_required=HW_CPU_X86_AVX2":                                     0,
		"resources=VCPU:1&root_required=!HW_CPU_X86_AVX2":                                    3,
		"resources_A=VCPU:1&resources_B=VCPU:1&group_policy=none&same_subtree=_A,_B":         3,
		"resources_A=VCPU:1&required_R=HW_CPU_X86_AVX2&group_policy=none&same_subtree=_A,_R": 1,
		"resources=DISK_GB:10":                                                               2,
		"resources=DISK_GB:10&in_tree=" + rp1:                                                0,
		// Of several values the first counts.
		"resources=VCPU:1&limit=2&limit=1":                                           2,
		"resources1=VCPU:2&resources2=VCPU:2&group_policy=isolate&group_policy=none": 2,
		"resources1=VCPU:2&resources2=VCPU:2&group_policy=none&group_policy=isolate": 4,
	} {
		requests, _ := get(newest, query)
		require.Len(t, requests, want, query)
	}
	for query, want := range map[string]string{
		"":                                    "There must be at least one resources or resources[$S] parameter. [placement.query.missing_value]",
		"resources=VCPU:1&limit=0":            "'0' does not match '^[1-9][0-9]*$'",
		"resources1=VCPU:1&resources2=VCPU:1": `The "group_policy" parameter is required`,
		"resources=VCPU:1&required_X=HW_CPU_X86_AVX2":                "should be specified in `same_subtree`",
		"resources=VCPU:1&same_subtree=_Z":                           "Real suffixes should be specified",
		"resources=VCPU:1&group_policy=maybe":                        "is not one of ['none', 'isolate']",
		"resources=CUSTOM_NO:1":                                      "Invalid resource class in resources parameter: No such resource class CUSTOM_NO.",
		"resources=VCPU:1&required=CUSTOM_NO":                        "No such trait(s): CUSTOM_NO.",
		"resources=VCPU:1&required=HW_CPU_X86_AVX2,!HW_CPU_X86_AVX2": "Conflicting required and forbidden traits",
		"resources=VCPU:1&what=1":                                    "'what' does not match any of the regexes: '^in_tree(",
		"resources=VCPU:1&in_tree=x":                                 "Expected 'in_tree' parameter to be a format of uuid. Got: x",
		"resources=VCPU:1&limit=x&limit=1":                           "'x' does not match '^[1-9][0-9]*$'",
		"resources=VCPU:1&group_policy=maybe&group_policy=none":      "'maybe' is not one of ['none', 'isolate']",
		// A fault names all that it is about; what concerns the whole comes first.
		"resources=VCPU:x&root_required=HW_CPU_X86_SSE,HW_CPU_X86_AVX,!HW_CPU_X86_AVX,!HW_CPU_X86_SSE": "found in root_required: HW_CPU_X86_AVX, HW_CPU_X86_SSE",
		"resources=VCPU:1&required_Y=HW_CPU_X86_AVX&required_X=HW_CPU_X86_AVX":                         "bad group(s) - ['_X', '_Y'].",
		"resources_B=VCPU:1&resources_A=VCPU:1&group_policy=none&same_subtree=_Z,_Y":                   "['_Y', '_Z'] not found in ['_B', '_A'].",
		"resources=VCPU:1&root_required=CUSTOM_C&required=CUSTOM_B,CUSTOM_A":                           "No such trait(s): CUSTOM_C.",
		"resources_B=VCPU:1&required_B=CUSTOM_B,CUSTOM_A&resources_A=CUSTOM_X:1&group_policy=none":     "No such trait(s): CUSTOM_B.",
		"resources_B=CUSTOM_X:1&required_B=CUSTOM_B":                                                   "No such resource class CUSTOM_X.",
		"resources=VCPU:x&resources=VCPU:1":                                                            "expected positive integer amount. Got: x.",
		"resources=VCPU:1&in_tree=x&in_tree=" + rp1:                                                    "to be a format of uuid. Got: x",
		"resources=VCPU:1&required=A,!A&resources1=VCPU:1&required1=B,!B":                              "traits keys: required1: (B), required: (A)",
	} {
		require.Contains(t, f.do(newest, "GET", "/allocation_candidates?"+query, nil, 400).detail(), want, query)
	}
	require.Contains(t, f.do("1.24", "GET", "/allocation_candidates?resources1=VCPU:1", nil, 400).detail(), "'resources' is a required property")
	require.Contains(t, f.do("1.35", "GET", "/allocation_candidates?resources=VCPU:1&required2=HW_CPU_X86_AVX2&required1=HW_CPU_X86_AVX2", nil, 400).detail(), "orphaned traits keys: required2, required1")
	require.Contains(t, f.do("1.25", "GET", "/allocation_candidates?member_of="+agg1+"&member_of3="+agg1, nil, 400).detail(), "orphaned member_of keys: member_of, member_of3")
	require.Contains(t, f.do("1.25", "GET", "/allocation_candidates?group_policy=none", nil, 400).detail(), "At least one request group (`resources` or `resources{$S}`) is required.")
	f.do("1.9", "GET", "/allocation_candidates?resources=VCPU:1", nil, 404)
}

// TestWhatIsSharedAloneServesEveryTree has a group without a suffix that only a
// sharing provider serves: it serves it in each tree that it shares with, so the
// other group may be served in any.
func TestWhatIsSharedAloneServesEveryTree(t *testing.T) {
	f := newFixture(t)
	f.provider(rp1, "host1", "", obj{"MEMORY_MB": obj{"total": 10}})
	f.provider(rp2, "host2", "", obj{"MEMORY_MB": obj{"total": 10}})
	f.provider(rp3, "host3", "", obj{"MEMORY_MB": obj{"total": 10}})
	f.provider(nfs, "nfs", "", obj{"DISK_GB": obj{"total": 10}})
	f.do(newest, "PUT", "/resource_providers/"+nfs+"/traits", obj{"traits": []string{"MISC_SHARES_VIA_AGGREGATE"}, "resource_provider_generation": 1}, 200)
	for uuid, generation := range map[string]int{rp1: 1, rp2: 1, nfs: 2} {
		f.do(newest, "PUT", "/resource_providers/"+uuid+"/aggregates", obj{"aggregates": []string{agg1}, "resource_provider_generation": generation}, 200)
	}
	on := func(host string) obj {
		return obj{
			"allocations": obj{host: obj{"resources": obj{"MEMORY_MB": 1.0}}, nfs: obj{"resources": obj{"DISK_GB": 1.0}}},
			"mappings":    obj{"": []any{nfs}, "1": []any{host}},
		}
	}
	body := f.do(newest, "GET", "/allocation_candidates?resources=DISK_GB:1&resources1=MEMORY_MB:1", nil, 200).body
	require.ElementsMatch(t, []any{on(rp1), on(rp2)}, body["allocation_requests"])
	require.Len(t, body["provider_summaries"], 3)
}

func FuzzQueries(f *testing.F) {
	for _, s := range []string{
		"resources=VCPU:1&required=!A,in:B&member_of=!in:x&in_tree=1", "resources_A=VCPU:1&same_subtree=_A,,&group_policy=none&limit=01", "required=in:,!!&root_required=!,",
	} {
		f.Add(s)
	}
	fix := newFixture(f)
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/allocation_candidates", "/resource_providers", "/traits", "/usages"} {
			req := "http://h" + path + "?" + query
			if a := fix.raw("GET", req, ""); a >= 500 {
				t.Errorf("%s: %d", req, a)
			}
		}
	})
}

func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		`{"allocations": {"` + rp1 + `": {"resources": {"VCPU": 1}, "generation": 1}}, "project_id": "p", "user_id": "u", "consumer_generation": null, "consumer_type": "A", "mappings": {"": ["x"]}}`,
		`{"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 1, "allocation_ratio": 1e300}}}`,
		`{"name": "x", "uuid": "` + rp2 + `", "parent_provider_uuid": null}`,
		`{"inventories": {"` + rp1 + `": {"resource_provider_generation": 0, "inventories": {}}}, "allocations": {}}`,
		`{"aggregates": [], "traits": [null], "resource_provider_generation": 9223372036854775808}`, `null`, `[]`,
	} {
		f.Add(s)
	}
	fix := newFixture(f)
	fix.provider(rp1, "one", "", nil)
	f.Fuzz(func(t *testing.T, body string) {
		for _, op := range [][2]string{
			{"PUT", "/allocations/" + consumer},
			{"POST", "/allocations"},
			{"POST", "/reshaper"},
			{"POST", "/resource_providers"},
			{"PUT", "/resource_providers/" + rp1},
			{"PUT", "/resource_providers/" + rp1 + "/inventories"},
			{"POST", "/resource_providers/" + rp1 + "/inventories"},
			{"PUT", "/resource_providers/" + rp1 + "/traits"},
			{"PUT", "/resource_providers/" + rp1 + "/aggregates"},
			{"POST", "/resource_classes"},
		} {
			if a := fix.raw(op[0], "http://h"+op[1], body); a >= 500 {
				t.Errorf("%s: %d", op, a)
			}
		}
	})
}
