package keystone_test

import "testing"

func TestBadBodies(t *testing.T) {
	serve(t, cast).Answers("testdata/bad_bodies.txt")
}
