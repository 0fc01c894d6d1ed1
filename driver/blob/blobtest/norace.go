//go:build !race

package blobtest

// race says that the race detector is on.
const race = false
