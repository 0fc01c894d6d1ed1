package explain_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/apitest"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/explain"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// people have their roles for tokens.
var people = apitest.People{
	"admin":   {UserID: "admin", ProjectID: "proj", Roles: []string{"admin"}},
	"reader":  {UserID: "reader", ProjectID: "proj", Roles: []string{"reader"}},
	"member":  {UserID: "member", ProjectID: "proj", Roles: []string{"member"}},
	"service": {UserID: "service", ProjectID: "proj", Roles: []string{"service"}},
}

type fixture struct {
	*apitest.Server // at /scheduler
	t               testing.TB
	store           *sqlstore.Store
	db              *store.DB
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	clock := nephos.NewVirtualClock(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	enforcer, err := policy.New(policy.Base(), explain.Rules())
	require.NoError(t, err)
	db := storetest.Open(t, clock, sqlstore.Migrations())
	s, err := sqlstore.New(sqlstore.Config{Store: db, Clock: clock})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	server := apitest.Serve(t, "placement", func(url string) http.Handler {
		mux := http.NewServeMux()
		mux.Handle("/scheduler/", http.StripPrefix("/scheduler", explain.New(explain.Config{
			Store: s, Policy: enforcer, HTTP: httpapi.Config{Verifier: people, PublicURL: url + "/scheduler", Clock: clock},
		})))
		return mux
	})
	server.URL += "/scheduler"
	f := &fixture{Server: server, t: t, store: s, db: db}
	for i := range 3 {
		require.NoError(t, s.PutHost(t.Context(), scheduler.Host{
			ID: fmt.Sprint("h", i), Zone: "az1", Enabled: i != 2, Up: true, DisabledReason: "broken fan",
			Inventory: map[string]scheduler.Inventory{
				scheduler.VCPU: {Total: 8, Ratio: 1}, scheduler.MemoryMB: {Total: 8192, Ratio: 1}, scheduler.DiskGB: {Total: 100, Ratio: 1},
			},
		}))
	}
	return f
}

// get decodes what an administrator is answered.
func (f *fixture) admin(method, path, body string, into any) {
	f.t.Helper()
	require.NoError(f.t, json.Unmarshal([]byte(f.Do("admin", method, path, body).Want(200).Body), into))
}

func (f *fixture) boot(id string, vcpus int64) error {
	_, err := f.store.Schedule(f.t.Context(), scheduler.Request{ID: id, Resources: scheduler.Resources{scheduler.VCPU: vcpus}},
		sqlstore.Options{Consumer: sqlstore.Consumer{ID: id, ProjectID: "p", UserID: "u"}}, nil)
	return err
}

func TestDecisions(t *testing.T) {
	f := newFixture(t)
	for i := range 3 {
		require.NoError(t, f.boot(fmt.Sprint("s", i), 1))
	}
	require.Error(t, f.boot("big", 9))

	type brief struct {
		ID, Summary string
		ServerID    string `json:"server_id"`
		CreatedAt   string `json:"created_at"`
		Chosen      []scheduler.HostRef
	}
	var list struct {
		Decisions []brief
		Links     []struct{ Rel, Href string } `json:"decisions_links"`
	}
	f.admin("GET", "/v1/decisions", "", &list)
	require.Len(t, list.Decisions, 4)
	require.Equal(t, "big", list.Decisions[0].ServerID)
	require.Equal(t, "No valid host: 3 hosts, 2 lack VCPUs (nearest short of 2 VCPUs), 1 disabled", list.Decisions[0].Summary)
	require.Empty(t, list.Decisions[0].Chosen)
	require.Equal(t, "2030-01-02T03:04:05Z", list.Decisions[0].CreatedAt)
	require.Len(t, list.Decisions[1].Chosen, 1)

	f.admin("GET", "/v1/decisions?failed=true", "", &list)
	require.Len(t, list.Decisions, 1)
	f.admin("GET", "/v1/decisions?server_id=s1", "", &list)
	require.Len(t, list.Decisions, 1)

	var seen []string
	for path := "/v1/decisions?limit=3"; path != ""; {
		f.admin("GET", path, "", &list)
		for _, d := range list.Decisions {
			seen = append(seen, d.ServerID)
		}
		path = ""
		if len(list.Links) > 0 {
			path = strings.TrimPrefix(list.Links[0].Href, f.URL)
		}
	}
	require.Equal(t, []string{"big", "s2", "s1", "s0"}, seen)

	var one struct {
		Decision struct {
			brief
			Filters []scheduler.FilterReport
			Nearest *scheduler.Miss
			Weights []scheduler.HostWeights
		}
	}
	f.admin("GET", "/v1/decisions/big", "", &one)
	require.Equal(t, []string{"free 2 VCPUs"}, one.Decision.Nearest.Advice)
	require.Equal(t, "ComputeFilter", one.Decision.Filters[0].Name)
	require.Equal(t, "broken fan", one.Decision.Filters[0].Samples[0].Saw)
	f.admin("GET", "/v1/decisions/"+seen[3], "", &one)
	require.Equal(t, "s0", one.Decision.ServerID)
	require.NotEmpty(t, one.Decision.Weights[0].Weighs)
	byServer := one
	f.admin("GET", "/v1/decisions/"+one.Decision.ID, "", &one)
	require.Equal(t, byServer, one)

	for path, want := range map[string]int{"/v1/decisions/nonesuch": 404, "/v1/decisions/999": 404, "/v1/decisions?marker=x": 400, "/v1/decisions?failed=perhaps": 400, "/v1/decisions?server=s1": 400, "/v1/decisions/1?x=": 400, "/v1/heatmap.svg?classes=VCPU": 400, "/v1/decisions?limit=x": 400} {
		a := f.Do("admin", "GET", path, "")
		require.Equal(t, want, a.Status, "%s: %s", path, a.Body)
	}
}

// Decisions for volumes are kept among those for servers.
func TestDecisionsForVolumes(t *testing.T) {
	f := newFixture(t)
	pools, err := scheduler.NewPools(scheduler.Config{})
	require.NoError(t, err)
	for id, size := range map[string]int64{"v1": 10, "v2": 1000} {
		d, err := pools.SelectPool([]scheduler.Pool{{ID: "h@a#a", Up: true, Enabled: true, TotalGB: 100, FreeGB: 90}}, scheduler.VolumeRequest{ID: id, SizeGB: size}, scheduler.Options{})
		require.Equal(t, size > 100, err != nil)
		require.NoError(t, f.db.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error { return f.store.Keep(ctx, tx, id, d.Explanation) }))
	}
	require.NoError(t, f.boot("s1", 1))
	var list struct {
		Decisions []struct {
			Summary  string
			ServerID *string `json:"server_id"`
			VolumeID *string `json:"volume_id"`
		}
	}
	f.admin("GET", "/v1/decisions?volume_id=v1", "", &list)
	require.Len(t, list.Decisions, 1)
	require.Nil(t, list.Decisions[0].ServerID)
	require.Equal(t, "Placed 1 volume: 1 pool, 1 suitable", list.Decisions[0].Summary)
	f.admin("GET", "/v1/decisions?failed=true", "", &list)
	require.Len(t, list.Decisions, 1)
	require.Equal(t, "v2", *list.Decisions[0].VolumeID)
	require.Equal(t, "No valid pool: 1 pool, 1 lack free space (nearest short of 910 GiB)", list.Decisions[0].Summary)
}

