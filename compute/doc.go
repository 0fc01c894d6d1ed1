// Package compute runs servers: it does Nova's job.
//
// A [Service] keeps servers, flavors, keypairs, server groups, aggregates, hosts
// and quotas in a database. What happens on a host it does not do itself: it
// sends the host the whole desired state of a server (hypervisor.Server, by
// driver.Fleet) and hears what came of it ([Service.Reported]).
//
// # A server's life
//
// [Service.Boot] checks everything and makes the record in one transaction. Then
// work of kind "compute.server" takes it through its phases, each step
// idempotent:
//
//	schedule   a host is chosen and its capacity claimed
//	connect    ports and volumes are made or taken, bound to the host
//	place      the host is sent the server, complete
//	wait       until the host reports, or the deadline passes
//	live       nothing to do until somebody wants something else
//	unplace    the host is told to forget the server: to try another one
//	release    everything is given back: the build failed
//	deleting   the same, and the record goes
//
// Every change of wishes (power, disks, cards) raises the record's revision and
// sends the whole server again. A host destroys only by a tombstone; tombstones
// are kept until the host has confirmed them.
//
// # Where to read on
//
// boot.go is the request, reconcile.go the phases, observe.go what hosts say,
// spec.go what hosts are sent. The package nova speaks the Compute API over the
// interfaces of this one; metadata makes what guests see of themselves, console
// the door to their screens.
package compute
