//go:build race

package cloudtest_test

// race says that the race detector is on.
const race = true
