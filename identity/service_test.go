package identity_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// clock is a time that only the test moves.
type clock = nephos.VirtualClock

func newClock() *clock {
	return nephos.NewVirtualClock(time.Date(2030, 1, 2, 3, 4, 5, 678_000, time.UTC))
}

// fixture is a service on a fresh database.
type fixture struct {
	*identity.Service
	t     testing.TB
	db    *store.DB
	clock *clock
	keys  *identity.Keys
	// admin is a context that may do anything.
	admin context.Context
}

func newService(t testing.TB, db *store.DB, c *clock, keys *identity.Keys) *identity.Service {
	t.Helper()
	enforcer, err := policy.New(policy.Base(), identity.Rules())
	require.NoError(t, err)
	s, err := identity.New(identity.Config{Store: db, Policy: enforcer, Clock: c, Keys: keys, BcryptCost: 4})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func newFixture(t testing.TB, db *store.DB, c *clock) *fixture {
	t.Helper()
	keys := identity.MemoryKeys(nil)
	return &fixture{
		Service: newService(t, db, c, keys), t: t, db: db, clock: c, keys: keys,
		admin: nephos.WithCaller(t.Context(), nephos.Caller{UserID: "root", ProjectID: "p", Roles: []string{"admin"}}),
	}
}

// each runs the test on both databases.
func each(t *testing.T, f func(t *testing.T, f *fixture)) {
	t.Helper()
	c := newClock()
	storetest.Each(t, c, []store.Migrations{identity.Migrations()}, func(t *testing.T, db *store.DB) {
		f(t, newFixture(t, db, c))
	})
}

// sqlite is for what no database can change.
func sqlite(t testing.TB) *fixture {
	t.Helper()
	c := newClock()
	return newFixture(t, storetest.Open(t, c, identity.Migrations()), c)
}

func ptr[T any](v T) *T { return &v }
