package cinder_test

import "testing"

func TestBadBodies(t *testing.T) {
	serve(t).Answers("testdata/bad_bodies.txt")
}
