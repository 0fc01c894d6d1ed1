package fake_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

func TestGuestsBehaveAsTheyAreTold(t *testing.T) {
	clock := nephos.NewVirtualClock(time.Time{})
	d, err := fake.Open(fake.Config{Clock: clock, Behave: func(name, id string) fake.Behaviour {
		require.Equal(t, "web", name)
		if id == "b" {
			return fake.Behaviour{PowerOffAfter: 2 * time.Minute}
		}
		return fake.Behaviour{
			BootText: "hello\n", BootTime: time.Minute, CrashAfter: time.Hour,
			Booted: func(id string) string { return id + " is up\n" },
		}
	}})
	require.NoError(t, err)
	s := d.State()
	for _, id := range []string{"a", "b"} {
		require.NoError(t, d.Ensure(t.Context(), id, small()))
		require.NoError(t, d.Start(t.Context(), id))
	}
	require.Len(t, s.Guests(), 2)
	require.False(t, s.Play(clock.Now()), "it is too early")
	at, ok := s.NextPlay()
	require.True(t, ok)
	require.Equal(t, nephos.Epoch.Add(time.Minute), at)

	clock.AdvanceTo(at)
	require.True(t, s.Play(clock.Now()))
	require.False(t, s.Play(clock.Now()))
	log, err := s.Log("a")
	require.NoError(t, err)
	require.Equal(t, "hello\na is up\n", log)

	clock.Advance(time.Minute)
	require.True(t, s.Play(clock.Now()))
	state := func(id string) hypervisor.State {
		g, err := d.Get(t.Context(), id)
		require.NoError(t, err)
		return g.State
	}
	require.Equal(t, hypervisor.Stopped, state("b"))
	require.NoError(t, d.Pause(t.Context(), "a"))
	clock.Advance(time.Hour)
	require.False(t, s.Play(clock.Now()), "who is paused does nothing")
	require.NoError(t, d.Unpause(t.Context(), "a"))
	require.True(t, s.Play(clock.Now()))
	require.Equal(t, hypervisor.Crashed, state("a"))
	_, ok = s.NextPlay()
	require.False(t, ok)
	_, err = s.Log("nobody")
	require.ErrorIs(t, err, nephos.ErrNotFound)
}
