package httpapi

import (
	"net/http"
	"slices"
	"strings"
)

// This file holds what the real services' web frameworks see differently before
// they look at a resource: slashes, HEAD, OPTIONS and paths of other programs.

// glanceMethods are those that Glance knows at all.
var glanceMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch}

// trimPath returns a path, which has no slash at its beginning, as routes are
// written; not found is a path that the service's router would not know by its
// end.
func trimPath(service, path string) (trimmed string, found bool) {
	trimmed, slash := strings.CutSuffix(path, "/")
	switch service {
	case "placement":
		return trimmed, !slash
	case "compute", "volume", "image":
		if slash && strings.Contains(trimmed, "/") {
			return trimmed, false
		}
	}
	if service == "network" || service == "volume" {
		// These take the form of the answer from the path, too.
		trimmed = strings.TrimSuffix(trimmed, ".json")
	}
	return trimmed, true
}

// headless reports whether a service's router knows no HEAD at a path.
func headless(service, path string) bool {
	switch service {
	case "compute", "volume", "image":
		return strings.Contains(path, "/")
	case "network":
		return path != ""
	}
	return service == "placement"
}

// answersOptions answers OPTIONS where no route does, with what the services'
// CORS middleware, which is before all else, makes of their refusals.
func (a *API) answersOptions(r *Request, allow []string) bool {
	switch a.cfg.Service {
	case "compute", "volume", "image", "network":
	case "identity":
		if len(allow) > 0 {
			r.Writer.Header()["Allow"] = []string{a.allowed(allow)}
			r.Writer.Header()["Content-Type"] = []string{"text/html; charset=utf-8"}
		}
	default:
		return false
	}
	r.Writer.Header()["Content-Length"] = []string{"0"}
	r.status, r.wrote = http.StatusOK, true
	r.Writer.WriteHeader(http.StatusOK)
	return true
}

// allowed is the value of the Allow header, "" for none.
func (a *API) allowed(methods []string) string {
	switch a.cfg.Service {
	case "network":
		return "" // Neutron does not say
	case "placement": // which lists them as it declares them
		return strings.Join(methods, ", ")
	case "identity":
		if slices.Contains(methods, http.MethodGet) {
			methods = append(methods, http.MethodHead)
		}
		methods = append(methods, http.MethodOptions)
	}
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

// elsewhere reports whether a path belongs to none of the programs behind the
// service's door, whose front knows nothing of tokens.
func (a *API) elsewhere(r *Request) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch a.cfg.Service {
	case "volume":
		return first != "v3"
	case "network":
		return first != "v2.0"
	}
	return false
}

// checkEarly refuses what Keystone refuses before it routes and looks at the
// token: a body that is not a JSON object.
func (a *API) checkEarly(r *Request) error {
	if a.cfg.Service != "identity" || r.ContentLength == 0 {
		return nil
	}
	raw, err := r.Raw()
	if err != nil || len(raw) == 0 {
		return err
	}
	if err := r.checkType(); err != nil {
		return err
	}
	if _, err := r.Tree(); err != nil {
		return r.malformed(err)
	}
	return nil
}
