package cloudtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Operation is something long that a cloud does, for [Cloud.WalkCrashes]. What
// is nil is left out.
type Operation struct {
	SetUp func() // what must be there before
	Do    func() // the operation, by any of the cloud's clients; nobody need wait for its end
	Check func() // how it must have ended
	// CleanUp deletes what SetUp and Do have made. Nothing may be left then.
	CleanUp func()
	// Skip names points that need no crash; agent says whether it is a host's
	// agent that passes it, or the controllers.
	Skip func(agent bool, point string) bool
	// Once has each point crash once, however the cloud's tables look.
	Once bool
}

// WalkCrashes has the cloud do the operation again and again, and crashes it
// each time at another of the points that the operation passes: those of the
// queue between any two steps, the services' own, the hosts' agents', and those
// before every call of a driver. What
// crashed is started again at once on what it left; the operation must end right
// and leave nothing. It returns the names of all points that it crashed at.
//
// While it walks, clients whose connection broke off send their request again,
// with the Idempotency-Key that they sent with it the first time. Points that
// are passed again while the cloud's tables look the same count as one.
func (c *Cloud) WalkCrashes(t testing.TB, op Operation) (points []string) {
	t.Helper()
	var passes []pass
	c.once(t, op, func(host, point string) bool {
		p := pass{agent: host != "", point: point}
		if !op.Once {
			p.shape = c.shape(t)
		}
		passes = append(passes, p)
		return false
	})
	seen := map[pass]bool{} // as it looked
	count := map[pass]int{}
	for _, p := range passes {
		name := pass{agent: p.agent, point: p.point}
		count[name]++
		if seen[p] {
			continue
		}
		seen[p] = true
		if op.Skip != nil && op.Skip(p.agent, p.point) {
			continue
		}
		if c.crashOnce(t, op, name, count[name]) && !slices.Contains(points, p.point) {
			points = append(points, p.point)
		}
	}
	slices.Sort(points)
	return points
}

// pass is a crash point as it is passed; shape is how the cloud looks then.
type pass struct {
	agent        bool // a host's, not the controllers
	point, shape string
}

// crashOnce does the operation and crashes at the n-th pass of the point. It
// reports whether it did: work that comes every so often may have come less often
// this time.
func (c *Cloud) crashOnce(t testing.TB, op Operation, at pass, n int) (crashed bool) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("while it was to crash at %q, %d passes before the end; it did: %t", at.point, n, crashed)
		}
	}()
	c.once(t, op, func(host, point string) bool {
		if crashed || (host != "") != at.agent || point != at.point {
			return false
		}
		n--
		crashed = n == 0
		return crashed
	})
	return crashed
}

func (c *Cloud) once(t testing.TB, op Operation, plan func(host, point string) bool) {
	t.Helper()
	run := func(f func()) {
		if f != nil {
			f()
		}
		c.Settle()
	}
	run(op.SetUp)
	c.walking.Store(true)
	c.CrashAt(plan)
	run(op.Do)
	c.CrashAt(nil)
	c.walking.Store(false)
	run(op.Check)
	run(op.CleanUp)
	c.NoLeaks(t)
}

// shape tells how the tables look: how many rows there are in each, in which
// states.
func (c *Cloud) shape(t testing.TB) string {
	var parts []string
	for _, table := range c.tables(t) {
		if histories[table.name] || strings.HasPrefix(table.name, "identity_") {
			continue
		}
		columns := "''"
		if len(table.states) > 0 {
			columns = strings.Join(table.states, " || ' ' || ")
		}
		parts = append(parts, fmt.Sprintf("SELECT '%s' AS name, %s AS looks, count(*) FROM %s GROUP BY looks", table.name, columns, table.name))
	}
	// The names come from the database's own schema.
	rows, err := c.Store.Reader().QueryContext(context.Background(), strings.Join(parts, " UNION ALL ")+" ORDER BY name, looks")
	require.NoError(t, err)
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		var name, looks string
		var n int
		require.NoError(t, rows.Scan(&name, &looks, &n))
		fmt.Fprintf(&b, "%s %s %d\n", name, looks, n)
	}
	require.NoError(t, rows.Err())
	return b.String()
}

// persistent sends a request again while the cloud crashes under it.
type persistent struct {
	cloud *Cloud
	http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (p persistent) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.cloud.walking.Load() {
		return p.RoundTripper.RoundTrip(r)
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	key := p.cloud.config.IDs.New()
	for {
		again := r.Clone(r.Context())
		if r.Method == http.MethodPost && r.Header.Get("Idempotency-Key") == "" {
			again.Header.Set("Idempotency-Key", key)
		}
		again.Body = io.NopCloser(bytes.NewReader(body))
		resp, err := p.RoundTripper.RoundTrip(again)
		if !errors.Is(err, errCrashed) {
			return resp, err
		}
	}
}
