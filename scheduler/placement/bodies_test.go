package placement_test

import (
	"testing"

	"github.com/nephos-cloud/nephos/httpapi/apitest"
)

func TestBadBodies(t *testing.T) {
	f := newFixture(t)
	f.do(newest, "POST", "/resource_providers", obj{"name": "one", "uuid": rp1}, 200)
	s := apitest.Server{T: t, URL: f.server.URL + "/placement", Service: "placement"}
	s.Answers("testdata/bad_bodies.txt")
}
