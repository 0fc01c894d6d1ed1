// Package network is the cloud's Networking service: networks, subnets, ports,
// security groups, routers, floating IPs, quotas and tags, as OpenStack's
// Networking API v2.0 knows them.
//
// [Service] implements the package's interfaces, one a resource ([Networks],
// [Subnets], [Ports] …), on a database. Every operation checks a policy rule for
// the context's caller first ([Rules]); what another project owns does not
// exist for the caller.
//
//	enforcer, _ := policy.New(policy.Base(), network.Rules())
//	s, err := network.New(network.Config{Store: db, Policy: enforcer, Fleet: fleet})
//	for _, k := range s.Kinds() {
//		queue.Add(k)
//	}
//	nets, err := s.CreateNetworks(ctx, []network.NetworkSpec{{Name: "blue"}})
//
// # Addresses
//
// A subnet's free addresses are kept as ranges, so that the lowest free one is
// found by an index however full the subnet is. Two ports never get the same
// one: the pair of subnet and address is a primary key.
//
// # Hosts
//
// A port that is bound to a host is sent there with its network and its
// security groups, each whole and with a revision (package driver/network has
// the types). A change enqueues work; the work computes what every host concerned
// should know, records it, sends it, and sends it again until the host has
// reported it. Service implements driver.Observer to hear those reports.
// Routers live on one host that can route.
//
// # Other services
//
// Compute plugs servers with [Service.CheckPorts], [Service.EnsurePort],
// [Service.ReleasePort] and [Service.PortsOf].
package network
