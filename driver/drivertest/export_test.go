package drivertest

import (
	"testing"
	"time"
)

// SetLateness changes how long a late test is waited for, until t ends.
func SetLateness(t *testing.T, d time.Duration) {
	before := lateness
	lateness = d
	t.Cleanup(func() { lateness = before })
}
