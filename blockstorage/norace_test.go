//go:build !race

package blockstorage_test

// stride is how many points a walk goes on from kill to kill. With the race
// detector, which takes ten times as long, it leaves points out: make unit walks
// them all without it.
const stride = 1
