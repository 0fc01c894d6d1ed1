//go:build !race

package volumetest_test

// someOf says that every broken driver is tried.
const someOf = 1
