package nova

import (
	"net/http"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// removedRoutes are what Nova served once. Part of it says that it is gone, in
// every microversion; the other part, proxies of other services mostly, is not
// found in the microversions since it ended, nor in those before, where it is not
// built.
func (a *api) removedRoutes() []httpapi.Route {
	var routes []httpapi.Route
	add := func(list, since string, h httpapi.Handler) {
		for line := range strings.Lines(list) {
			words := strings.Fields(line)
			for _, method := range words[1:] {
				routes = append(routes, httpapi.Route{Pattern: method + " " + root + words[0], Rules: []string{"@"}, Min: since, Missing: true, Handler: h})
			}
		}
	}
	add(gone, "", func(*httpapi.Request) (*httpapi.Response, error) {
		return nil, httpapi.WithStatus(http.StatusGone, invalid("This resource is no longer available. No forwarding address is given."))
	})
	missing := func(*httpapi.Request) (*httpapi.Response, error) {
		return nil, nephos.Errorf(nephos.ErrNotFound, "The resource could not be found.")
	}
	add(proxies, "2.36", missing)
	add(hosts, "2.43", missing)
	return slices.Clip(routes)
}

const gone = `/os-agents GET POST
	/os-agents/{id} PUT DELETE
	/os-cells GET POST
	/os-cells/capacities GET
	/os-cells/detail GET
	/os-cells/info GET
	/os-cells/sync_instances POST
	/os-cells/{id} GET PUT DELETE
	/os-cells/{id}/capacities GET
	/os-certificates POST
	/os-certificates/{id} GET
	/os-cloudpipe GET POST
	/os-cloudpipe/{id} PUT
	/os-fixed-ips/{id} GET
	/os-floating-ip-dns GET
	/os-floating-ip-dns/{id} PUT DELETE
	/os-floating-ip-dns/{domain_id}/entries/{id} GET PUT DELETE
	/os-floating-ips-bulk GET POST
	/os-floating-ips-bulk/{id} GET PUT
	/os-fping GET
	/os-fping/{id} GET
	/os-networks POST
	/os-networks/add POST
	/os-networks/{id} DELETE
	/os-security-group-default-rules GET POST
	/os-security-group-default-rules/{id} GET DELETE
	/os-tenant-networks POST
	/os-tenant-networks/{id} DELETE
	/servers/{id}/consoles GET POST
	/servers/{id}/consoles/{console} GET DELETE
	/servers/{id}/os-virtual-interfaces GET`

const proxies = `/images GET
	/images/detail GET
	/images/{id} GET DELETE
	/images/{id}/metadata GET POST PUT
	/images/{id}/metadata/{key} GET PUT DELETE
	/os-baremetal-nodes GET POST
	/os-baremetal-nodes/{id} GET DELETE
	/os-floating-ip-pools GET
	/os-floating-ips GET POST
	/os-floating-ips/{id} GET DELETE
	/os-networks GET
	/os-networks/{id} GET
	/os-snapshots GET POST
	/os-snapshots/detail GET
	/os-snapshots/{id} GET DELETE
	/os-tenant-networks GET
	/os-tenant-networks/{id} GET
	/os-volumes GET POST
	/os-volumes/detail GET
	/os-volumes/{id} GET DELETE`

const hosts = `/os-hosts GET
	/os-hosts/{id} GET PUT
	/os-hosts/{id}/reboot GET
	/os-hosts/{id}/shutdown GET
	/os-hosts/{id}/startup GET`
