package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
)

// maxAdvance bounds one move of the clock.
const maxAdvance = 10 * 365 * 24 * time.Hour

// handler serves the cloud and, beside it, what only a test cloud has.
func (c *testcloud) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", c.serve)
	for pattern, f := range map[string]func(*http.Request) (any, error){
		"POST /reset":                  c.postReset,
		"POST /testcloud/v1/reset":     c.postReset,
		"GET /testcloud/v1/snapshots":  c.getSnapshots,
		"POST /testcloud/v1/snapshots": c.postSnapshot,
		"GET /testcloud/v1/clock":      c.getClock,
		"POST /testcloud/v1/clock":     c.postClock,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			var answer any
			err := notABrowser(r)
			if err == nil {
				answer, err = f(r)
			}
			reply(w, answer, err)
		})
	}
	return mux
}

// notABrowser keeps web pages out, which could reach the loopback interface too.
func notABrowser(r *http.Request) error {
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return nephos.Errorf(nephos.ErrForbidden, "A test cloud is not controlled by web pages.")
	}
	return nil
}

func reply(w http.ResponseWriter, answer any, err error) {
	if err != nil {
		status := httpapi.StatusOf("testcloud", err)
		answer = map[string]any{"error": map[string]any{"code": status, "title": http.StatusText(status), "message": err.Error()}}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
	} else if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// decode reads a body strictly; an empty one leaves v as it is.
func decode(r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 64<<10))
	if err != nil {
		return nephos.Errorf(nephos.ErrInvalid, "The request body could not be read: %v.", err)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err = d.Decode(v)
	if err == nil && d.More() {
		err = errors.New("more than one value")
	}
	if err != nil {
		return nephos.Errorf(nephos.ErrInvalid, "Malformed request body: %s.", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func checkName(name string) error {
	if name == "" || len(name) > 64 {
		return nephos.Errorf(nephos.ErrInvalid, "A snapshot's name has 1 to 64 characters.").WithField("name")
	}
	return nil
}

func (c *testcloud) postReset(r *http.Request) (any, error) {
	body := struct {
		Snapshot string `json:"snapshot"`
	}{initial}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkName(body.Snapshot); err != nil {
		return nil, err
	}
	if err := c.reset(r.Context(), body.Snapshot); err != nil {
		return nil, err
	}
	c.faults.Reset(c.options.seed)
	return nil, nil
}

func (c *testcloud) getSnapshots(*http.Request) (any, error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	names := make([]string, 0, len(c.snapshots))
	for name := range c.snapshots {
		names = append(names, name)
	}
	slices.Sort(names)
	return map[string]any{"snapshots": names}, nil
}

// maxSnapshots bounds how many states are kept.
const maxSnapshots = 100

func (c *testcloud) postSnapshot(r *http.Request) (any, error) {
	var body struct {
		Name string `json:"name"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkName(body.Name); err != nil {
		return nil, err
	}
	if body.Name == initial {
		return nil, nephos.Errorf(nephos.ErrConflict, "The snapshot %s is what the cloud began with, and stays.", initial)
	}
	c.turn.Lock()
	full := len(c.snapshots) >= maxSnapshots
	c.turn.Unlock()
	if full {
		return nil, nephos.Errorf(nephos.ErrConflict, "There are %d snapshots, which is the most.", maxSnapshots)
	}
	return nil, c.snapshot(r.Context(), body.Name)
}

func (c *testcloud) getClock(*http.Request) (any, error) { return c.time(0), nil }

func (c *testcloud) time(advance time.Duration) any {
	ahead := c.clock.advance(advance)
	return map[string]any{"now": c.clock.Now().Format(time.RFC3339Nano), "ahead_seconds": ahead.Seconds()}
}

func (c *testcloud) postClock(r *http.Request) (any, error) {
	var body struct {
		Advance *float64 `json:"advance_seconds"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.Advance == nil || !(*body.Advance >= 0 && *body.Advance <= maxAdvance.Seconds()) {
		return nil, nephos.Errorf(nephos.ErrInvalid, "advance_seconds must be from 0 to %d: time does not run backwards.", int64(maxAdvance.Seconds())).WithField("advance_seconds")
	}
	return c.time(time.Duration(*body.Advance * float64(time.Second))), nil
}
