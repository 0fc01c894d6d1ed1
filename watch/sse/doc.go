// Package sse serves the watch service's events over HTTP, as server-sent events
// (the format that the HTML standard calls text/event-stream).
//
//	GET /v1/events?types=compute.server.*&since=TOKEN&snapshot=true
//
// needs a token like any API of the cloud. Each event is
//
//	id: the resume token
//	event: compute.server.update
//	data: {"type": "compute.server.update", "resource_id": "…", …}
//
// With snapshot=true the present state comes first, as events named "snapshot",
// ended by one named "synced"; a client that reconnects sends the last id in
// Last-Event-ID (or since) and goes on where it was. A token that has expired is
// answered 410. What goes wrong in the middle is an event named "error", and
// then the stream ends. Lines that begin with a colon are heartbeats.
package sse
