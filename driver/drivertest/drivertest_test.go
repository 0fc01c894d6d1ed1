package drivertest_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/drivertest"
)

func TestRunner(t *testing.T) {
	var out strings.Builder
	var order []string
	var dir string
	tests := []drivertest.Test{
		{Name: "Pass", Run: func(t drivertest.T) {
			dir = t.TempDir()
			t.Cleanup(func() { order = append(order, "first") })
			t.Cleanup(func() {
				order = append(order, "second")
				require.Error(t, t.Context().Err(), "the context ends before the clean-up")
			})
			require.NoError(t, t.Context().Err())
			require.DirExists(t, dir)
		}},
		{Name: "Fail", Run: func(t drivertest.T) { require.Equal(t, 1, 2, "apples"); order = append(order, "never") }},
		{Name: "Panic", Run: func(drivertest.T) { panic("oh") }},
		{Name: "Skip", Run: func(t drivertest.T) { t.Skipf("no %s", "pears"); order = append(order, "never") }},
		{Name: "CleanupFails", Run: func(t drivertest.T) { t.Cleanup(func() { require.FailNow(t, "dirty") }) }},
		{Name: "Error", Run: func(t drivertest.T) { t.Error("goes on"); order = append(order, "on") }},
	}
	r := drivertest.Runner{Out: &out, Dir: t.TempDir(), Prefix: "Blob/"}.Run(t.Context(), tests)
	require.Equal(t, []int{1, 4, 1}, []int{r.Passed, r.Failed, r.Skipped})
	require.Equal(t, []string{"second", "first", "on"}, order)
	require.NoDirExists(t, dir)
	require.Contains(t, r.Outcomes[1].Log, "apples")
	require.Contains(t, r.Outcomes[2].Log, "oh")
	require.Equal(t, "Blob/Skip", r.Outcomes[3].Name)
	for _, want := range []string{"PASS Blob/Pass", "FAIL Blob/Fail", "SKIP Blob/Skip", "no pears", "dirty"} {
		require.Contains(t, out.String(), want)
	}
	_, err := os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	more := drivertest.Runner{}.Run(ctx, tests[:1])
	require.Equal(t, 1, more.Failed)
	r.Add(more)
	require.Equal(t, 5, r.Failed)
	require.Len(t, r.Outcomes, 7)
}

func TestATestThatDoesNotEndIsGivenUp(t *testing.T) {
	drivertest.SetLateness(t, 10*time.Millisecond)
	r := drivertest.Runner{Timeout: time.Millisecond}.Run(t.Context(), []drivertest.Test{
		{Name: "Obeys", Run: func(t drivertest.T) { <-t.Context().Done(); t.Fatal("late") }},
		{Name: "Hangs", Run: func(drivertest.T) { select {} }},
		{Name: "HangsAtTheEnd", Run: func(t drivertest.T) { t.Cleanup(func() { select {} }) }},
		{Name: "Ends", Run: func(drivertest.T) {}},
	})
	require.Equal(t, []int{1, 3}, []int{r.Passed, r.Failed})
	require.Contains(t, r.Outcomes[0].Log, "the test took longer than 1ms")
	require.Contains(t, r.Outcomes[1].Log, "was given up")
	require.Contains(t, r.Outcomes[2].Log, "was given up")
}
