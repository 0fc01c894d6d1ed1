package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
)

// Wait lets clients of a route that shows a resource wait for a state of it,
// where [Config.Follow] is set:
//
//	GET /servers/{id}?wait=ACTIVE&wait_timeout=30
//
// The answer is the usual one, sent once the resource is in the state, or in one
// that ends the waiting because nothing follows it by itself, or when the time
// is over; the client looks at the state to know. The header Nephos-Wait says
// which it was: reached, ended or timeout. Several states are separated by
// commas. "deleted" is reached when the resource is gone, and the answer is then
// the usual 404.
//
// States are compared without regard to capitals; one that the resource never
// has is refused with 400. wait_timeout is in whole seconds from 0 to 600, 60
// if it is not given.
type Wait struct {
	// Field is where the answer's body has the state: "server.status".
	Field string
	// States are all those that the resource may have.
	States []string
	// End are those that end the waiting; one that ends in "*" stands for all
	// that begin so.
	End []string
	// ID is the wildcard with the resource's id; empty means "id".
	ID string
}

const (
	waitParam        = "wait"
	waitTimeoutParam = "wait_timeout"
	waitHeader       = "Nephos-Wait"
	defaultWait      = 60 * time.Second
	maxWait          = 600
	deletedState     = "deleted"
)

// waits reports whether the request asks to wait.
func (a *API) waits(r *Request) bool {
	return a.cfg.Follow != nil && r.route.Wait != nil && r.Method == http.MethodGet && r.URL.RawQuery != "" && r.Query().Has(waitParam)
}

// takeWait reads the parameters and takes them out of the request, so that the
// handler sees the one that it knows.
func (r *Request) takeWait(w *Wait) (wanted []string, timeout time.Duration, err error) {
	q := r.Query()
	if len(q[waitParam]) > 1 || len(q[waitTimeoutParam]) > 1 {
		return nil, 0, nephos.Errorf(nephos.ErrInvalid, "The query parameters wait and wait_timeout are given once each.").WithField(waitParam)
	}
	for state := range strings.SplitSeq(q.Get(waitParam), ",") {
		state = strings.TrimSpace(state)
		if !slices.ContainsFunc(w.States, func(s string) bool { return strings.EqualFold(s, state) }) && !strings.EqualFold(state, deletedState) {
			return nil, 0, nephos.Errorf(nephos.ErrInvalid, "Invalid value '%s' for wait: it must be one of %s or %s.",
				clip(state, 64), strings.Join(w.States, ", "), deletedState).WithField(waitParam)
		}
		wanted = append(wanted, state)
	}
	seconds, err := r.Int(waitTimeoutParam, int(defaultWait/time.Second), 0, maxWait)
	if err != nil {
		return nil, 0, err
	}
	rest := url.Values{}
	for k, v := range q {
		if k != waitParam && k != waitTimeoutParam {
			rest[k] = v
		}
	}
	clean := *r.Request
	u := *r.URL
	u.RawQuery = rest.Encode()
	clean.URL = &u
	r.Request, r.query = &clean, nil
	return wanted, time.Duration(seconds) * time.Second, nil
}

// wait answers once the resource is in a state that the client wants.
func (a *API) wait(r *Request, show Handler) (*Response, error) {
	w := r.route.Wait
	wanted, timeout, err := r.takeWait(w)
	if err != nil {
		return nil, err
	}
	id := w.ID
	if id == "" {
		id = "id"
	}
	next, stop, err := a.cfg.Follow(r.Context(), r.PathValue(id))
	if err != nil {
		return nil, err
	}
	defer stop()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	// The clock of the API rules, not the context's.
	late, stopping := a.cfg.Clock.After(timeout), Stopping(ctx)
	go func() {
		select {
		case <-ctx.Done():
		case <-late:
		case <-stopping:
		}
		cancel()
	}()
	for last := timeout == 0; ; {
		resp, err := show(r)
		if err != nil || resp == nil {
			if errors.Is(err, nephos.ErrNotFound) && slices.ContainsFunc(wanted, func(s string) bool { return strings.EqualFold(s, deletedState) }) {
				r.Writer.Header().Set(waitHeader, "reached")
			}
			return resp, err
		}
		state, raw, err := stateIn(resp.Body, w.Field)
		if err != nil {
			return nil, err
		}
		outcome := ""
		switch {
		case slices.ContainsFunc(wanted, func(s string) bool { return strings.EqualFold(s, state) }):
			outcome = "reached"
		case w.ends(state):
			outcome = "ended"
		case last:
			outcome = "timeout"
		}
		if outcome != "" {
			resp.Body = raw
			return resp.Set(waitHeader, outcome), nil
		}
		if err := next(ctx); err != nil {
			if r.Context().Err() != nil {
				return nil, r.Context().Err()
			}
			// The time is over, or the wake-up failed: answer with what there is now.
			last = true
		}
	}
}

func (w *Wait) ends(state string) bool {
	return slices.ContainsFunc(w.End, func(end string) bool {
		if prefix, ok := strings.CutSuffix(end, "*"); ok {
			return len(state) >= len(prefix) && strings.EqualFold(state[:len(prefix)], prefix)
		}
		return strings.EqualFold(end, state)
	})
}

// stateIn encodes a body and finds the text at the path in it.
func stateIn(body any, path string) (state string, raw json.RawMessage, err error) {
	b := getBuffer()
	defer putBuffer(b)
	if err := b.encode(body); err != nil {
		return "", nil, err
	}
	raw = slices.Clone(b.Bytes())
	missing := nephos.Errorf(nephos.ErrInvalid, "Waiting for a state needs %s in the answer: do not leave it out of fields.", path).WithField(waitParam)
	at := raw
	for name := range strings.SplitSeq(path, ".") {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(at, &fields); err != nil {
			return "", nil, missing
		}
		at = fields[name]
	}
	if err := json.Unmarshal(at, &state); err != nil {
		return "", nil, missing
	}
	return state, raw, nil
}
