// Package driver holds what the kinds of driver share, and is the guide for
// somebody who writes one.
//
// # Kinds
//
// There are four kinds, each a package below this one with a small required
// interface named Driver: hypervisor (guests on one host), network (networks,
// ports and routers on one host), volume (a pool of block storage) and blob
// (objects, such as image bytes). A driver implements the interface of its
// kind; users hold the kind's concrete type (hypervisor.Node, network.Node,
// volume.Pool, blob.Store), which asks for abilities once and keeps deadlines
// in one place.
//
// # Duties
//
// Every call takes ctx first and honours its cancellation; takes our ID, never
// one of the driver's own; and is idempotent: Ensure converges whatever it
// finds (nothing, half of it, an older revision, exactly it) to the whole spec
// it is given, and Delete of what is not there succeeds. Calls with different
// IDs run concurrently; calls with the same ID are serialised by the caller,
// but a driver must not lose data if they are not.
//
// A driver keeps no database. What it made carries our labels (cloud ID and
// object ID), so that List after a restart, or after kill -9 at any moment,
// tells what is there. Nothing is destroyed because it is unknown.
//
// # Abilities
//
// What not every driver can do is a further small interface of the kind's
// package (Pauser, Snapshotter and so on). Implementing one offers it. A driver
// whose method set cannot vary, such as a proxy, implements Abilities to narrow
// the offer. Calling an absent ability gives an error that wraps
// errors.ErrUnsupported.
//
// # Errors
//
// Errors wrap the sentinels of package nephos: ErrNotFound for an ID that does
// not exist, ErrInvalid for a spec that can never work, ErrConflict for a state
// that forbids it now, ErrNoCapacity for a full host or pool, ErrUnavailable for
// what a retry may cure. Anything else is taken as a failure worth retrying
// until the operation's deadline passes.
package driver
