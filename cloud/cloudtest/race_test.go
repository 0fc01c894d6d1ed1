//go:build race

package cloudtest_test

// race says that the race detector is on.
const race = true

// many is how many do the same at the same time. The race detector compares any
// two of them.
const many = 4
