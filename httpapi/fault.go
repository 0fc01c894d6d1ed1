package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/nephos-cloud/nephos"
)

// Fault is an error on its way to a client.
type Fault struct {
	Status  int
	Title   string // the status's reason phrase, such as "Not Found"
	Message string // safe to show; empty: the dialect's own sentence for the status
	// Reason is [nephos.Error]'s: the type in Neutron's faults, the code in
	// Placement's.
	Reason    string
	Kind      error // the sentinel; nil when the error wraps none
	RequestID string
	Service   string
	// Version is the negotiated microversion, zero when there is none (also when
	// the negotiation itself failed).
	Version Version
	// Versions is set when the negotiation failed with 406.
	Versions *VersionRange
	// Detailed says that the message goes with the status's own sentence and not
	// in its place, in dialects that tell the two apart. See [WithDetail].
	Detailed bool
	// RetryAfter, where set, is the value of the Retry-After header.
	RetryAfter string
	// Unrouted says that no route took the request: the path is unknown, or (405)
	// the method.
	Unrouted bool
	// Unverified says that there was no token or that it is not good: what
	// keystonemiddleware answers before a service sees the request.
	Unverified bool
}

// FaultWriter writes a fault in a service's dialect. Headers that belong to
// every answer (request ids, microversions, Allow, WWW-Authenticate,
// Retry-After) are set already. It must write the status and a body, except to a
// HEAD request, which [http.Server] sees to.
type FaultWriter func(w http.ResponseWriter, r *http.Request, f Fault)

// statusError carries a status that overrides the table.
type statusError struct {
	status     int
	retryAfter string
	err        error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// WithStatus returns err with the status that it shall have on the wire,
// whatever its sentinel says. Wire packages use it where an API reference
// deviates from the table of [StatusOf]. A nil err stays nil.
func WithStatus(status int, err error) error {
	if err == nil {
		return nil
	}
	return &statusError{status: status, err: err}
}

// WithRetryAfter is [WithStatus] with a Retry-After header, in seconds.
func WithRetryAfter(status int, seconds string, err error) error {
	if err == nil {
		return nil
	}
	return &statusError{status: status, retryAfter: seconds, err: err}
}

// detailedError marks an error whose message goes below the status's own
// sentence.
type detailedError struct{ err error }

func (e *detailedError) Error() string { return e.err.Error() }
func (e *detailedError) Unwrap() error { return e.err }

// WithDetail marks an error whose message a fault adds to the status's own
// sentence, where the Image API's other messages replace it. A nil err stays nil.
func WithDetail(err error) error {
	if err == nil {
		return nil
	}
	return &detailedError{err}
}

// statusClientGone is what the log and the metrics say when the client hung up
// before the answer. Nothing is sent.
const statusClientGone = 499

// kinds is the one table from sentinels to statuses. Order matters only for an
// error that wraps several.
var kinds = []struct {
	kind   error
	status int
}{
	{nephos.ErrInvalid, http.StatusBadRequest},
	{nephos.ErrUnauthenticated, http.StatusUnauthorized},
	{nephos.ErrForbidden, http.StatusForbidden},
	{nephos.ErrNotFound, http.StatusNotFound},
	{nephos.ErrConflict, http.StatusConflict},
	{nephos.ErrPrecondition, http.StatusPreconditionFailed},
	{nephos.ErrTooLarge, http.StatusRequestEntityTooLarge},
	{nephos.ErrRange, http.StatusRequestedRangeNotSatisfiable},
	{nephos.ErrGone, http.StatusGone},
	{nephos.ErrUnavailable, http.StatusServiceUnavailable},
	{errors.ErrUnsupported, http.StatusNotImplemented},
	{nephos.ErrQuota, http.StatusForbidden},
	{nephos.ErrNoCapacity, http.StatusInternalServerError},
	{context.DeadlineExceeded, http.StatusServiceUnavailable},
}

// StatusOf returns the status that a service's API answers an error with. The
// service is a type such as "compute"; it matters for exceeded quotas (403 in
// compute and identity, 409 in network and placement, 413 in volume and image)
// and for missing capacity (400 in compute, 409 in network and placement, 500
// elsewhere). An error that wraps no sentinel is 500.
func StatusOf(service string, err error) int {
	status, _ := lookupStatus(service, err)
	return status
}

func lookupStatus(service string, err error) (status int, kind error) {
	status = http.StatusInternalServerError
	// The most specific word is the error's own: a cause may wrap another sentinel.
	var e *nephos.Error
	if errors.As(err, &e) && e.Kind != nil {
		for _, k := range kinds {
			if errors.Is(e.Kind, k.kind) {
				status, kind = k.status, k.kind
				break
			}
		}
	}
	if kind == nil {
		for _, k := range kinds {
			if errors.Is(err, k.kind) {
				status, kind = k.status, k.kind
				break
			}
		}
	}
	switch kind {
	case nephos.ErrQuota:
		switch service {
		case "network", "placement":
			status = http.StatusConflict
		case "volume", "image":
			status = http.StatusRequestEntityTooLarge
		}
	case nephos.ErrNoCapacity:
		switch service {
		case "compute":
			status = http.StatusBadRequest
		case "network", "placement":
			status = http.StatusConflict
		}
	}
	var s *statusError
	if errors.As(err, &s) {
		status = s.status
	}
	return status, kind
}

// newFault says what a client is told of err.
func (a *API) newFault(r *Request, err error) Fault {
	f := Fault{RequestID: r.requestID, Service: a.cfg.Service, Version: r.Version}
	f.Status, f.Kind = lookupStatus(a.cfg.Service, err)
	f.Title = title(f.Status)
	var e *nephos.Error
	if errors.As(err, &e) && e.Kind != nil && f.Kind != nil {
		f.Message, f.Reason = e.Message, e.Reason
	}
	var s *statusError
	if errors.As(err, &s) {
		f.RetryAfter = s.retryAfter
	}
	var d *detailedError
	f.Detailed = errors.As(err, &d)
	if f.Kind == nephos.ErrQuota && f.Status == http.StatusRequestEntityTooLarge && f.RetryAfter == "" {
		f.RetryAfter = "0"
	}
	return f
}

// title is the reason phrase of a status as OpenStack's web library has it.
func title(status int) string {
	if status == http.StatusRequestedRangeNotSatisfiable {
		return "Request Range Not Satisfiable"
	}
	return http.StatusText(status)
}

// explanation is the sentence a service gives when it has none of its own.
func explanation(status int) string {
	switch status {
	case 400, 405, 406, 415:
		return "The server could not comply with the request since it is either malformed or otherwise incorrect."
	case 401:
		return "This server could not verify that you are authorized to access the document you requested. " +
			"Either you supplied the wrong credentials (e.g., bad password), or your browser does not " +
			"understand how to supply the credentials required."
	case 403:
		return "Access was denied to this resource."
	case 404:
		return "The resource could not be found."
	case 409:
		return "There was a conflict when trying to complete your request."
	case 410:
		return "This resource is no longer available.  No forwarding address is given."
	case 412:
		return "Request precondition failed."
	case 413:
		return "The body of your request was too large for this server."
	case 416:
		return "The Range requested is not available."
	case 429:
		return "The client has sent too many requests in a given amount of time"
	case 500, 501:
		return "The server has either erred or is incapable of performing the requested operation."
	case 503:
		return "The server is currently unavailable. Please try again at a later time."
	}
	return ""
}
