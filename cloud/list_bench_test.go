package cloud_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
)

// BenchmarkServersDetail lists 1,000 servers with one card each.
func BenchmarkServersDetail(b *testing.B) {
	c := cloudtest.New(b)
	p := c.Provider(b)
	call := func(method, path, body string) []byte {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("X-Auth-Token", p.Token())
		r.Header.Set("Content-Type", "application/json")
		if method == "PUT" && strings.HasSuffix(path, "/file") {
			r.Header.Set("Content-Type", "application/octet-stream")
		}
		c.Handler().ServeHTTP(w, r)
		require.Less(b, w.Code, 300, "%s %s: %s", method, path, w.Body)
		return w.Body.Bytes()
	}
	id := func(body []byte, in string) string {
		var out map[string]json.RawMessage
		var one struct{ ID string }
		require.NoError(b, json.Unmarshal(body, &out))
		if in == "" {
			require.NoError(b, json.Unmarshal(body, &one))
		} else {
			require.NoError(b, json.Unmarshal(out[in], &one))
		}
		return one.ID
	}
	const n = 1000
	var who struct {
		Token struct{ Project struct{ ID string } }
	}
	r := httptest.NewRequest("GET", "/identity/v3/auth/tokens", nil)
	r.Header.Set("X-Auth-Token", p.Token())
	r.Header.Set("X-Subject-Token", p.Token())
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, r)
	require.NoError(b, json.Unmarshal(w.Body.Bytes(), &who))
	call("PUT", "/compute/v2.1/os-quota-sets/"+who.Token.Project.ID, `{"quota_set":{"instances":-1,"cores":-1,"ram":-1}}`)
	call("PUT", "/network/v2.0/quotas/"+who.Token.Project.ID, `{"quota":{"port":-1}}`)
	image := id(call("POST", "/image/v2/images", `{"name":"i","disk_format":"raw","container_format":"bare"}`), "")
	call("PUT", "/image/v2/images/"+image+"/file", strings.Repeat("x", 512))
	network := id(call("POST", "/network/v2.0/networks", `{"network":{"name":"n"}}`), "network")
	call("POST", "/network/v2.0/subnets", `{"subnet":{"network_id":"`+network+`","cidr":"10.0.0.0/16","ip_version":4}}`)
	for range n / 100 {
		call("POST", "/compute/v2.1/servers", fmt.Sprintf(
			`{"server":{"name":"s","imageRef":%q,"flavorRef":"1","networks":[{"uuid":%q}],"min_count":100,"max_count":100}}`, image, network))
	}
	for strings.Count(string(call("GET", "/compute/v2.1/servers/detail?status=ACTIVE", "")), `"hostId"`) < n {
	}
	b.ReportAllocs()
	for b.Loop() {
		call("GET", "/compute/v2.1/servers/detail", "")
	}
}
