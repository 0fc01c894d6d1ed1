package placement_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
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

// numbered is the question with suffixes that are numbers, as they are before 1.33.
func (q question) numbered() question {
	digit := map[string]string{"": "", "_A": "1", "_B": "2", "_R": "3"}
	q.groups, q.sameSubtree = slices.Clone(q.groups), slices.Clone(q.sameSubtree)
	for i := range q.groups {
		q.groups[i].suffix = digit[q.groups[i].suffix]
	}
	for i, set := range q.sameSubtree {
		q.sameSubtree[i] = nil
		for _, suffix := range set {
			q.sameSubtree[i] = append(q.sameSubtree[i], digit[suffix])
		}
	}
	return q
}

// within says whether a candidates answer has nothing that another has not.
func within(part, whole map[string]any) bool {
	var left []string
	for _, r := range whole["allocation_requests"].([]any) {
		left = append(left, fmt.Sprint(r))
	}
	for _, r := range part["allocation_requests"].([]any) {
		i := slices.Index(left, fmt.Sprint(r))
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	for uuid, s := range part["provider_summaries"].(obj) {
		if fmt.Sprint(s) != fmt.Sprint(whole["provider_summaries"].(obj)[uuid]) {
			return false
		}
	}
	return true
}

// TestEveryMicroversionAnswersAsARealOne asks the same of ours and of the real
// Placement API that NEPHOS_PLACEMENT_PEER names (auth_strategy = noauth2, and
// nothing of value in it), in each version that changed allocation candidates.
func TestEveryMicroversionAnswersAsARealOne(t *testing.T) {
	real := peer{os.Getenv("NEPHOS_PLACEMENT_PEER")}
	if real.url == "" {
		t.Skip("no real Placement: NEPHOS_PLACEMENT_PEER is not set")
	}
	queries := []string{
		"resources=VCPU:1",
		"resources=VCPU:1,MEMORY_MB:2",
		"resources=DISK_GB:1,VCPU:1",
		"resources=VCPU:1&limit=2",
		"resources=VCPU:1&required=HW_CPU_X86_AVX",
		"resources=VCPU:1&required=!HW_CPU_X86_AVX",
		"resources=VCPU:1&member_of=" + agg1,
		"resources=VCPU:1&member_of=" + agg1 + "&member_of=" + agg2,
		"resources1=VCPU:1",
		"resources=MEMORY_MB:1&resources1=VCPU:1&resources2=VCPU:1&group_policy=none",
		"resources=VCPU:1&in_tree=00000000-0000-4000-8000-000000000001",
		"resources=VCPU:1&member_of=!" + agg1,
		"resources_X=VCPU:1",
		"resources=VCPU:1&root_required=HW_CPU_X86_AVX,!HW_CPU_X86_SSE",
		"resources_A=VCPU:1&required_B=HW_CPU_X86_SSE&same_subtree=_A,_B&group_policy=none",
		"resources=VCPU:1&required=in:HW_CPU_X86_AVX,HW_CPU_X86_SSE&required=STORAGE_DISK_SSD",
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
		compare := func(v, query string, limited, forgets bool) {
			path := "/allocation_candidates?" + query
			status, detail, code, body := ours.ask(t, v, "GET", path, nil)
			theirs, theirDetail, theirCode, theirBody := real.ask(t, v, "GET", path, nil)
			what := fmt.Sprintf("%s %s: %s; theirs %s", v, query, detail, theirDetail)
			require.Equal(rt, theirs, status, what)
			require.Equal(rt, theirCode, code, what)
			switch {
			case status != 200:
				theirDetail, _, _ = strings.Cut(theirDetail, "  Failed validating") // the schema, which is its own
				require.Equal(rt, theirDetail, detail, what)
			case limited:
				require.Len(rt, body["allocation_requests"], len(theirBody["allocation_requests"].([]any)), "%s in %s", what, describe(cloud))
			case sorted(rt, body) == sorted(rt, theirBody):
			case forgets:
				require.True(rt, within(theirBody, body), "%s in %s", what, describe(cloud))
			default:
				require.Equal(rt, sorted(rt, theirBody), sorted(rt, body), "%s in %s", what, describe(cloud))
			}
		}
		memory := question{groups: []ask{{resources: map[string]int64{"MEMORY_MB": 1}}, {suffix: "1"}}}
		for _, query := range queries {
			for _, v := range versions {
				compare(v, query, strings.Contains(query, "limit"), forgets(cloud, memory))
			}
		}
		for range 6 {
			q := someQuestion(rt, cloud)
			q.isolate = q.isolate && !addsUp(q)
			may := forgets(cloud, q)
			if may {
				q.limit = 0
			}
			for _, v := range versions {
				asked := q
				if slices.Index(versions, v) < slices.Index(versions, "1.33") {
					asked = q.numbered()
				}
				compare(v, asked.query(), q.limit > 0, may)
			}
		}
	})
}
