package httpapi

import (
	"errors"
	"math"
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
	var asked string
	if a.cfg.Service == "volume" {
		var err error
		if asked, err = askedOfCinder(h); err != nil {
			return Version{}, err
		}
	} else {
		asked = a.askedVersion(h)
	}
	switch asked {
	case "":
		return r.Min, nil
	case "latest":
		return r.Max, nil
	}
	parse := ParseVersion
	if a.cfg.Service == "placement" {
		parse = parsePlacementVersion
	}
	v, err := parse(asked)
	if err != nil {
		return Version{}, err
	}
	if !r.Contains(v) {
		msg := "Version " + v.String() + " is not supported by the API. Minimum is " +
			r.Min.String() + " and maximum is " + r.Max.String() + "."
		if a.cfg.Service == "placement" {
			msg = "Invalid microversion: Unacceptable version header: " + clip(asked, 64)
		}
		return v, WithStatus(http.StatusNotAcceptable, &nephos.Error{Kind: nephos.ErrInvalid, Message: msg})
	}
	return v, nil
}

// parsePlacementVersion parses a version as Placement does: by Python's way to read
// integers, which has room for signs, leading zeros and spaces.
func parsePlacementVersion(s string) (Version, error) {
	bad := func(why string) (Version, error) {
		return Version{}, nephos.Errorf(nephos.ErrInvalid, "Invalid microversion: invalid version string: %s; %s", clip(s, 64), why)
	}
	var v Version
	major, minor, ok := strings.Cut(s, ".")
	for _, part := range []struct {
		text string
		into *int
	}{{major, &v.Major}, {minor, &v.Minor}} {
		n, err := strconv.Atoi(strings.TrimSpace(part.text))
		switch {
		case errors.Is(err, strconv.ErrRange):
			n = math.MaxInt32 // there is no such version
		case err != nil:
			return bad("invalid literal for int() with base 10: " + quoting.Repr(part.text))
		}
		if *part.into = n; !ok {
			return bad("Version.__new__() missing 1 required positional argument: 'minor'")
		}
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
			if ok && strings.EqualFold(service, a.cfg.Service) {
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

// askedOfCinder returns the version that the headers name in Cinder's reading, "" if
// there is no header: the first part with the word volume counts, in whichever
// service's type, and a header without one is wrong.
func askedOfCinder(h http.Header) (string, error) {
	lines := h[versionHeader]
	if len(lines) == 0 {
		return "", nil
	}
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		if !strings.Contains(part, "volume") {
			continue
		}
		if words := strings.Fields(part); len(words) == 2 {
			return words[1], nil
		}
		break
	}
	return "", &nephos.Error{Kind: nephos.ErrInvalid, Field: "OpenStack-API-Version"}
}

// setVersionHeaders tells the client which microversion the answer speaks.
func (a *API) setVersionHeaders(h http.Header, v Version) {
	if v.IsZero() {
		return
	}
	s := v.String()
	if a.cfg.Service == "volume" && (strings.Contains(s, "1.0") || strings.Contains(s, "2.0")) {
		return // Cinder tells these from its old APIs by nothing else
	}
	// One backing array for all the values keeps this at two allocations.
	vals := []string{a.cfg.Service + " " + s, s, "OpenStack-API-Version", "X-OpenStack-Nova-API-Version"}
	h[versionHeader] = vals[0:1:1]
	if a.cfg.Service == "compute" {
		h[legacyVersionHeader] = vals[1:2:2]
		h["Vary"] = vals[2:4:4]
		return
	}
	if a.cfg.Service == "placement" {
		vals[2] = "openstack-api-version"
	}
	h["Vary"] = vals[2:3:3]
}
