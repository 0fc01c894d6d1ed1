package drivertest

import (
	"slices"
	"testing"
	"time"
)

// Catch is for tests of suites: it runs those of the tests that are named against
// a driver that breaks a promise on purpose, and fails t unless every one of them
// fails. Names that the suite does not have fail t too.
func Catch(t *testing.T, tests []Test, names ...string) {
	t.Helper()
	for _, name := range names {
		i := slices.IndexFunc(tests, func(test Test) bool { return test.Name == name })
		if i < 0 {
			t.Errorf("the suite has no test %s", name)
			continue
		}
		r := Runner{Timeout: time.Second, Dir: t.TempDir()}.Run(t.Context(), tests[i:i+1])
		if r.Failed != 1 {
			t.Errorf("%s did not notice:\n%s", name, r.Outcomes[0].Log)
		}
	}
}
