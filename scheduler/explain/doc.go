// Package explain serves what the scheduler decided and why, to operators:
//
//	GET  /v1/decisions                the newest first; ?server_id, volume_id, request_id, failed, limit, marker
//	GET  /v1/decisions/{id}           one, by its number, or the newest of a server or request
//	POST /v1/explain                  think a request through, and claim nothing
//	GET  /v1/heatmap.svg              how full the hosts are; ?class=MEMORY_MB&zone=&width=960
//
// A decision tells how many hosts each filter turned away and why, with the
// numbers that it saw on some of them, the weights of the best hosts by weigher,
// and, if there was none, the host that came nearest and what would make the
// request fit there. Decisions are kept in bounded number.
//
// Explaining takes what a boot would ask for:
//
//	{"explain": {"flavor": {"vcpus": 2, "ram": 4096, "disk": 20}, "count": 10, "availability_zone": "az1"}}
//
// and answers with every filter's verdict on every host, with numbers, every
// weigher's weight, the hosts that would be chosen, how many of the servers would
// fit, and the nearest miss. It uses the hosts as they are now.
//
// Only administrators may ask; what users may know is the summary in their
// server's fault. The API is Nephos' own: OpenStack has none for this. Its faults
// look like the Identity API's.
package explain
