package compute_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// catalog is a service without hosts, for what needs none.
type catalog struct {
	*compute.Service
	t     testing.TB
	db    *store.DB
	clock *testClock
}

func (c catalog) as(userID, projectID string, roles ...string) context.Context {
	return nephos.WithCaller(c.t.Context(), nephos.Caller{UserID: userID, ProjectID: projectID, Roles: roles})
}

func (c catalog) admin() context.Context    { return c.as("root", "ops", "admin", "member", "reader") }
func (c catalog) user() context.Context     { return c.as(user, project, "member", "reader") }
func (c catalog) stranger() context.Context { return c.as("other", "other", "member", "reader") }

// beat lets a host appear.
func (c catalog) beat(names ...string) {
	c.t.Helper()
	for _, n := range names {
		b := driver.HostBeat{Host: n, AgentID: "a", BootID: "b"}
		b.Type, b.VCPUs, b.MemoryMiB, b.DiskGiB, b.FreeDiskGiB = "QEMU", 8, 16384, 100, 60
		require.NoError(c.t, c.Beat(c.t.Context(), b))
	}
}

func newCatalog(t testing.TB, db *store.DB, clock *testClock, config func(*compute.Config)) catalog {
	t.Helper()
	enforcer, err := policy.New(policy.Base(), compute.Rules())
	require.NoError(t, err)
	cfg := compute.Config{Store: db, Policy: enforcer, Clock: clock}
	if config != nil {
		config(&cfg)
	}
	s, err := compute.New(cfg)
	require.NoError(t, err)
	return catalog{s, t, db, clock}
}

// eachCatalog runs the test on both databases.
func eachCatalog(t *testing.T, f func(t *testing.T, c catalog)) {
	t.Helper()
	clock := newClock()
	storetest.Each(t, clock, []store.Migrations{compute.Migrations()}, func(t *testing.T, db *store.DB) {
		f(t, newCatalog(t, db, clock, nil))
	})
}

func sqliteCatalog(t testing.TB, config func(*compute.Config)) catalog {
	t.Helper()
	clock := newClock()
	return newCatalog(t, storetest.Open(t, clock, compute.Migrations()), clock, config)
}

func ref[T any](v T) *T { return &v }

func TestNobodyGetsNothing(t *testing.T) {
	c := sqliteCatalog(t, nil)
	ctx := t.Context()
	for name, f := range map[string]func() error{
		"flavors":    func() error { _, _, err := c.ListFlavors(ctx, compute.FlavorFilter{}, nephos.Page{}); return err },
		"flavor":     func() error { _, err := c.Flavor(ctx, "x"); return err },
		"keypairs":   func() error { _, _, err := c.ListKeyPairs(ctx, "", nephos.Page{}); return err },
		"group":      func() error { _, err := c.Group(ctx, "x"); return err },
		"groups":     func() error { _, _, err := c.ListGroups(ctx, compute.GroupFilter{}, nephos.Page{}); return err },
		"aggregates": func() error { _, err := c.ListAggregates(ctx); return err },
		"zones":      func() error { _, err := c.ListZones(ctx, false); return err },
		"limits":     func() error { _, err := c.Limits(ctx, ""); return err },
		"hypervisors": func() error {
			_, _, err := c.ListHypervisors(ctx, compute.HypervisorFilter{}, nephos.Page{})
			return err
		},
		"services":   func() error { _, err := c.ListServices(ctx, "", ""); return err },
		"extensions": func() error { return c.SeeExtensions(ctx) },
	} {
		require.ErrorIs(t, f(), nephos.ErrUnauthenticated, name)
	}
}

func TestMembersDoNotOperate(t *testing.T) {
	c := sqliteCatalog(t, nil)
	ctx := c.user()
	for name, f := range map[string]func() error{
		"create flavor":    func() error { _, err := c.CreateFlavor(ctx, compute.FlavorSpec{}); return err },
		"delete flavor":    func() error { return c.DeleteFlavor(ctx, "x") },
		"extra specs":      func() error { return c.CreateExtraSpecs(ctx, "x", nil, false) },
		"flavor access":    func() error { _, err := c.AddFlavorAccess(ctx, "x", "p"); return err },
		"other's keypairs": func() error { _, _, err := c.ListKeyPairs(ctx, "somebody", nephos.Page{}); return err },
		"aggregates":       func() error { _, err := c.ListAggregates(ctx); return err },
		"zones in detail":  func() error { _, err := c.ListZones(ctx, true); return err },
		"other's quotas":   func() error { _, err := c.Quotas(ctx, "somebody", "", false); return err },
		"own quotas":       func() error { _, err := c.UpdateQuotas(ctx, project, "", nil, false); return err },
		"other's limits":   func() error { _, err := c.Limits(ctx, "somebody"); return err },
		"hypervisors": func() error {
			_, _, err := c.ListHypervisors(ctx, compute.HypervisorFilter{}, nephos.Page{})
			return err
		},
		"services":     func() error { _, err := c.ListServices(ctx, "", ""); return err },
		"usage of all": func() error { _, _, err := c.ListUsage(ctx, compute.UsageFilter{}, nephos.Page{}); return err },
		"events":       func() error { _, err := c.ExternalEvents(ctx, nil); return err },
	} {
		require.ErrorIs(t, f(), nephos.ErrForbidden, name)
	}
}
