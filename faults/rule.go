package faults

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
)

// Point is where a rule hits.
type Point string

// The points.
const (
	API    Point = "api"
	Driver Point = "driver"
	Bus    Point = "bus"
	Host   Point = "host"
	Step   Point = "step"
)

// Effect is what a rule does.
type Effect string

// The effects.
const (
	Error   Effect = "error"   // of api and driver
	Latency Effect = "latency" // of api and driver
	Drop    Effect = "drop"    // of api: the connection
	Lose    Effect = "lose"    // of bus
	Double  Effect = "double"  // of bus
	Dead    Effect = "dead"    // of host
	Crash   Effect = "crash"   // of step
)

var effects = map[Point][]Effect{
	API: {Error, Latency, Drop}, Driver: {Error, Latency}, Bus: {Lose, Double}, Host: {Dead}, Step: {Crash},
}

// Rule is one thing that goes wrong. Point and Effect are needed.
type Rule struct {
	// ID names the rule; empty: one is made.
	ID     string
	Point  Point
	Effect Effect

	// Service is an API (identity, image, compute, network, volume, placement,
	// watch), a kind of driver (hypervisor, network, volume, blob), or what a
	// crash point's name begins with. Not of bus and host.
	Service string
	// Operation is, of an API, a method, a path, or both: "POST /servers",
	// "GET /servers/{id}". The path is as the API's reference has it, without
	// version and project; {x} and * stand for any one segment. Of a driver it is
	// the method: Ensure. Of the bus it is put (to a host), report (from one) or
	// ask. Of a step it is the crash point's name: "before compute.server". A * at
	// the end of a name stands for any rest.
	Operation string
	// Action is the action of a POST …/action: "os-stop". Of api only.
	Action string
	// Resource is the id of what a request's path, a driver's call or a message
	// is about.
	Resource string
	// Project and User are those of a request's caller.
	Project, User string
	// Host is a host's name. Of driver, bus and host.
	Host string

	// Skip lets as many hits pass first. Count bounds how many follow; 0 is no
	// bound. Probability, if not 0, is that of each hit.
	Skip, Count int
	Probability float64

	// Status is an API error's, from 400 to 599; 0 is 503. Message is what the
	// error says; empty is what the service says by itself. RetryAfter, if not 0,
	// is sent in seconds.
	Status     int
	Message    string
	RetryAfter int
	// Kind is a driver error's: unavailable, timeout, not_found, conflict, invalid,
	// no_capacity or unsupported; empty is an error of no kind.
	Kind string
	// Delay is that of a latency.
	Delay time.Duration
	// After has the work done first, so that only its answer is lost: of error and
	// drop.
	After bool
}

// maxDelay bounds a latency.
const maxDelay = time.Hour

func invalid(field, format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, format, args...).WithField(field)
}

// Validate returns an error of kind [nephos.ErrInvalid] that names the field
// which makes the rule mean nothing.
func (r Rule) Validate() error {
	allowed, ok := effects[r.Point]
	if !ok {
		return invalid("point", "A rule's point must be one of api, driver, bus, host and step, not '%.32s'.", r.Point)
	}
	if !slices.Contains(allowed, r.Effect) {
		return invalid("effect", "A rule for %s must have one of the effects %v, not '%.32s'.", r.Point, allowed, r.Effect)
	}
	for _, f := range []struct {
		name, value string
		points      []Point
	}{
		{"service", r.Service, []Point{API, Driver, Step}},
		{"operation", r.Operation, []Point{API, Driver, Bus, Step}},
		{"action", r.Action, []Point{API}},
		{"resource", r.Resource, []Point{API, Driver, Bus}},
		{"project_id", r.Project, []Point{API}},
		{"user_id", r.User, []Point{API}},
		{"host", r.Host, []Point{Driver, Bus, Host}},
	} {
		if f.value != "" && !slices.Contains(f.points, r.Point) {
			return invalid(f.name, "A rule for %s takes no %s.", r.Point, f.name)
		}
		if len(f.value) > 255 {
			return invalid(f.name, "A rule's %s has at most 255 characters.", f.name)
		}
	}
	if len(r.ID) > 64 || strings.ContainsAny(r.ID, "/?#% \t\r\n") {
		return invalid("id", "A rule's id has at most 64 characters, and none of spaces, /, ?, # and %%.")
	}
	return r.validateWhat()
}

