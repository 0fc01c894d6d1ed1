package nephos_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

func ExampleVirtualClock() {
	clock := nephos.NewVirtualClock(time.Time{})
	done := clock.Do(func() {
		_ = nephos.Sleep(context.Background(), clock, 10*time.Minute)
		fmt.Println("built at", clock.Now().Format(time.TimeOnly))
	})
	fmt.Println("done:", done)
	at, _ := clock.NextSleeper()
	fmt.Println("wakes at", at.Format(time.TimeOnly))
	clock.Advance(time.Hour)
	fmt.Println("now", clock.Now().Format(time.TimeOnly))
	// Output:
	// done: false
	// wakes at 00:10:00
	// built at 00:10:00
	// now 01:00:00
}

func TestAVirtualClockRunsSleepersInOrderOneAtATime(t *testing.T) {
	c := nephos.NewVirtualClock(time.Time{})
	var order []string
	for i, d := range []time.Duration{3, 1, 2, 1} {
		require.False(t, c.Do(func() {
			require.NoError(t, nephos.Sleep(t.Context(), c, d*time.Second))
			order = append(order, fmt.Sprint(i, " at ", c.Now().Second()))
			require.NoError(t, nephos.Sleep(t.Context(), c, 10*time.Second))
			order = append(order, fmt.Sprint(i, " at ", c.Now().Second()))
		}))
	}
	c.Advance(time.Minute)
	require.Equal(t, []string{"1 at 1", "3 at 1", "2 at 2", "0 at 3", "1 at 11", "3 at 11", "2 at 12", "0 at 13"}, order)
	require.Equal(t, nephos.Epoch.Add(time.Minute), c.Now())
	_, any := c.NextSleeper()
	require.False(t, any)
}

func TestAVirtualClockWakesWhoeverWaits(t *testing.T) {
	c := nephos.NewVirtualClock(time.Time{})
	soon, late := c.After(time.Second), c.After(time.Hour)
	require.Empty(t, soon)
	c.Advance(time.Minute)
	require.Equal(t, nephos.Epoch.Add(time.Second), <-soon)
	require.Empty(t, late)
	require.Len(t, c.After(0), 1)
	c.AdvanceTo(nephos.Epoch) // never back
	require.Equal(t, nephos.Epoch.Add(time.Minute), c.Now())
}

func TestASleepEndsWithItsContextAndAPanicReachesWhoWaits(t *testing.T) {
	c := nephos.NewVirtualClock(time.Time{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	require.False(t, c.Do(func() { ended <- nephos.Sleep(ctx, c, time.Hour) }))
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.PanicsWithValue(t, "boom", func() { c.Do(func() { panic("boom") }) })
	require.False(t, c.Do(func() { _ = nephos.Sleep(t.Context(), c, time.Second); panic("later") }))
	require.PanicsWithValue(t, "later", func() { c.Advance(time.Second) })
}

func TestASleepOutsideAnyWorkIsLetPass(t *testing.T) {
	c := nephos.NewVirtualClock(time.Time{})
	c.OnSleep(c.Advance)
	require.NoError(t, nephos.Sleep(t.Context(), c, time.Hour))
	require.Equal(t, nephos.Epoch.Add(time.Hour), c.Now())
}

func TestASeedGivesTheSameIDs(t *testing.T) {
	ids := func(seed uint64, name string) string { return nephos.IDs{Rand: nephos.Seeded(seed, name)}.New() }
	require.Equal(t, ids(1, "a"), ids(1, "a"))
	require.NotEqual(t, ids(1, "a"), ids(2, "a"))
	require.NotEqual(t, ids(1, "a"), ids(1, "b"))
	b := make([]byte, 8)
	_, err := io.ReadFull(nephos.Seeded(1, ""), b)
	require.NoError(t, err)
	require.NotEqual(t, make([]byte, 8), b)
}
