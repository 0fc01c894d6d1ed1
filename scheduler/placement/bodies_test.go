package placement_test

import "testing"

func TestBadBodies(t *testing.T) {
	f := newFixture(t)
	f.do(newest, "POST", "/resource_providers", obj{"name": "one", "uuid": rp1}, 200)
	f.Answers("testdata/bad_bodies.txt")
}
