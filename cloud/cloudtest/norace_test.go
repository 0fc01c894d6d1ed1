//go:build !race

package cloudtest_test

// race says that the race detector is on.
const race = false

// many is how many do the same at the same time.
const many = 8
