package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// NovaFault writes the Compute API's faults:
//
//	{"itemNotFound": {"code": 404, "message": "Instance ... could not be found."}}
//
// A path no route takes is answered by the web framework below Nova, in
// [GlanceFault]'s layout; a missing token in keystonemiddleware's.
func NovaFault(w http.ResponseWriter, r *http.Request, f Fault) { namedFault(w, r, f) }

// CinderFault writes the Block Storage API's faults, which look like Nova's.
func CinderFault(w http.ResponseWriter, r *http.Request, f Fault) { namedFault(w, r, f) }

type namedBody struct {
	Code       int    `json:"code"`
	Message    string `json:"message"`
	RetryAfter string `json:"retryAfter,omitempty"`
}

func namedFault(w http.ResponseWriter, r *http.Request, f Fault) {
	switch {
	case f.Unverified:
		unverified(w, f)
		return
	case f.Unrouted:
		webobFault(w, r, f, f.Message, "", webobJSON)
		return
	}
	msg := f.Message
	if msg == "" {
		msg = explanation(f.Status)
	}
	b := namedBody{Code: f.Status, Message: msg}
	if f.Status == http.StatusRequestEntityTooLarge || f.Status == http.StatusTooManyRequests {
		b.RetryAfter = f.RetryAfter
	}
	contentType := jsonUTF8
	if f.Service == "volume" {
		contentType = jsonPlain
	}
	writeFault(w, f.Status, contentType, map[string]namedBody{faultName(f): b})
}

func faultName(f Fault) string {
	switch f.Status {
	case 400:
		return "badRequest"
	case 401:
		return "unauthorized"
	case 403:
		return "forbidden"
	case 404:
		return "itemNotFound"
	case 405:
		return "badMethod"
	case 409:
		return "conflictingRequest"
	case 413:
		return "overLimit"
	case 415:
		return "badMediaType"
	case 429:
		if f.Service != "volume" {
			return "overLimit"
		}
	case 501:
		return "notImplemented"
	case 503:
		return "serviceUnavailable"
	}
	return "computeFault"
}

type keystoneBody struct {
	Error keystoneError `json:"error"`
}

type keystoneError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Title   string `json:"title"`
}

// KeystoneFault writes the Identity API's faults:
//
//	{"error": {"code": 404, "message": "Could not find user: ...", "title": "Not Found"}}
//
// Paths and methods that no route takes are answered by the web framework below
// Keystone: an HTML page for an unknown path, {"message": "..."} for a method.
func KeystoneFault(w http.ResponseWriter, r *http.Request, f Fault) {
	if f.Unrouted {
		keystoneUnrouted(w, r, f)
		return
	}
	msg := f.Message
	if msg == "" {
		switch f.Status {
		case 401:
			msg = needsAuthentication
		case 403:
			msg = "You are not authorized to perform the requested action."
		case 500:
			msg = "An unexpected error prevented the server from fulfilling your request."
		case 501:
			msg = "The action you have requested has not been implemented."
		case 405:
			msg = methodNotAllowed
		default:
			msg = explanation(f.Status)
		}
	}
	writeFault(w, f.Status, jsonPlain, keystoneBody{keystoneError{f.Status, msg, f.Title}})
}

const methodNotAllowed = "The method is not allowed for the requested URL."

func keystoneUnrouted(w http.ResponseWriter, r *http.Request, f Fault) {
	explain := "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again."
	if f.Status == http.StatusMethodNotAllowed {
		if path := strings.Trim(r.URL.Path, "/"); path != "" && path != "v3" {
			writeFault(w, f.Status, jsonPlain, map[string]string{"message": methodNotAllowed})
			return
		}
		explain = methodNotAllowed
	}
	writeText(w, f.Status, "text/html; charset=utf-8", "<!doctype html>\n<html lang=en>\n<title>"+strconv.Itoa(f.Status)+" "+f.Title+
		"</title>\n<h1>"+f.Title+"</h1>\n<p>"+explain+"</p>\n")
}

const needsAuthentication = "The request you have made requires authentication."

// unverified writes what keystonemiddleware answers in a service's stead.
func unverified(w http.ResponseWriter, f Fault) {
	writeFault(w, f.Status, jsonPlain,
		keystoneBody{keystoneError{f.Status, needsAuthentication, f.Title}})
}

type neutronError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Detail  string `json:"detail"`
}

// NeutronFault writes the Networking API's faults:
//
//	{"NeutronError": {"type": "NetworkNotFound", "message": "Network ... could not be found.", "detail": ""}}
//
// The type is the error's Reason, or a name made of the status.
func NeutronFault(w http.ResponseWriter, r *http.Request, f Fault) {
	if f.Unverified {
		unverified(w, f)
		return
	}
	if first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); f.Unrouted && first != "v2.0" {
		webobFault(w, r, f, f.Message, "", webobJSON)
		return
	}
	msg := f.Message
	if msg == "" {
		if f.Status == 500 {
			msg = "Request Failed: internal server error while processing your request."
		} else {
			msg = explanation(f.Status)
		}
	}
	key, name := "NeutronError", f.Reason
	if f.Status == http.StatusNotImplemented {
		key = "NotImplementedError"
	}
	if name == "" {
		name = neutronType(f)
	}
	writeFault(w, f.Status, jsonPlain, map[string]neutronError{key: {Type: name, Message: msg}})
}

func neutronType(f Fault) string {
	switch {
	case f.Kind == nephos.ErrQuota:
		return "OverQuota"
	case f.Kind == nephos.ErrForbidden:
		return "PolicyNotAuthorized"
	}
	switch f.Status {
	case 400:
		return "HTTPBadRequest"
	case 401:
		return "HTTPUnauthorized"
	case 403:
		return "HTTPForbidden"
	case 404:
		return "HTTPNotFound"
	case 405:
		return "HTTPMethodNotAllowed"
	case 409:
		return "HTTPConflict"
	case 412:
		return "HTTPPreconditionFailed"
	case 413:
		return "HTTPRequestEntityTooLarge"
	case 415:
		return "HTTPUnsupportedMediaType"
	case 501:
		return "NotImplementedError"
	case 503:
		return "HTTPServiceUnavailable"
	}
	return "HTTPInternalServerError"
}

const (
	jsonPlain = "application/json"
	jsonUTF8  = "application/json; charset=UTF-8"
)

// writeFault writes a body of one of the shapes above, which all encode.
func writeFault(w http.ResponseWriter, status int, contentType string, body any) {
	b := getBuffer()
	defer putBuffer(b)
	if err := b.encode(body); err != nil {
		b.Reset()
	}
	h := w.Header()
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(b.Len())}
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
