// Package nephos is the root of an OpenStack-compatible cloud made of Go
// packages: it holds what every other package shares, and imports nothing but
// the standard library.
//
// What is here: identifiers ([IDs]), the clock ([Clock]), the error sentinels
// and the one error type that carries them ([Error]), the [Caller] of an
// operation, paging ([Page]), idempotency keys and crash points.
//
// # The map
//
//	identity/       who may act: domains, projects, users, roles, tokens, catalog
//	  keystone/       Identity API v3 over identity
//	  policy/         oslo.policy's rule language, and who may do what
//	image/          images and their bytes              + glance/ + inspect/
//	network/        networks, ports, routers, addresses + neutron/
//	blockstorage/   volumes, snapshots, attachments     + cinder/
//	compute/        servers, flavors, keypairs, hosts   + nova/ metadata/ console/
//	scheduler/      which host: pure functions          + sqlstore/ placement/
//	agent/          what runs on every host
//	driver/         contracts for hypervisors, networks, volumes, blobs; plugin/
//	store/          SQLite or PostgreSQL behind one handle
//	reconcile/      the durable work queue
//	bus/            desired state out to hosts, reports back
//	httpapi/        routing, tokens, microversions, faults, paging
//	cloud/          composes all of it: cloud.New(Config)
//	examples/       thin servers made of the packages above
//
// A service package (identity, image, network, blockstorage, compute) defines
// small interfaces, one per resource, and a concrete Service that implements
// them all. The package below it that carries a protocol's name (keystone,
// glance, neutron, cinder, nova) speaks that protocol over the interfaces.
// CONTRIBUTING.md describes the pattern; learn one service and you know five.
package nephos
