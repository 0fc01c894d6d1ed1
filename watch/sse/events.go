package sse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/watch"
)

// body is an event on the wire.
type body struct {
	Type       string          `json:"type"`
	Service    string          `json:"service"`
	Resource   string          `json:"resource"`
	ResourceID string          `json:"resource_id"`
	ProjectID  string          `json:"project_id"`
	UserID     string          `json:"user_id,omitempty"`
	RequestID  string          `json:"request_id,omitempty"`
	Time       string          `json:"time,omitempty"`
	Data       json.RawMessage `json:"data"`
}

const timeLayout = "2006-01-02T15:04:05.000000Z"

// writeTimeout ends the stream of a client that takes nothing any more.
const writeTimeout = 30 * time.Second

var known = []string{"types", "since", "snapshot", "resource_id", "project_id"}

func parse(r *httpapi.Request) (watch.Query, error) {
	var q watch.Query
	for name, values := range r.Query() {
		if !slices.Contains(known, name) {
			return q, nephos.Errorf(nephos.ErrInvalid, "Unknown query parameter %.64q: use types, since, snapshot, resource_id or project_id.", name).WithField(name)
		}
		if len(values) > 1 && name != "types" {
			return q, nephos.Errorf(nephos.ErrInvalid, "The query parameter %s is given more than once.", name).WithField(name)
		}
	}
	var err error
	if q.Types, err = watch.ParseTypes(r.Query()["types"]...); err != nil {
		return q, err
	}
	if q.Snapshot, err = r.Bool("snapshot", false); err != nil {
		return q, err
	}
	q.Since, _ = r.Param("since")
	q.ResourceID, _ = r.Param("resource_id")
	q.ProjectID, _ = r.Param("project_id")
	if len(q.ResourceID) > 255 || len(q.ProjectID) > 255 {
		return q, nephos.Errorf(nephos.ErrInvalid, "resource_id and project_id have at most 255 characters.").WithField("resource_id")
	}
	// A client that reconnects repeats its first URL and says how far it came.
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		q.Since, q.Snapshot = last, false
	}
	return q, nil
}

func (a *api) events(r *httpapi.Request) (*httpapi.Response, error) {
	q, err := parse(r)
	if err != nil {
		return nil, err
	}
	s, err := a.service.Open(r.Context(), q)
	if errors.Is(err, nephos.ErrUnavailable) {
		err = httpapi.WithRetryAfter(http.StatusServiceUnavailable, "5", err)
	}
	if err != nil {
		return nil, err
	}
	defer s.Close()
	h := r.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	r.Wrote(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil, nil
	}
	out := &writer{to: r.Writer, flush: http.NewResponseController(r.Writer)}
	// The comment tells the client that the stream has begun.
	out.WriteString(": open\n\n")
	if out.send() == nil {
		a.pump(r, s, out)
	}
	return nil, nil
}

// pump sends events until the client goes, the server stops, the token is no
// longer good or something fails.
func (a *api) pump(r *httpapi.Request, s *watch.Stream, out *writer) {
	stopping := httpapi.Stopping(r.Context())
	beat := a.clock.After(a.heartbeat)
	sent := s.Token()
	for {
		ctx, cancel := context.WithCancel(r.Context())
		type result struct {
			events []watch.Event
			err    error
		}
		next := make(chan result, 1)
		go func() {
			events, err := s.Next(ctx)
			next <- result{events, err}
		}()
		var got result
		beaten := false
		select {
		case got = <-next:
		case <-stopping:
			cancel()
			<-next
			return
		case <-beat:
			cancel()
			beaten = true
			got = <-next
			if errors.Is(got.err, context.Canceled) {
				got.err = nil
			}
		}
		cancel()
		if got.err != nil {
			if r.Context().Err() == nil {
				out.failure(r, got.err)
				_ = out.send()
			}
			return
		}
		for _, e := range got.events {
			out.event(e)
			if e.Token != "" {
				sent = e.Token
			}
		}
		if beaten {
			beat = a.clock.After(a.heartbeat)
			if err := r.Reverify(); err != nil {
				out.failure(r, err)
				_ = out.send()
				return
			}
			s.Recheck(r.Context())
			if len(got.events) == 0 {
				out.WriteString(": heartbeat\n\n")
			}
			if at := s.Token(); at != sent && !s.InSnapshot() {
				// Nothing of what happened was for this client: let it resume here.
				out.frame(at, "bookmark", struct{}{})
				sent = at
			}
		}
		if out.send() != nil {
			return
		}
	}
}

// writer gathers what is sent at a time.
type writer struct {
	bytes.Buffer
	to    http.ResponseWriter
	flush *http.ResponseController
}

func (w *writer) event(e watch.Event) {
	switch e.Kind {
	case watch.Synced:
		w.frame(e.Token, "synced", struct{}{})
		return
	case watch.Present:
		w.frame("", "snapshot", wire(e))
	default:
		w.frame(e.Token, e.Type, wire(e))
	}
}

func wire(e watch.Event) body {
	b := body{
		Type: e.Type, Service: e.Service, Resource: e.Resource, ResourceID: e.ResourceID, ProjectID: e.ProjectID,
		UserID: e.UserID, RequestID: e.RequestID, Data: e.Data,
	}
	if !e.At.IsZero() {
		b.Time = e.At.UTC().Format(timeLayout)
	}
	return b
}

func (w *writer) frame(id, name string, data any) {
	text, err := json.Marshal(data) // has no line breaks
	if err != nil {
		return
	}
	if id != "" {
		w.WriteString("id: " + id + "\n")
	}
	w.WriteString("event: " + name + "\ndata: ")
	w.Write(text)
	w.WriteString("\n\n")
}

func (w *writer) failure(r *httpapi.Request, err error) {
	status := httpapi.StatusOf("watch", err)
	message := http.StatusText(status)
	var e *nephos.Error
	if errors.As(err, &e) && status < 500 {
		message = e.Message
	}
	w.frame("", "error", map[string]any{"code": status, "title": http.StatusText(status), "message": message, "request_id": r.RequestID()})
}

// send writes what was gathered and passes it on to the client.
func (w *writer) send() error {
	defer w.Reset()
	// Where the connection knows no deadlines, the server's own hold.
	_ = w.flush.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := w.to.Write(w.Bytes()); err != nil {
		return err
	}
	return w.flush.Flush()
}
