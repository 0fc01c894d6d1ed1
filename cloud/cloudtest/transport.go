package cloudtest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
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
	driven := c.virtual != nil && !c.options.Stopped
	if driven {
		defer c.drive(r)()
	}
	c.mu.Lock()
	handler := c.handler
	c.mu.Unlock()
	handler.ServeHTTP(w, r)
	c.mu.Lock()
	fell := c.cancel == nil && c.raise()
	c.mu.Unlock()
	if fell {
		panic(errCrashed)
	}
}

var errCrashed = errors.New("the cloud crashed")

// drive has the cloud do what is due before a request. One that waits for a
// state has it do what is under way, too: what it returns is called when the
// request has ended.
func (c *Cloud) drive(r *http.Request) (ended func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		return func() {}
	}
	c.moveTo(c.Clock.Now().Add(tick))
	c.work()
	wait := waits(r)
	if wait == 0 {
		return func() {}
	}
	c.settle(wait)
	var over atomic.Bool
	go func() { // what it waits for will not come: its time passes
		for !over.Load() {
			c.Advance(wait)
		}
	}()
	return func() { over.Store(true) }
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
