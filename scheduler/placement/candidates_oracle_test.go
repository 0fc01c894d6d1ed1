package placement_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// peer is a Placement API: ours, or a real one.
type peer struct{ url string }

func (p peer) do(t require.TestingT, method, path string, body any) map[string]any {
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		require.NoError(t, err)
		in = strings.NewReader(string(b))
	}
	req, err := http.NewRequest(method, p.url+path, in)
	require.NoError(t, err)
	req.Header.Set("X-Auth-Token", "admin")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("OpenStack-API-Version", "placement 1.39")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Less(t, resp.StatusCode, 300, "%s %s: %s", method, path, raw)
	out := map[string]any{}
	if len(raw) > 0 {
		require.NoError(t, json.Unmarshal(raw, &out))
	}
	return out
}

// clear ends all use and removes all providers, children first.
func (p peer) clear(t require.TestingT) {
	list := p.do(t, "GET", "/resource_providers", nil)["resource_providers"].([]any)
	parents, consumers := map[any]bool{}, map[string]bool{}
	for _, one := range list {
		for c := range p.do(t, "GET", "/resource_providers/"+one.(obj)["uuid"].(string)+"/allocations", nil)["allocations"].(obj) {
			consumers[c] = true
		}
	}
	for c := range consumers {
		p.do(t, "DELETE", "/allocations/"+c, nil)
	}
	for len(list) > 0 {
		clear(parents)
		for _, one := range list {
			parents[one.(obj)["parent_provider_uuid"]] = true
		}
		list = slices.DeleteFunc(list, func(one any) bool {
			uuid := one.(obj)["uuid"]
			if parents[uuid] {
				return false
			}
			p.do(t, "DELETE", "/resource_providers/"+uuid.(string), nil)
			return true
		})
	}
}

func (p peer) build(t *rapid.T, cloud []thing) {
	used := obj{}
	for _, one := range cloud {
		body := obj{"uuid": one.uuid, "name": one.name}
		if one.parent != "" {
			body["parent_provider_uuid"] = one.parent
		}
		p.do(t, "POST", "/resource_providers", body)
		inventories := obj{}
		amounts := obj{}
		for class, s := range one.inventory {
			inventories[class] = obj{"total": s.total, "reserved": s.reserved, "allocation_ratio": s.ratio, "min_unit": s.min, "max_unit": s.max, "step_size": s.step}
			if s.used > 0 {
				amounts[class] = s.used
			}
		}
		if len(amounts) > 0 {
			used[one.uuid] = obj{"resources": amounts}
		}
		at := "/resource_providers/" + one.uuid
		generation := p.do(t, "PUT", at+"/inventories", obj{"resource_provider_generation": 0, "inventories": inventories})["resource_provider_generation"]
		if len(one.traits) > 0 {
			generation = p.do(t, "PUT", at+"/traits", obj{"resource_provider_generation": generation, "traits": one.traits})["resource_provider_generation"]
		}
		if len(one.aggregates) > 0 {
			p.do(t, "PUT", at+"/aggregates", obj{"resource_provider_generation": generation, "aggregates": one.aggregates})
		}
	}
	if len(used) > 0 {
		p.do(t, "PUT", "/allocations/"+consumer, obj{"allocations": used, "project_id": "p", "user_id": "u", "consumer_generation": nil, "consumer_type": "INSTANCE"})
	}
}

// answer returns the candidates in one form, and the providers in the summaries.
func (p peer) answer(t *rapid.T, query string) (map[string]bool, []string, int) {
	body := p.do(t, "GET", "/allocation_candidates?"+query, nil)
	out := map[string]bool{}
	list := body["allocation_requests"].([]any)
	for _, one := range list {
		taken, serves := map[string]map[string]int64{}, map[string][]string{}
		for uuid, a := range one.(obj)["allocations"].(obj) {
			taken[uuid] = map[string]int64{}
			for class, n := range a.(obj)["resources"].(obj) {
				taken[uuid][class] = int64(n.(float64))
			}
		}
		for suffix, uuids := range one.(obj)["mappings"].(obj) {
			for _, u := range uuids.([]any) {
				serves[suffix] = append(serves[suffix], u.(string))
			}
		}
		out[canonical(taken, serves)] = true
	}
	return out, slices.Sorted(maps.Keys(body["provider_summaries"].(obj))), len(list)
}

// TestCandidatesAreThoseOfTheOracle compares answers with those of an exhaustive
// search. NEPHOS_PLACEMENT_PEER names a real Placement API, with
// auth_strategy = noauth2 and nothing of value in it, that is asked as well.
func TestCandidatesAreThoseOfTheOracle(t *testing.T) {
	real := peer{os.Getenv("NEPHOS_PLACEMENT_PEER")}
	if race { // which takes ten times as long: make unit asks more without it
		require.NoError(t, flag.Set("rapid.checks", "30"))
	}
	rapid.Check(t, func(rt *rapid.T) {
		f := newFixture(t)
		defer f.HTTP.Close()
		ours := peer{f.URL}
		cloud := someCloud(rt)
		ours.build(rt, cloud)
		if real.url != "" {
			real.clear(rt)
			real.build(rt, cloud)
		}
		for range 12 {
			q := someQuestion(rt, cloud)
			query := q.query()
			want := oracle(cloud, q)
			got, summaries, n := ours.answer(rt, query)
			require.Len(rt, got, n, "%s: a candidate is there twice", query)
			if q.limit > 0 {
				require.Len(rt, got, min(q.limit, len(want)), query)
				for c := range got {
					require.Contains(rt, want, c, query)
				}
				continue
			}
			require.Equal(rt, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)), "%s in %s", query, describe(cloud))
			if real.url != "" && !addsUp(q) {
				theirs, theirSummaries, _ := real.answer(rt, query)
				if forgets(cloud, q) {
					require.True(rt, remembered(cloud, q, want, theirs), "the real one answered %v to %s in %s", slices.Sorted(maps.Keys(theirs)), query, describe(cloud))
					continue
				}
				require.Equal(rt, theirs, got, "the real one: %s in %s", query, describe(cloud))
				require.Equal(rt, theirSummaries, summaries, "the real one: %s in %s", query, describe(cloud))
			}
		}
	})
}

func describe(cloud []thing) string {
	var b strings.Builder
	for _, p := range cloud {
		fmt.Fprintf(&b, "\n%+v", p)
	}
	return b.String()
}
