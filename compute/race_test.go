//go:build race

package compute_test

// race says that the race detector is on.
const race = true
