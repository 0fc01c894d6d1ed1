// Package faults makes a cloud fail on purpose, as data: rules that say what goes
// wrong, where, how often. It works in the program that runs in production, and
// only where its main asks for it:
//
//	set := faults.New(faults.Config{Seed: 1})
//	c, err := cloud.New(ctx, cloud.Config{Faults: set, …})
//
//	set.Add(faults.Rule{ // the next two boots fail as Nova fails
//		Point: faults.API, Effect: faults.Error,
//		Service: "compute", Operation: "POST /servers", Status: 503, Count: 2,
//	})
//
// A [Rule] hits at one of these points:
//
//   - [API]: a request to one of the cloud's APIs, whose token and path are good.
//     It is answered with an error in that service's own dialect, or late, or its
//     connection is dropped, before the work is done or after it.
//   - [Driver]: a call of a hypervisor, a network, a pool of volumes or a store
//     of images.
//   - [Bus]: a message between the controllers and a host, which is lost or comes
//     twice. A bus that loses says so in the end, and the controllers publish
//     again, as the contract of package bus has it.
//   - [Host]: a host is dead to the controllers: its heartbeats are lost, and all
//     else waits until the rule is removed.
//   - [Step]: the process ends at a crash point between the steps of durable
//     work, as kill -9 ends it.
//
// All fields of a rule that are set must match. Of the rules that match, every
// latency is suffered and the first other one decides. What is left to chance
// follows from the seed.
//
// [API] rules and all others are managed over HTTP as well, by admins, under
// /faults: see [Set.API].
package faults
