package eventfeed_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/internal/eventfeed"
)

func TestFeed(t *testing.T) {
	var feed eventfeed.Feed[int]
	feed.Tell(-1) // nobody reads
	ctx, cancel := context.WithCancel(t.Context())
	leaves, err := feed.Subscribe(ctx)
	require.NoError(t, err)
	stays, err := feed.Subscribe(t.Context())
	require.NoError(t, err)
	feed.Tell(1)
	cancel()
	require.Equal(t, 1, <-leaves)
	_, open := <-leaves
	require.False(t, open, "its context has ended")
	_, err = feed.Subscribe(ctx)
	require.ErrorIs(t, err, context.Canceled)

	feed.Tell(2)
	feed.Close()
	feed.Close()
	feed.Tell(3)
	var got []int
	for n := range stays {
		got = append(got, n)
	}
	require.Equal(t, []int{1, 2}, got)
	_, err = feed.Subscribe(t.Context())
	require.ErrorIs(t, err, nephos.ErrUnavailable)
}

func TestSleeperLosesTheOldest(t *testing.T) {
	var feed eventfeed.Feed[int]
	sleeper, err := feed.Subscribe(t.Context())
	require.NoError(t, err)
	const more = 10
	last := cap(sleeper) + more
	for n := 1; n <= last; n++ {
		feed.Tell(n)
	}
	feed.Close()
	next := more + 1
	for n := range sleeper {
		require.Equal(t, next, n)
		next++
	}
	require.Equal(t, last+1, next)
}
