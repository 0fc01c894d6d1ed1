package keyed_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/internal/keyed"
)

func TestLock(t *testing.T) {
	var locks keyed.Locks
	first, err := locks.Lock(t.Context(), "a")
	require.NoError(t, err)
	other, err := locks.Lock(t.Context(), "b")
	require.NoError(t, err, "another key does not wait")
	other()

	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error)
	go func() {
		_, err := locks.Lock(ctx, "a")
		gaveUp <- err
	}()
	cancel()
	require.ErrorIs(t, <-gaveUp, context.Canceled)

	got := make(chan func())
	go func() {
		unlock, err := locks.Lock(t.Context(), "a")
		if err != nil {
			unlock = nil
		}
		got <- unlock
	}()
	select {
	case <-got:
		t.Fatal("two have the lock of one key")
	default:
	}
	first()
	second := <-got
	require.NotNil(t, second)
	second()
	_, err = locks.Lock(ctx, "a")
	require.ErrorIs(t, err, context.Canceled, "a free lock is not given to who has given up")
	again, err := locks.Lock(t.Context(), "a")
	require.NoError(t, err)
	again()
}
