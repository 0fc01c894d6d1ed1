//go:build !race

package inspect_test

// race says that the race detector is on.
const race = false
