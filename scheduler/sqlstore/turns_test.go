package sqlstore

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTurnsAreTakenInOrderAndBounded(t *testing.T) {
	turns := turns{limit: 2}
	a, b := turns.take(t.Context()), turns.take(t.Context())
	took := make(chan func())
	go func() { took <- turns.take(t.Context()) }()
	c := <-took // a and b do not end, and it has waited long enough
	require.Equal(t, 3, turns.taken)
	c()
	go func() { took <- turns.take(t.Context()) }()
	a()
	d := <-took
	require.Equal(t, 2, turns.taken)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	turns.take(ctx)() // the transaction that follows fails by itself
	b()
	d()
	require.Zero(t, turns.taken)
	require.Empty(t, turns.waiting)
}
