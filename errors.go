package nephos

import (
	"errors"
	"fmt"
)

// The sentinels. Every error that crosses a package boundary and that a caller
// may want to tell apart wraps exactly one of these (or errors.ErrUnsupported,
// for an ability that is absent). They keep their meaning across every wire:
// httpapi maps them to status codes and driver/plugin to gRPC codes and back.
var (
	// ErrInvalid says the request itself is wrong; a retry cannot help. HTTP 400.
	ErrInvalid = errors.New("invalid request")
	// ErrUnauthenticated says nobody, or nobody known, is calling. HTTP 401.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrForbidden says the caller may not do this. HTTP 403.
	ErrForbidden = errors.New("forbidden")
	// ErrQuota says the project would exceed a quota. HTTP 403, 409 or 413 by service.
	ErrQuota = errors.New("quota exceeded")
	// ErrNotFound says the resource does not exist for this caller. HTTP 404.
	ErrNotFound = errors.New("not found")
	// ErrConflict says the state of the resource forbids this now. HTTP 409.
	ErrConflict = errors.New("conflict")
	// ErrPrecondition says a stated precondition (If-Match, generation) does not hold. HTTP 412.
	ErrPrecondition = errors.New("precondition failed")
	// ErrTooLarge says that the body or object exceeds a bound. HTTP 413.
	ErrTooLarge = errors.New("too large")
	// ErrRange says that a requested byte range cannot be served. HTTP 416.
	ErrRange = errors.New("range not satisfiable")
	// ErrNoCapacity says that no host or pool has room or fits.
	ErrNoCapacity = errors.New("no capacity")
	// ErrUnavailable says that something needed is out of reach for now; a retry may help. HTTP 503.
	ErrUnavailable = errors.New("unavailable")
	// ErrGone says that the thing existed and is gone for good. HTTP 410.
	ErrGone = errors.New("gone")
)

// Error is an error meant for the person who made the request.
//
// Kind is one of the sentinels and decides the status on the wire; Message is a
// sentence that names the cause; Reason, where set, is a short stable word
// (such as "IpAddressInUse") that a wire package uses for its fault's type;
// Field names the request's field at fault.
type Error struct {
	Kind    error
	Message string
	Reason  string
	Field   string
	// Cause is what led to it, for logs; it is not shown to the caller.
	Cause error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap lets errors.Is find the sentinel and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause != nil {
		return []error{e.Kind, e.Cause}
	}
	return []error{e.Kind}
}

// Errorf returns an [Error] of the given kind. A %w verb records the cause.
func Errorf(kind error, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Kind: kind, Message: err.Error()}
	if errors.Unwrap(err) != nil {
		e.Cause = err
	}
	return e
}

// WithReason sets the reason and returns the same error.
func (e *Error) WithReason(reason string) *Error { e.Reason = reason; return e }

// WithField sets the field and returns the same error.
func (e *Error) WithField(field string) *Error { e.Field = field; return e }

// NotFound is the error for a resource that does not exist for the caller.
func NotFound(resource, id string) *Error {
	return Errorf(ErrNotFound, "%s %s could not be found.", resource, id)
}
