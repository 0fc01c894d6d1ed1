// Package cloudtest gives a Go test a whole cloud: the production code over
// simulated hosts, on a throw-away database, in a few milliseconds.
//
//	c := cloudtest.New(t)
//	p := c.Project()                        // project, user, network, image, keypair …
//	compute := p.Compute()                  // gophercloud, logged in as its member
//	server, err := servers.Create(ctx, compute, …).Extract()
//	c.Settle()                              // all that takes time has happened
//	c.NoLeaks(t)
//
// Any client works: [Cloud.Client] is an http.Client that calls the handlers
// without a socket, [Cloud.Provider] a gophercloud client,
// [Cloud.CloudsYAML] a clouds.yaml. With [Options.Listen] the cloud listens on a
// port of the loopback interface as well, for clients in other processes.
//
// # Time
//
// Unless it is told otherwise the cloud has a clock of its own, which stands
// still, and no goroutines: nothing happens behind the test's back. Each request
// through the cloud's client or listener first has the cloud do all that is due, so that a client
// that asks until a server is ACTIVE sees it become ACTIVE. What takes time
// (a slow boot, a timeout, an expiry, the patience with a silent host) waits for
// [Cloud.Advance], or for [Cloud.Settle], which moves the clock as far as it
// takes for everything under way to end. Hours take microseconds.
//
// With [Options.Stopped] requests do nothing by themselves, and [Cloud.Step]
// does exactly one thing. With [Options.Live] the cloud works in the background
// by the wall clock, as in production; inside a testing/synctest bubble that is
// the bubble's clock.
//
// # The same each time
//
// Ids, names, addresses, placement and order follow from [Options.Seed]: the
// same test gets the same answers, byte for byte, but for tokens, passwords and
// keys. (A live cloud, or one with requests at the same time, does things in
// the order in which they happen to come.)
//
// # Hosts, guests, wires
//
// [Cloud.Hosts] can be killed, silenced, revived and drained. [Cloud.Guests]
// says how guests behave: how long they boot, what they print and fetch, when
// they crash. [Cloud.Reachable] tells whether one could reach another: security
// groups, routers and floating IPs are evaluated for real. [Cloud.Explain] tells
// why a server is where it is, why it is nowhere, and why a request was denied.
//
// # Things go wrong
//
// [Cloud.Inject] makes APIs, drivers and the bus fail by rules, [Cloud.CrashAt]
// kills controllers and agents at named points, and [Cloud.WalkCrashes] does so
// at every point of an operation in turn. [Cloud.NoLeaks] tells what was left
// behind.
package cloudtest
