package faults

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// Around returns what [httpapi.Config] of the service's API is to have around
// its handlers.
func (s *Set) Around(service string) func(*httpapi.Request, httpapi.Handler) (*httpapi.Response, error) {
	return func(r *httpapi.Request, next httpapi.Handler) (*httpapi.Response, error) {
		if s.count.Load() == 0 {
			return next(r)
		}
		delay, hit := s.decide(API, func(rule *Rule) bool { return rule.matchesRequest(service, r) })
		if err := s.sleep(r.Context(), delay); err != nil {
			return nil, err
		}
		if hit == nil {
			return next(r)
		}
		if hit.After {
			if resp, err := next(r); err != nil && hit.Effect != Drop {
				return resp, err
			}
		}
		if hit.Effect == Drop {
			panic(http.ErrAbortHandler) // net/http closes the connection
		}
		return nil, hit.apiError()
	}
}

func (r *Rule) apiError() error {
	status := r.Status
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	err := &nephos.Error{Kind: kindOf(status), Message: r.Message}
	if r.RetryAfter > 0 {
		return httpapi.WithRetryAfter(status, strconv.Itoa(r.RetryAfter), err)
	}
	return httpapi.WithStatus(status, err)
}

// kindOf is what an error of the status usually is.
func kindOf(status int) error {
	switch status {
	case http.StatusUnauthorized:
		return nephos.ErrUnauthenticated
	case http.StatusForbidden:
		return nephos.ErrForbidden
	case http.StatusNotFound:
		return nephos.ErrNotFound
	case http.StatusConflict:
		return nephos.ErrConflict
	case http.StatusPreconditionFailed:
		return nephos.ErrPrecondition
	case http.StatusGone:
		return nephos.ErrGone
	case http.StatusRequestEntityTooLarge:
		return nephos.ErrTooLarge
	}
	if status < 500 {
		return nephos.ErrInvalid
	}
	return nephos.ErrUnavailable
}

func (r *Rule) matchesRequest(service string, req *httpapi.Request) bool {
	c := req.Caller()
	if r.Service != "" && r.Service != service || r.Project != "" && r.Project != c.ProjectID || r.User != "" && r.User != c.UserID {
		return false
	}
	method, path, both := strings.Cut(r.Operation, " ")
	if !both && strings.HasPrefix(method, "/") {
		method, path = "", method
	}
	if method != "" && method != req.Method {
		return false
	}
	segments := called(req)
	if path != "" && !samePath(strings.Split(strings.Trim(path, "/"), "/"), segments) {
		return false
	}
	if r.Resource != "" && !slices.Contains(segments, r.Resource) {
		return false
	}
	return r.Action == "" || r.Action == req.ActionName()
}

// called is the path of a request as references write it: without version and
// project.
func called(req *httpapi.Request) []string {
	_, pattern, _ := strings.Cut(req.Route(), " ")
	var segments []string
	for i, s := range strings.Split(strings.Trim(strings.TrimSpace(pattern), "/"), "/") {
		switch {
		case s == "", s == "{$}", s == "{project_id?}", i == 0 && version(s):
		case strings.HasPrefix(s, "{"):
			name := strings.TrimSuffix(strings.Trim(s, "{}"), "...")
			segments = append(segments, strings.Split(req.PathValue(name), "/")...)
		default:
			segments = append(segments, s)
		}
	}
	return segments
}

func version(s string) bool {
	return len(s) > 1 && s[0] == 'v' && s[1] >= '0' && s[1] <= '9'
}

func samePath(pattern, path []string) bool {
	if len(pattern) > 0 && version(pattern[0]) {
		pattern = pattern[1:]
	}
	if len(pattern) == 1 && pattern[0] == "" {
		pattern = nil
	}
	if len(pattern) != len(path) {
		return false
	}
	for i, p := range pattern {
		if p != path[i] && p != "*" && !(strings.HasPrefix(p, "{") && strings.HasSuffix(p, "}")) {
			return false
		}
	}
	return true
}
