//go:build !race

package blobtest_test

// someOf says that every broken driver is tried.
const someOf = 1
