package cloudtest

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/nephos-cloud/nephos/cloud"
)

// tick is how long a request takes by the cloud's clock: what is made later is
// younger.
const tick = time.Millisecond

// listen opens the door.
func (c *Cloud) listen() {
	c.URL = inMemory
	if c.options.Listen {
		c.server = httptest.NewServer(c.Handler())
		c.URL = c.server.URL
	}
	c.AuthURL = c.URL + "/identity/v3"
	c.client = &http.Client{Transport: persistent{c, c.Transport()}}
}

// Handler serves all APIs, and drives the cloud as its client does.
func (c *Cloud) Handler() http.Handler { return http.HandlerFunc(c.serve) }

// Transport calls the handler without a socket; see [cloud.NewTransport].
func (c *Cloud) Transport() http.RoundTripper { return cloud.NewTransport(c.Handler()) }

// Client returns a client that reaches the cloud at [Cloud.URL], in memory.
func (c *Cloud) Client() *http.Client { return c.client }

// internal is how agents reach the cloud, whichever it is by then.
func (c *Cloud) internal() http.RoundTripper {
	return cloud.NewTransport(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }))
}

// serve has the cloud do what is due, and answers.
func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	driven := c.drive()
	c.mu.Lock()
	handler := c.handler
	c.mu.Unlock()
	if wait := waits(r); driven && wait > 0 {
		c.serveWaiting(w, r, wait)
	} else {
		handler.ServeHTTP(w, r)
	}
	c.mu.Lock()
	fell := c.cancel == nil && c.raise()
	c.mu.Unlock()
	if fell {
		panic(errCrashed)
	}
}

var errCrashed = errors.New("the cloud crashed")

// drive has the cloud do what is due before a request. It reports whether
// requests do so.
func (c *Cloud) drive() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.virtual == nil || c.options.Stopped || c.cancel != nil {
		return false
	}
	c.moveTo(c.Clock.Now().Add(tick))
	c.work()
	return true
}

// serveWaiting answers a request that waits for a state: it has the cloud do one
// thing after another, and looks after each.
func (c *Cloud) serveWaiting(w http.ResponseWriter, r *http.Request, wait time.Duration) {
	look := r.Clone(r.Context())
	q := r.URL.Query()
	q.Set("wait_timeout", "0")
	look.URL.RawQuery = q.Encode()
	look.RequestURI = look.URL.RequestURI()
	until := c.Clock.Now().Add(wait)
	for {
		seen := httptest.NewRecorder()
		c.mu.Lock()
		handler := c.handler
		c.mu.Unlock()
		handler.ServeHTTP(seen, look)
		if seen.Header().Get("Nephos-Wait") != "timeout" || !c.Clock.Now().Before(until) {
			maps.Copy(w.Header(), seen.Header())
			w.WriteHeader(seen.Code)
			_, _ = w.Write(seen.Body.Bytes())
			return
		}
		c.mu.Lock()
		if !c.step() {
			next, ok := c.nextEnding()
			if !ok || next.After(until) {
				next = until
			}
			c.moveTo(next)
		}
		c.mu.Unlock()
	}
}

// waits is how long the request waits for a state; see httpapi.Wait.
func waits(r *http.Request) time.Duration {
	q := r.URL.Query()
	if !q.Has("wait") {
		return 0
	}
	seconds, err := strconv.Atoi(q.Get("wait_timeout"))
	if err != nil || seconds < 0 || seconds > 600 {
		seconds = 60
	}
	return time.Duration(seconds) * time.Second
}
