//go:build race

package placement_test

// race says that the race detector is on.
const race = true
