package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

const (
	versionHeader       = "Openstack-Api-Version"        // canonical for http.Header
	legacyVersionHeader = "X-Openstack-Nova-Api-Version" // Nova's own, older one
)

// negotiate returns the microversion the request asks for. When it cannot be
// served, the version that was asked for (zero when malformed) comes with an
// error of status 406 or 400.
//
// See the microversion guideline of the API working group: the header holds
// comma-separated pairs of service type and version, or the word latest.
func (a *API) negotiate(h http.Header) (Version, error) {
	r := a.cfg.Versions
	asked := a.askedVersion(h)
	switch asked {
	case "":
		return r.Min, nil
	case "latest":
		return r.Max, nil
	}
	v, err := ParseVersion(asked)
	if minor, old := strings.CutPrefix(asked, "0."); old && decimal(minor) && a.cfg.Service == "placement" {
		err = nil // a version like another, only that it is below all
		v.Minor, _ = strconv.Atoi(minor)
	}
	if err != nil {
		if a.cfg.Service == "placement" {
			err = nephos.Errorf(nephos.ErrInvalid, "Invalid microversion: invalid version string: %s", clip(asked, 64))
		}
		return Version{}, err
	}
	if !r.Contains(v) {
		msg := "Version " + v.String() + " is not supported by the API. Minimum is " +
			r.Min.String() + " and maximum is " + r.Max.String() + "."
		if a.cfg.Service == "placement" {
			msg = "Invalid microversion: Unacceptable version header: " + v.String()
		}
		return v, WithStatus(http.StatusNotAcceptable, &nephos.Error{Kind: nephos.ErrInvalid, Message: msg})
	}
	return v, nil
}

// askedVersion returns the version the headers name for this service, "" if none.
func (a *API) askedVersion(h http.Header) string {
	lines := h[versionHeader]
	for i := len(lines) - 1; i >= 0; i-- {
		pairs := strings.Split(lines[i], ",")
		for j := len(pairs) - 1; j >= 0; j-- {
			service, version, ok := strings.Cut(strings.TrimSpace(pairs[j]), " ")
			if ok && a.isService(service) {
				return strings.TrimSpace(version)
			}
		}
	}
	if a.cfg.Service == "compute" {
		if lines := h[legacyVersionHeader]; len(lines) > 0 {
			last := lines[len(lines)-1]
			return strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		}
	}
	return ""
}

// isService reports whether name is this API's service type or an alias of it.
func (a *API) isService(name string) bool {
	if strings.EqualFold(name, a.cfg.Service) {
		return true
	}
	return a.cfg.Service == "volume" &&
		(strings.EqualFold(name, "volumev3") || strings.EqualFold(name, "block-storage"))
}

// setVersionHeaders tells the client which microversion the answer speaks.
func (a *API) setVersionHeaders(h http.Header, v Version) {
	if v.IsZero() {
		return
	}
	s := v.String()
	// One backing array for all the values keeps this at two allocations.
	vals := []string{a.cfg.Service + " " + s, s, "OpenStack-API-Version", "X-OpenStack-Nova-API-Version"}
	h[versionHeader] = vals[0:1:1]
	if a.cfg.Service == "compute" {
		h[legacyVersionHeader] = vals[1:2:2]
		h["Vary"] = vals[2:4:4]
		return
	}
	h["Vary"] = vals[2:3:3]
}
