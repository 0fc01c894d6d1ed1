package placement_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGenerationsRiseAsPlacements follows the generations of two providers and a
// consumer through every way to change who uses what. With
// NEPHOS_PLACEMENT_PEER a real Placement has to agree.
func TestGenerationsRiseAsPlacements(t *testing.T) {
	const user1, user2 = "0e000000-0000-4000-8000-000000000001", "0e000000-0000-4000-8000-000000000002" // nobody else's
	use := func(of obj) obj {
		return obj{"allocations": of, "project_id": "p", "user_id": "u", "consumer_type": "INSTANCE", "consumer_generation": nil}
	}
	again := func(generation int, of obj) obj {
		body := use(of)
		body["consumer_generation"] = generation
		return body
	}
	one, two := obj{rp1: obj{"resources": obj{"VCPU": 1}}}, obj{rp2: obj{"resources": obj{"VCPU": 1}}}
	both := obj{rp1: obj{"resources": obj{"VCPU": 2}}, rp2: obj{"resources": obj{"VCPU": 1}}}
	inventory := func(generation int, classes ...string) obj {
		of := obj{}
		for _, c := range classes {
			of[c] = obj{"total": 8}
		}
		return obj{"resource_provider_generation": generation, "inventories": of}
	}
	steps := []struct {
		name, method, path string
		body               any
		first, second      int // the providers' generations afterwards
		consumer           any // the consumer's; nil for none
	}{
		{"allocate", "PUT", "/allocations/" + user1, use(one), 2, 1, 1},
		{"the same again", "PUT", "/allocations/" + user1, again(1, one), 3, 1, 2},
		{"move", "PUT", "/allocations/" + user1, again(2, two), 3, 2, 3},
		{"spread", "PUT", "/allocations/" + user1, again(3, both), 4, 3, 4},
		{"shrink", "PUT", "/allocations/" + user1, again(4, one), 5, 3, 5},
		{"delete", "DELETE", "/allocations/" + user1, nil, 5, 3, nil},
		{"allocate anew", "PUT", "/allocations/" + user1, use(both), 6, 4, 1},
		{"empty", "PUT", "/allocations/" + user1, again(1, obj{}), 7, 5, nil},
		{"several", "POST", "/allocations", obj{user1: use(one), user2: use(both)}, 8, 6, 1},
		{"swap", "POST", "/allocations", obj{user1: again(1, obj{}), user2: again(1, two)}, 9, 7, nil},
		{"back", "PUT", "/allocations/" + user1, use(one), 10, 7, 1},
		{"reshape what stays", "POST", "/reshaper", obj{
			"inventories": obj{rp1: inventory(10, "VCPU")}, "allocations": obj{user1: again(1, one)},
		}, 13, 7, 2},
		{"reshape a move", "POST", "/reshaper", obj{
			"inventories": obj{rp1: inventory(13), rp2: inventory(7, "VCPU", "DISK_GB")}, "allocations": obj{user1: again(2, two)},
		}, 14, 10, 3},
		{"delete what moved", "DELETE", "/allocations/" + user1, nil, 14, 10, nil},
		{"new inventories", "PUT", "/resource_providers/" + rp1 + "/inventories", inventory(14, "VCPU"), 15, 10, nil},
		{"old generation", "PUT", "/resource_providers/" + rp1 + "/inventories", inventory(14, "VCPU"), 15, 10, nil},
	}
	f := newFixture(t)
	peers := []peer{{f.URL}}
	if real := os.Getenv("NEPHOS_PLACEMENT_PEER"); real != "" {
		peers = append(peers, peer{real})
	}
	for _, p := range peers {
		if p.url != peers[0].url {
			p.clear(t)
		}
		for i, uuid := range []string{rp1, rp2} {
			status, detail, _, _ := p.ask(t, newest, "POST", "/resource_providers", obj{"uuid": uuid, "name": uuid[:i+1]})
			require.Equal(t, 200, status, detail)
			status, detail, _, _ = p.ask(t, newest, "PUT", "/resource_providers/"+uuid+"/inventories", inventory(0, "VCPU"))
			require.Equal(t, 200, status, detail)
		}
		for _, s := range steps {
			status, detail, _, _ := p.ask(t, newest, s.method, s.path, s.body)
			want := 204
			switch s.name {
			case "new inventories":
				want = 200
			case "old generation":
				want = 409
			}
			require.Equal(t, want, status, "%s: %s", s.name, detail)
			for i, uuid := range []string{rp1, rp2} {
				_, _, _, body := p.ask(t, newest, "GET", "/resource_providers/"+uuid, nil)
				require.EqualValues(t, []int{s.first, s.second}[i], body["generation"], "%s, provider %d", s.name, i+1)
				_, _, _, body = p.ask(t, newest, "GET", "/resource_providers/"+uuid+"/usages", nil)
				require.EqualValues(t, []int{s.first, s.second}[i], body["resource_provider_generation"], "%s, usages of %d", s.name, i+1)
			}
			_, _, _, body := p.ask(t, newest, "GET", "/allocations/"+user1, nil)
			require.EqualValues(t, s.consumer, body["consumer_generation"], s.name)
			// Lists come from memory.
			_, _, _, body = p.ask(t, newest, "GET", "/allocation_candidates?resources=VCPU:1", nil)
			require.NotNil(t, body, s.name)
		}
	}
}
