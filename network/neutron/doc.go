// Package neutron speaks OpenStack's Networking API v2.0, as its reference
// (docs.openstack.org/api-ref/network/v2) describes it, over the interfaces of
// package network.
//
//	api := neutron.New(neutron.Config{
//		Service: service, // *network.Service, or an implementation of one's own
//		HTTP:    httpapi.Config{Verifier: verifier, PublicURL: url},
//	})
//	http.ListenAndServe(addr, api)
//
// The API has no microversions: what it can do beyond the core it says under
// /v2.0/extensions, which lists what is built and nothing else.
//
// Each resource is a table of attributes (see attribute) with functions that
// create, change and render it; what all resources have in common (bulk
// requests, filters, fields, sorting, paging, If-Match) is written once.
package neutron
