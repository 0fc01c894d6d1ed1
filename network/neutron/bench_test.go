package neutron_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
)

// BenchmarkCreatePort makes ports over HTTP, each durable before its answer.
func BenchmarkCreatePort(b *testing.B) {
	enforcer, err := policy.New(policy.Base(), network.Rules())
	require.NoError(b, err)
	db, err := store.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "n.db"), store.Options{})
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Migrate(b.Context(), network.Migrations()))
	s, err := network.New(network.Config{Store: db, Policy: enforcer, Quotas: map[string]int{"port": -1}})
	require.NoError(b, err)
	c := serve(b, s)
	net := c.made("red", "/v2.0/networks", `{"network": {"name": "n"}}`)
	c.made("red", "/v2.0/subnets", `{"subnet": {"network_id": "`+net+`", "ip_version": 4, "cidr": "10.0.0.0/12"}}`)
	body := `{"port": {"network_id": "` + net + `"}}`
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, err := http.NewRequest("POST", c.URL+"/v2.0/ports", strings.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("X-Auth-Token", "red")
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != 201 {
				b.Errorf("status %d", resp.StatusCode)
			}
		}
	})
}
