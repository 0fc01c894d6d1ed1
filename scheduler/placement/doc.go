// Package placement speaks the Placement API 1.0 to 1.39 over
// [sqlstore.Store]: resource providers, their inventories, traits and
// aggregates, and who uses how much of them. The reference is
// https://docs.openstack.org/api-ref/placement/.
//
// Every host of the store is a root resource provider, and every claim of a
// server its allocations, so that this API shows what the scheduler knows; what
// a client changes here, the next decision respects.
//
//	api := placement.New(placement.Config{Store: claims, Policy: enforcer, HTTP: httpapi.Config{Verifier: v, PublicURL: url}})
//
// Where it differs from OpenStack's: a request for allocation candidates gets at
// most a thousand of one provider tree, and JSON that does not fit its schema is
// explained in one sentence, without the schema.
package placement
