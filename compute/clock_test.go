package compute_test

import (
	"time"

	"github.com/nephos-cloud/nephos"
)

// testClock stands still until it is told, but that no two things happen at once.
type testClock struct{ *nephos.VirtualClock }

func newClock() *testClock {
	return &testClock{nephos.NewVirtualClock(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))}
}

func (c *testClock) Now() time.Time {
	c.Advance(time.Microsecond)
	return c.VirtualClock.Now()
}
