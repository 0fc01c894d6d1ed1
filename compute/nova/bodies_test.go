package nova_test

import "testing"

func TestBadBodies(t *testing.T) {
	serveCatalog(t).Answers("testdata/bad_bodies.txt")
}
