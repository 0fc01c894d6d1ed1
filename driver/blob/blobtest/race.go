//go:build race

package blobtest

// race says that the race detector is on, which follows every byte. Of the bodies
// of megabytes the suite then sends fewer, none of them shorter.
const race = true
