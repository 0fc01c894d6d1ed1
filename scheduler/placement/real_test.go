package placement_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// sorted is a candidates answer with its lists in one order.
func sorted(t require.TestingT, body map[string]any) string {
	requests, _ := body["allocation_requests"].([]any)
	var lines []string
	for _, r := range requests {
		if list, ok := r.(obj)["allocations"].([]any); ok {
			slices.SortFunc(list, func(a, b any) int { return compareJSON(t, a, b) })
		}
		if m, ok := r.(obj)["mappings"].(obj); ok {
			for _, uuids := range m {
				slices.SortFunc(uuids.([]any), func(a, b any) int { return compareJSON(t, a, b) })
			}
		}
		b, err := json.Marshal(r)
		require.NoError(t, err)
		lines = append(lines, string(b))
	}
	slices.Sort(lines)
	summaries, _ := body["provider_summaries"].(obj)
	for _, s := range summaries {
		if traits, ok := s.(obj)["traits"].([]any); ok {
			slices.SortFunc(traits, func(a, b any) int { return compareJSON(t, a, b) })
		}
	}
	b, err := json.MarshalIndent(map[string]any{"requests": lines, "summaries": summaries}, "", " ")
	require.NoError(t, err)
	return string(b)
}

func compareJSON(t require.TestingT, a, b any) int {
	x, err := json.Marshal(a)
	require.NoError(t, err)
	y, err := json.Marshal(b)
	require.NoError(t, err)
	return slices.Compare(x, y)
}

// TestEveryMicroversionAnswersAsARealOne asks the same of ours and of the real
// Placement API that NEPHOS_PLACEMENT_PEER names (auth_strategy = noauth2, and
// nothing of value in it), in each version that changed allocation candidates.
func TestEveryMicroversionAnswersAsARealOne(t *testing.T) {
	real := peer{os.Getenv("NEPHOS_PLACEMENT_PEER")}
	if real.url == "" {
		t.Skip("no real Placement: NEPHOS_PLACEMENT_PEER is not set")
	}
	queries := []struct{ since, query string }{
		{"1.10", "resources=VCPU:1"},
		{"1.10", "resources=VCPU:1,MEMORY_MB:2"},
		{"1.10", "resources=DISK_GB:1,VCPU:1"},
		{"1.10", "resources=VCPU:1&limit=2"},
		{"1.17", "resources=VCPU:1&required=HW_CPU_X86_AVX"},
		{"1.17", "resources=VCPU:1&required=!HW_CPU_X86_AVX"},
		{"1.21", "resources=VCPU:1&member_of=" + agg1},
		{"1.24", "resources=VCPU:1&member_of=" + agg1 + "&member_of=" + agg2},
		{"1.25", "resources1=VCPU:1"},
		{"1.25", "resources=MEMORY_MB:1&resources1=VCPU:1&resources2=VCPU:1&group_policy=none"},
		{"1.31", "resources=VCPU:1&in_tree=00000000-0000-4000-8000-000000000001"},
		{"1.32", "resources=VCPU:1&member_of=!" + agg1},
		{"1.33", "resources_X=VCPU:1"},
		{"1.35", "resources=VCPU:1&root_required=HW_CPU_X86_AVX,!HW_CPU_X86_SSE"},
		{"1.36", "resources_A=VCPU:1&required_B=HW_CPU_X86_SSE&same_subtree=_A,_B&group_policy=none"},
		{"1.39", "resources=VCPU:1&required=in:HW_CPU_X86_AVX,HW_CPU_X86_SSE&required=STORAGE_DISK_SSD"},
	}
	versions := []string{"1.9", "1.10", "1.12", "1.16", "1.17", "1.21", "1.22", "1.24", "1.25", "1.27", "1.29", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.39"}
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t)
		defer f.HTTP.Close()
		ours := peer{f.URL}
		cloud := someCloud(rt)
		ours.build(rt, cloud)
		real.clear(rt)
		real.build(rt, cloud)
		for _, q := range queries {
			for _, v := range versions {
				path := "/allocation_candidates?" + q.query
				status, detail, code, body := ours.ask(t, v, "GET", path, nil)
				theirs, theirDetail, theirCode, theirBody := real.ask(t, v, "GET", path, nil)
				what := fmt.Sprintf("%s %s: %s; theirs %s", v, q.query, detail, theirDetail)
				require.Equal(rt, theirs, status, what)
				require.Equal(rt, theirCode, code, what)
				if status == 200 && q.query != "resources=VCPU:1&limit=2" {
					require.Equal(rt, sorted(rt, theirBody), sorted(rt, body), "%s in %s", what, describe(cloud))
				}
			}
		}
	})
}
