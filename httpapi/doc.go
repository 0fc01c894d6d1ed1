// Package httpapi is what every OpenStack wire package stands on: routing,
// tokens, microversions, faults in each service's dialect, request ids, paging,
// strict decoding, bounds, metrics, tracing and graceful shutdown.
//
// A wire package describes each operation as a [Route], whose [Handler] turns a
// [Request] into a [Response] or an error, and adds them to an [API]:
//
//	api := httpapi.New(httpapi.Config{
//		Service:  "image",
//		Faults:   httpapi.GlanceFault,
//		Verifier: verifier,
//	})
//	api.Add(httpapi.Route{
//		Pattern: "GET /v2/images/{id}",
//		Rules:   []string{"get_image"},
//		Handler: show,
//	})
//	err := httpapi.Serve(ctx, listener, api, log)
//
// What happens to a request, in order: it gets a request id; its route is
// found; its token is verified and the [nephos.Caller] put into the context; its
// microversion is negotiated; an Idempotency-Key is put into the context; the
// handler runs. An error that a handler returns is mapped by its sentinel to a
// status (see [StatusOf]) and written by the service's [FaultWriter]. Only the
// message of a [nephos.Error] is ever shown to a client: whatever else went
// wrong is logged with the request id and answered with the dialect's generic
// sentence.
//
// The package imports no service and no driver; who a token belongs to it asks
// a [Verifier].
package httpapi
