package neutron

import "github.com/nephos-cloud/nephos/httpapi"

// waitFor says how clients wait for a resource that has a status; nil for one
// that has none.
func waitFor(singular string) *httpapi.Wait {
	switch singular {
	case "network", "port", "router", "floatingip":
		return &httpapi.Wait{
			Field: singular + ".status", States: []string{"ACTIVE", "BUILD", "DOWN", "ERROR", "N/A"}, End: []string{"ERROR"},
		}
	}
	return nil
}
