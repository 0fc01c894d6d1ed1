package cloudtest

import (
	"context"
	"path"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/store"
)

// Events returns the events of a resource in the order in which they happened;
// of all resources if the id is empty.
func (c *Cloud) Events(resourceID string) []store.Event {
	c.t.Helper()
	var found []store.Event
	for after := int64(0); ; {
		some, err := c.Store.Events(context.Background(), after, 1000)
		require.NoError(c.t, err)
		if len(some) == 0 {
			return found
		}
		for _, e := range some {
			after = e.Seq
			if resourceID == "" || e.ResourceID == resourceID {
				found = append(found, e)
			}
		}
	}
}

// ExpectEvents fails the test unless the resource's events include, in that
// order, one for each of the patterns, such as "server.create" or "port.*".
func (c *Cloud) ExpectEvents(resourceID string, patterns ...string) {
	c.t.Helper()
	var types []string
	left := patterns
	for _, e := range c.Events(resourceID) {
		types = append(types, e.Type)
		if len(left) == 0 {
			continue
		}
		ok, err := path.Match(left[0], e.Type)
		require.NoError(c.t, err, "the pattern %q", left[0])
		if ok {
			left = left[1:]
		}
	}
	if len(left) > 0 {
		c.t.Fatalf("no event %s of %s after those before it; there were:\n%s", left[0], resourceID, strings.Join(types, "\n"))
	}
}
