package httpapi_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// oneToken is a Verifier for the example; a real one is the Identity service.
type oneToken string

func (t oneToken) Verify(_ context.Context, token string) (nephos.Caller, error) {
	if token != string(t) {
		return nephos.Caller{}, nephos.Errorf(nephos.ErrUnauthenticated, "The token is not known.")
	}
	return nephos.Caller{UserID: "alice", ProjectID: "p1"}, nil
}

// An API with one resource, and what clients see of it.
func Example() {
	api := httpapi.New(httpapi.Config{
		Service:  "compute",
		Faults:   httpapi.NovaFault,
		Verifier: oneToken("secret"),
		Versions: &httpapi.VersionRange{Min: httpapi.V(2, 1), Max: httpapi.V(2, 96)},
	})

	type flavor struct {
		ID          string  `json:"id"`
		Description *string `json:"description,omitempty"`
	}
	// The description came with microversion 2.55: older clients do not see it.
	edits := httpapi.Edits[flavor]{{
		Version: httpapi.V(2, 55),
		Apply:   func(f *flavor) error { f.Description = nil; return nil },
	}}
	api.Add(httpapi.Route{
		Pattern: "GET /v2.1/flavors/{id}",
		Rules:   []string{"os_compute_api:flavors:show"},
		Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
			id := r.PathValue("id")
			if id != "small" {
				return nil, nephos.NotFound("Flavor", id)
			}
			text := "one of everything"
			f := flavor{ID: id, Description: &text}
			if err := edits.Down(r.Version, &f); err != nil {
				return nil, err
			}
			return httpapi.OK(map[string]flavor{"flavor": f}), nil
		},
	})

	show := func(path, version string) {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("X-Auth-Token", "secret")
		r.Header.Set("OpenStack-API-Version", "compute "+version)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	show("/v2.1/flavors/small", "2.1")
	show("/v2.1/flavors/small", "latest")
	show("/v2.1/flavors/huge", "2.1")
	// Output:
	// 200 {"flavor":{"id":"small"}}
	// 200 {"flavor":{"id":"small","description":"one of everything"}}
	// 404 {"itemNotFound":{"code":404,"message":"Flavor huge could not be found."}}
}
