// Package scheduler decides which host carries a request: pure functions over
// a [Snapshot] of the hosts, without I/O, clocks or goroutines of its own.
//
// A decision has three steps. Every [Filter] is asked about every host that is
// still in the running, and turns away those that cannot serve the [Request].
// Every [Weigher] gives the remaining hosts a number; the numbers are
// normalised to 0..1 over those hosts, multiplied and added up. The best sum
// wins; equal sums are settled by the seed, so that the same snapshot, request
// and seed always give the same host.
//
//	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
//	_ = snap.Put(scheduler.Host{ID: "h1", Up: true, Enabled: true, Inventory: …})
//	s, _ := scheduler.New(scheduler.Config{})
//	d, err := s.Select(snap, scheduler.Request{ID: server, Resources: want}, scheduler.Options{Seed: 1})
//
// A decision claims nothing. Whoever acts on it claims the winner's capacity
// atomically where the claims are kept, and takes the next of the winner's
// alternates when another request was faster.
//
// Every [Decision], also one without a host, carries an [Explanation]: how many
// hosts each filter turned away and why, the numbers it saw, the weights of the
// best hosts, and what the nearest miss lacked. [Scheduler.Explain] tells all
// about every host, and claims as little.
//
// # Which filters and weighers
//
// The zero [Config] decides as Nova does. [FilterNamed] and [WeigherNamed] know
// the others by Nova's names, [Preset] the ways to choose by one word, and
// package scheduler/config makes a scheduler of a file. Package scheduler/cel
// makes filters and weighers of expressions, package scheduler/extension of
// programs.
//
// [NUMATopologyFilter] and [PciPassthroughFilter] find room in the NUMA cells and
// among the devices of a host; [Choice.Claim] then says what is claimed there.
//
// # Pools of storage
//
// [NewPools] and [Scheduler.SelectPool] choose pools of storage for volumes by
// the same steps, with filters and weighers for what pools are about.
//
// # Writing a filter
//
// A filter is prepared once for a request and answers with a [Check], the
// function that judges one host; a zero Check asks nothing, and costs nothing.
// What many hosts have in common (zone, traits, attributes, aggregates) is kept
// once in the snapshot as a profile: a Check that looks at nothing else sets
// Shared and is asked once for each profile, not once for each host.
// [NewFilter] makes a filter of a plain function. A filter that panics turns the
// host away; it never stops the scheduler.
//
// # Concurrency
//
// All methods of Snapshot and [Scheduler] may be called at the same time.
// A call of Select sees one state of the snapshot from beginning to end; Put,
// Remove, Claim, Release and SetUsage wait until it is done. Filters and
// weighers run inside Select: they must not call methods of the Snapshot,
// nor keep a [HostView] after they return.
package scheduler
