package apitest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Answer is a response, read whole. Its methods end the test when the answer is
// not as they say.
type Answer struct {
	T      testing.TB
	Status int
	Header http.Header
	Body   string

	service string
}

// Want checks the status.
func (a Answer) Want(status int) Answer {
	a.T.Helper()
	require.Equal(a.T, status, a.Status, a.Body)
	return a
}

// Get returns a value inside the body: the names of fields and the numbers of
// elements lead to it. A field that is not there is nil.
func (a Answer) Get(path ...any) any {
	a.T.Helper()
	var v any
	require.NoError(a.T, json.Unmarshal([]byte(a.Body), &v), a.Body)
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = as[map[string]any](a, v, path)[p]
		case int:
			list := as[[]any](a, v, path)
			require.Less(a.T, p, len(list), "%v is not in %s", path, a.Body)
			v = list[p]
		default:
			require.Fail(a.T, "a path has names and numbers", "%v", path)
		}
	}
	return v
}

// Object is [Answer.Get] for an object.
func (a Answer) Object(path ...any) map[string]any {
	a.T.Helper()
	return as[map[string]any](a, a.Get(path...), path)
}

// Text is [Answer.Get] for text.
func (a Answer) Text(path ...any) string {
	a.T.Helper()
	return as[string](a, a.Get(path...), path)
}

// Keys returns the names of an object's fields in order.
func (a Answer) Keys(path ...any) []string {
	a.T.Helper()
	return slices.Sorted(maps.Keys(a.Object(path...)))
}

// as insists that the value at, or on the way to, a path is of a type.
func as[T any](a Answer, v any, path []any) T {
	a.T.Helper()
	got, ok := v.(T)
	require.True(a.T, ok, "%v leads through %T, not %T, in %s", path, v, got, a.Body)
	return got
}

// names are what the Compute and the Block Storage API call their faults.
var names = map[int]string{
	400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
	409: "conflictingRequest", 413: "overLimit", 415: "badMediaType", 501: "notImplemented", 503: "serviceUnavailable",
}

// Message returns what a fault says, from where the service says it.
func (a Answer) Message() string {
	a.T.Helper()
	switch a.service {
	case "identity":
		return a.Text("error", "message")
	case "image":
		return a.Text("message")
	case "network":
		return a.Text("NeutronError", "message")
	case "placement":
		return a.Text("errors", 0, "detail")
	}
	require.Contains(a.T, names, a.Status, a.Body)
	return a.Text(names[a.Status], "message")
}

// Fault checks the status, the message, and the fault's layout: that it repeats
// the status where the service's faults do.
func (a Answer) Fault(status int, message string) {
	a.T.Helper()
	a.Want(status)
	require.Equal(a.T, message, a.Message(), a.Body)
	switch a.service {
	case "identity":
		require.EqualValues(a.T, status, a.Get("error", "code"))
	case "compute", "volume":
		require.EqualValues(a.T, status, a.Get(names[status], "code"))
		require.Len(a.T, a.Object(), 1, a.Body)
	}
}

// Says checks that a fault's message has the words.
func (a Answer) Says(words string) Answer {
	a.T.Helper()
	require.Contains(a.T, a.Message(), words)
	return a
}