var services = map[Point][]string{
	API:    {"identity", "image", "compute", "network", "volume", "placement", "watch"},
	Driver: {"hypervisor", "network", "volume", "blob"},
}

func (r Rule) validateWhat() error {
	set := func(name string, is bool, effects ...Effect) error {
		if is && !slices.Contains(effects, r.Effect) {
			return invalid(name, "A rule with the effect %s takes no %s.", r.Effect, name)
		}
		return nil
	}
	for _, err := range []error{
		set("status", r.Status != 0 || r.RetryAfter != 0, Error), set("message", r.Message != "", Error),
		set("kind", r.Kind != "", Error), set("delay", r.Delay != 0, Latency), set("after", r.After, Error, Drop),
	} {
		if err != nil {
			return err
		}
	}
	known := services[r.Point]
	switch {
	case r.Service != "" && known != nil && !slices.Contains(known, r.Service):
		return invalid("service", "A rule for %s must name one of the services %s, not '%.32s'.", r.Point, strings.Join(known, ", "), r.Service)
	case r.Point == API && !wellFormed(r.Operation):
		return invalid("operation", "The operation '%.64s' of an API must be a method, a path, or both, such as POST /servers.", r.Operation)
	case r.Point == Bus && !slices.Contains([]string{"", "put", "report", "ask"}, r.Operation):
		return invalid("operation", "The operation '%.32s' of the bus must be put, report or ask.", r.Operation)
	case r.Point == Bus && r.Operation == "ask" && r.Effect == Double:
		return invalid("operation", "A question is not asked twice: use put or report.")
	case r.Point != API && (r.Status != 0 || r.RetryAfter != 0):
		return invalid("status", "Only a rule for api takes a status.")
	case r.Point == API && r.Kind != "":
		return invalid("kind", "Only a rule for driver takes a kind; give a status.")
	case r.Status != 0 && (r.Status < 400 || r.Status > 599):
		return invalid("status", "A rule's status must be from 400 to 599.")
	case r.RetryAfter < 0 || r.RetryAfter > 86400:
		return invalid("retry_after", "A rule's retry_after must be from 0 to 86400 seconds.")
	case len(r.Message) > 1024:
		return invalid("message", "A rule's message has at most 1024 characters.")
	case r.Effect == Latency && (r.Delay <= 0 || r.Delay > maxDelay):
		return invalid("delay", "A latency's delay must be above 0 and at most %s.", maxDelay)
	case r.Skip < 0 || r.Count < 0 || r.Skip > 1e6 || r.Count > 1e6:
		return invalid("count", "A rule's skip and count must be from 0 to 1000000.")
	case !(r.Probability >= 0 && r.Probability <= 1):
		return invalid("probability", "A rule's probability must be from 0 to 1.")
	case r.Point == Host && (r.Skip != 0 || r.Count != 0 || r.Probability != 0):
		return invalid("count", "A dead host stays dead until the rule is removed: it takes no skip, count or probability.")
	case r.Point == Host && r.Host == "":
		return invalid("host", "A rule for host must name the host.")
	}
	if _, ok := kinds[r.Kind]; !ok {
		return invalid("kind", "A driver error's kind must be unavailable, timeout, not_found, conflict, invalid, no_capacity or unsupported, not '%.32s'.", r.Kind)
	}
	return nil
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// wellFormed reports whether an API's operation is a method, a path or both.
func wellFormed(operation string) bool {
	if operation == "" {
		return true
	}
	method, path, both := strings.Cut(operation, " ")
	switch {
	case both:
		return slices.Contains(methods, method) && strings.HasPrefix(path, "/") && !strings.ContainsAny(path, " ?#")
	case strings.HasPrefix(method, "/"):
		return !strings.ContainsAny(method, "?#")
	}
	return slices.Contains(methods, method)
}

// String tells of the rule in a line.
func (r Rule) String() string {
	return fmt.Sprintf("%s: %s of %s", r.ID, r.Effect, strings.Join(strings.Fields(strings.Join(
		[]string{string(r.Point), r.Service, r.Operation, r.Action, r.Resource, r.Project, r.User, r.Host}, " ")), " "))
}
