//go:build race

package volumetest_test

// someOf says that only one of so many broken drivers is tried: the race detector
// makes them dear, and has nothing to look for in them.
const someOf = 5