func TestExplain(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.boot("s0", 6))
	before, err := f.store.Hosts(t.Context())
	require.NoError(t, err)
	var out struct {
		Explanation struct {
			Summary        string
			Fits           bool
			Wanted, Placed int
			Choices        []struct {
				Host       scheduler.HostRef
				Claim      scheduler.Resources
				Alternates []scheduler.HostRef
			}
			Hosts   []scheduler.HostReport
			Nearest *scheduler.Miss
			Next    *string `json:"next_marker"`
		}
	}
	f.admin("POST", "/v1/explain", `{"explain": {"flavor": {"vcpus": 2, "ram": 1024, "disk": 10}, "alternates": 1, "availability_zone": "az1"}}`, &out)
	e := &out.Explanation
	require.True(t, e.Fits)
	require.Equal(t, scheduler.Resources{"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 10}, e.Choices[0].Claim)
	require.Len(t, e.Choices[0].Alternates, 1)
	require.Len(t, e.Hosts, 3)
	require.Equal(t, []string{"enable the host"}, e.Hosts[2].Advice)
	require.NotNil(t, e.Hosts[0].Weights)
	require.Len(t, e.Hosts[0].Filters, 3)
	require.Equal(t, "Placed 1 server: 3 hosts, 2 suitable, 1 disabled", e.Summary)

	// What if there were six of them?
	out.Explanation.Choices = nil
	f.admin("POST", "/v1/explain", `{"explain": {"resources": {"VCPU": 2}, "count": 6, "limit": 2}}`, &out)
	require.False(t, e.Fits)
	require.Equal(t, 5, e.Placed)
	require.Empty(t, e.Choices)
	require.Equal(t, "h1", *e.Next)
	require.Contains(t, e.Summary, "No valid host: 3 hosts with room for 5 of 6 servers")
	require.NotNil(t, e.Nearest)

	f.admin("POST", "/v1/explain", `{"explain": {"resources": {"VCPU": 1}, "hosts": ["h2"], "group": {"policy": "anti-affinity", "members": {"h0": 1}}}}`, &out)
	require.Len(t, e.Hosts, 1)
	require.Equal(t, "h1", e.Choices[0].Host.ID)

	after, err := f.store.Hosts(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after, "nothing was claimed")

	for body, field := range map[string]string{
		``:                               "",
		`{}`:                             "",
		`{"explain": 1}`:                 "explain",
		`{"explain": {"nonesuch": 1}}`:   "nonesuch",
		`{"explain": {"count": 0}}`:      "count",
		`{"explain": {"count": 100000}}`: "count",
		`{"explain": {"limit": 0}}`:      "limit",
		`{"explain": {"resources": {"VCPU": -1}}}`:                                  "VCPU",
		`{"explain": {"resources": {"vcpu": 1}}}`:                                   "vcpu",
		`{"explain": {"flavor": {"vcpus": -1}}}`:                                    "flavor.vcpus",
		`{"explain": {"flavor": {"vcpus": 1}, "resources": {"VCPU": 1}}}`:           "flavor",
		`{"explain": {"flavor": {"extra_specs": {"resources:VCPU": "x"}}}}`:         "resources:VCPU",
		`{"explain": {"group": {"policy": "friendship"}}}`:                          "group.policy",
		`{"explain": {"group": {"policy": "affinity", "max_server_per_host": -1}}}`: "max_server_per_host",
	} {
		a := f.Do("admin", "POST", "/v1/explain", body)
		require.Equal(t, http.StatusBadRequest, a.Status, "%s: %s", body, a.Body)
		require.Contains(t, a.Body, field)
	}
}

func TestHeatmap(t *testing.T) {
	f := newFixture(t)
	require.NoError(t, f.boot("s0", 6))
	a := f.Do("admin", "GET", "/v1/heatmap.svg?class=VCPU", "").Want(200)
	require.Equal(t, "image/svg+xml", a.Header.Get("Content-Type"))
	require.NoError(t, xml.Unmarshal([]byte(a.Body), new(struct{})))
	require.Contains(t, a.Body, "6 of 8 used (75%)")
	require.Contains(t, a.Body, "h2: 0 of 8 used (0%), disabled")
	require.NotContains(t, f.Do("admin", "GET", "/v1/heatmap.svg?zone=az9", "").Body, "h0")
	for _, query := range []string{"class=%3Cscript%3E", "width=9", "width=x"} {
		f.Do("admin", "GET", "/v1/heatmap.svg?"+query, "").Want(400)
	}
}

func TestOnlyAdministratorsMayAsk(t *testing.T) {
	f := newFixture(t)
	for _, c := range [][2]string{{"GET", "/v1/decisions"}, {"GET", "/v1/decisions/1"}, {"POST", "/v1/explain"}, {"GET", "/v1/heatmap.svg"}} {
		for token, want := range map[string]int{"": 401, "bad": 401, "reader": 403, "member": 403} {
			body := ""
			if c[0] == "POST" {
				body = `{"explain": {}}`
			}
			a := f.Do(token, c[0], c[1], body)
			require.Equal(t, want, a.Status, "%s %s as %s: %s", c[0], c[1], token, a.Body)
		}
	}
	require.Contains(t, f.Do("", "GET", "/v1", "").Want(200).Body, `"CURRENT"`)
	f.Do("", "GET", "/", "").Want(300)
}

func TestEveryRouteNamesItsRule(t *testing.T) {
	apitest.RulesExist(t, explain.New(explain.Config{HTTP: httpapi.Config{Verifier: people}}).Routes(), explain.Rules())
}
