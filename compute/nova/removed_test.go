package nova_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRemovedAPIs(t *testing.T) {
	s := serveCatalog(t)
	const gone = `{"computeFault":{"code":410,"message":"This resource is no longer available. No forwarding address is given."}}`
	for _, path := range []string{"/os-cells", "/os-cells/x/capacities", "/os-fping/x", "/os-agents", "/os-certificates/x", "/servers/x/os-virtual-interfaces", "/servers/x/consoles"} {
		for _, version := range []string{"2.1", "2.50", "latest"} {
			require.JSONEq(t, gone, s.Do("member", "GET "+version, "/v2.1"+path, "").Want(410).Body)
		}
	}
	require.JSONEq(t, gone, s.Do("member", "DELETE 2.1", "/v2.1/os-networks/x", "").Want(410).Body)
	require.JSONEq(t, gone, s.Do("member", "POST 2.1", "/v2.1/os-tenant-networks", "{}").Want(410).Body)
	for path, version := range map[string]string{"/images": "2.36", "/images/x/metadata": "2.50", "/os-networks": "latest", "/os-floating-ips": "2.36", "/os-hosts": "2.43"} {
		a := s.Do("member", "GET "+version, "/v2.1/"+memberProject+path, "")
		a.Fault(404, "The resource could not be found.")
		require.Equal(t, "compute", strings.Fields(a.Header.Get("OpenStack-API-Version"))[0], path)
	}
	s.Do("stranger", "GET 2.50", "/v2.1/"+memberProject+"/os-cells", "").Want(400)
}

// An empty body is Python's None to the schemas, and nothing to the actions.
func TestEmptyBodies(t *testing.T) {
	s := serveCatalog(t)
	s.Do("admin", "POST 2.96", "/v2.1/flavors", "").Fault(400, "None is not of type 'object'")
	s.Do("member", "POST 2.96", "/v2.1/servers", "").Fault(400, "None is not of type 'object'")
	s.Do("member", "POST 2.96", "/v2.1/servers/x/action", "").Fault(400, "Malformed request body")
}

// Queries that are not text are refused, and what no database has is not found.
func TestQueriesThatNoDatabaseTakes(t *testing.T) {
	s := serveCatalog(t)
	for _, path := range []string{"/servers?name=%ff", "/servers/detail?%C3%28=x", "/flavors?x=%ff", "/os-hypervisors?limit=%ff"} {
		s.Do("admin", "GET 2.96", "/v2.1"+path, "").Fault(400, "Query string is not UTF-8 encoded")
	}
	require.Empty(t, s.Do("admin", "GET 2.60", "/v2.1/os-keypairs?user_id=a%00b", "").Want(200).Get("keypairs"))
	require.Empty(t, s.Do("admin", "GET 2.60", "/v2.1/os-migrations?host=%00&instance_uuid=%00", "").Want(200).Get("migrations"))
	for _, name := range []string{"name", "power_state", "host", "uuid", "ip", "user_id", "tags", "vm_state", "description"} {
		require.Empty(t, s.Do("admin", "GET 2.60", "/v2.1/servers/detail?"+name+"=a%00b", "").Want(200).Get("servers"), name)
	}
}

// Text that a database does not take is refused where no pattern does it.
func TestBodiesWithNUL(t *testing.T) {
	s := serveCatalog(t)
	flavor := s.Do("admin", "POST 2.96", "/v2.1/flavors", `{"flavor": {"name": "f", "ram": 64, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": false}}`).Want(200).Text("flavor", "id")
	for body, message := range map[string]string{
		`{"addTenantAccess": {"tenant": "a\u0000b"}}`:    "Malformed request body",
		`{"removeTenantAccess": {"tenant": "a\u0000b"}}`: "Malformed request body",
	} {
		s.Do("admin", "POST 2.96", "/v2.1/flavors/"+flavor+"/action", body).Fault(400, message)
	}
}

// Nova's patterns end with the basic plane.
func TestNamesAreOfTheBasicPlane(t *testing.T) {
	s := serveCatalog(t)
	for name, status := range map[string]int{"é": 200, "日本": 200, "\ufffd": 200, "💥": 400, "a\u200b": 400, "\ue000": 400} {
		s.Do("admin", "POST 2.96", "/v2.1/flavors", `{"flavor": {"name": "`+name+`", "ram": 64, "vcpus": 1, "disk": 1}}`).Want(status)
		s.Do("admin", "POST 2.96", "/v2.1/os-aggregates", `{"aggregate": {"name": "`+name+`"}}`).Want(status)
	}
}

func TestTagsOfServersThatAreNotThere(t *testing.T) {
	s := serveCatalog(t)
	const gone = "Instance 11111111-1111-4111-8111-111111111111 has no mapping to a cell."
	path := "/v2.1/servers/11111111-1111-4111-8111-111111111111/tags"
	for _, request := range []string{"GET", "DELETE"} {
		s.Do("member", request+" 2.96", path, "").Fault(404, gone)
		s.Do("member", request+" 2.96", path+"/a", "").Fault(404, gone)
	}
	s.Do("member", "PUT 2.96", path, `{"tags": ["a"]}`).Fault(404, gone)
	s.Do("member", "PUT 2.96", path+"/a", "").Fault(404, gone)
}
