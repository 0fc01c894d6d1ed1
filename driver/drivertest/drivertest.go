// Package drivertest is what the conformance suites of all kinds of driver
// share: what a suite needs of a test, and two ways to run one.
//
// A suite (hypervisortest, networktest, volumetest, blobtest, extensiontest) is a list of
// [Test]. Its Run function runs them as subtests of a Go test; a program that
// is no test, such as the one that certifies plugins, gets the same list from
// its Tests function and gives it to a [Runner].
package drivertest

import (
	"context"
	"testing"
)

// T is what a suite needs of the test that it runs in. Every testing.TB is one,
// and so is what a [Runner] passes. FailNow, Fatal, Fatalf, Skip and Skipf end
// the test by ending its goroutine, as those of package testing do.
type T interface {
	Name() string
	// Context is cancelled just before the functions given to Cleanup run.
	Context() context.Context
	// TempDir is an empty directory, a new one each time, gone after the test.
	TempDir() string
	// Cleanup has f called when the test has ended, last given first called.
	Cleanup(f func())
	Helper()
	Log(args ...any)
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	FailNow()
	Failed() bool
	Skip(args ...any)
	Skipf(format string, args ...any)
	Skipped() bool
}

var _ T = testing.TB(nil)

// Test is one test of a suite. Tests do not depend on one another.
type Test struct {
	Name string
	Run  func(t T)
}

// Run runs the tests as subtests.
func Run(t *testing.T, tests []Test) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.Name, func(t *testing.T) { test.Run(t) })
	}
}
