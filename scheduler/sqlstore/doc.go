// Package sqlstore keeps claims: which host has what, and which consumer uses
// how much of it, in a database.
//
// [Store.PutHost] says what a host has. [Store.Schedule] lets a
// [scheduler.Scheduler] decide on a snapshot in memory and then claims the
// winner's capacity in one transaction, together with whatever the caller
// writes beside it:
//
//	d, err := s.Schedule(ctx, req, sqlstore.Options{Consumer: c}, func(ctx context.Context, tx *store.Tx, host scheduler.HostRef) error {
//		return placed(ctx, tx, server, host.ID)
//	})
//
// # What is promised
//
// No host's use ever exceeds its capacity by a claim, whatever the contention:
// the sum of use per host and class is a row of its own, changed in the claim's
// transaction and only where it fits. The snapshot is a hint; a decision on an
// old one is found out in the transaction, which then takes an alternate.
// A claim is there or not there, also after a crash, since nothing about it is
// kept elsewhere. A consumer's second claim finds its first.
//
// # The rows
//
// The tables are those that the Placement API needs: a host is a root resource
// provider, a claim a consumer's allocations. The package placement speaks that
// API over the resource-by-resource operations of this one ([Store.Provider],
// [Store.SetInventories], [Store.SetAllocations] and so on), and what it changes
// is seen by the next decision. This package asks no policy; whoever exposes it
// does.
package sqlstore
