package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos/reconcile"
)

const (
	// patience is how long, by its own clock, a cloud may take to come to rest.
	patience = 24 * time.Hour
	// waitsForHosts is how long it is waited for work while hosts are off.
	waitsForHosts = 30 * time.Minute
	beatEvery     = 10 * time.Second
	forever       = 100 * 365 * 24 * time.Hour
	maxSteps      = 100_000
	maxFailures   = 100
)

// Step has the cloud do exactly one thing that is due (a step of a service's
// durable work, an object that a host's agent carries out, a report, an act of a
// guest) and reports whether there was one. Time stands still.
func (c *Cloud) Step() bool {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byHand("Step")
	return c.step()
}

// Work has the cloud do all that is due. Time stands still.
func (c *Cloud) Work() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byHand("Work")
	c.work()
}

// Settle has the cloud work until nothing is under way any more, and moves the
// clock as far as that takes: past retries, deadlines, boots and slow drivers.
// It fails the test when the cloud is still not at rest a day later. While a
// host is off, work for it is waited for half an hour, which is no failure.
func (c *Cloud) Settle() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byHand("Settle")
	c.settle(patience)
}

func (c *Cloud) settle(longest time.Duration) {
	c.t.Helper()
	waits := min(longest, waitsForHosts)
	begun := c.Clock.Now()
	for {
		c.work()
		next, ok := c.nextEnding()
		switch {
		case !ok:
			return
		case longest < patience && next.Sub(begun) > longest,
			c.someOff() && next.Sub(begun) > waits:
			return
		case next.Sub(begun) > longest:
			c.t.Fatalf("the cloud does not come to rest: this is under way still:\n%s", strings.Join(c.pending(), "\n"))
		}
		c.moveTo(next)
	}
}

// Advance lets time pass and has the cloud do all that becomes due meanwhile, in
// the order of time. What comes again and again for ever (heartbeats, sweeps) is
// done at those moments and at the end, and not at every one of its own.
func (c *Cloud) Advance(d time.Duration) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil && c.virtual != nil {
		c.virtual.Advance(d)
		return
	}
	c.byHand("Advance")
	end := c.Clock.Now().Add(d)
	for {
		c.work()
		next, ok := c.nextEnding()
		if !ok || next.After(end) {
			break
		}
		c.moveTo(next)
	}
	c.moveTo(end)
	c.work()
}

func (c *Cloud) byHand(what string) {
	c.t.Helper()
	if c.virtual == nil || c.cancel != nil {
		c.t.Fatalf("%s is for clouds with a virtual clock that do not work by themselves", what)
	}
}

func (c *Cloud) someOff() bool {
	for _, h := range c.Hosts {
		if h.off {
			return true
		}
	}
	return false
}

// work steps until nothing is due. Like all below, the mutex is held.
func (c *Cloud) work() {
	c.t.Helper()
	for range maxSteps {
		if !c.step() {
			return
		}
	}
	c.t.Fatalf("the cloud does not come to rest at %s: this comes again and again:\n%s", c.Clock.Now(), strings.Join(c.pending(), "\n"))
}

// moveTo moves the clock, with those who sleep, and has the hosts say that they
// are alive.
func (c *Cloud) moveTo(t time.Time) {
	c.surviving(func() { c.virtual.AdvanceTo(t) })
	for _, h := range c.Hosts {
		if now := c.Clock.Now(); !h.off && now.Sub(h.beat) >= beatEvery {
			h.beat = now
			c.do(func() (bool, error) { h.agent.BeatNow(context.Background()); return true, nil })
		}
	}
}

// nextEnding is when something is due that can end.
func (c *Cloud) nextEnding() (first time.Time, any bool) {
	c.t.Helper()
	earlier := func(t time.Time, ok bool) {
		if ok && (!any || t.Before(first)) {
			first, any = t, true
		}
	}
	due, ok, err := c.Queue.NextEnding(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	earlier(due, ok)
	earlier(c.virtual.NextSleeper())
	for _, h := range c.Hosts {
		if !h.off {
			earlier(h.agent.NextDue())
		}
		earlier(h.Hypervisor.NextPlay())
	}
	return first, any
}

// step does one thing.
func (c *Cloud) step() bool {
	c.t.Helper()
	if c.do(func() (bool, error) { return c.Cloud.Step(context.Background()) }) {
		return true
	}
	for _, h := range c.Hosts {
		if !h.off && c.do(func() (bool, error) { return h.agent.Step(context.Background()) }) {
			return true
		}
		if c.do(func() (bool, error) { return h.Hypervisor.Play(c.Clock.Now()), nil }) {
			return true
		}
	}
	return false
}

// do does one thing, which may sleep or crash.
func (c *Cloud) do(f func() (bool, error)) (did bool) {
	c.t.Helper()
	outcome := make(chan error, 1)
	crashed := c.surviving(func() {
		var ran bool
		done := c.virtual.Do(func() {
			var err error
			ran, err = f()
			outcome <- err
		})
		did = ran || !done
		if !done {
			outcome <- nil // it sleeps; what becomes of it is told nobody
		}
	})
	if crashed {
		return true
	}
	err := <-outcome
	if err == nil || errors.Is(err, reconcile.ErrLeaseLost) {
		c.fails = 0
		return did
	}
	if c.fails++; c.fails > maxFailures {
		c.t.Fatalf("the cloud's work keeps failing: %v", err)
	}
	c.virtual.Advance(beatEvery / 100)
	return true
}

// pending tells what is under way.
func (c *Cloud) pending() (lines []string) {
	var rows []struct {
		Kind, ID, LastError string
		Due                 int64
		Attempts            int
	}
	err := c.Store.Reader().NewSelect().Table("work").Column("kind", "id", "due", "attempts", "last_error").Order("due", "kind", "id").Scan(context.Background(), &rows)
	if err != nil {
		return []string{err.Error()}
	}
	standing := map[string]bool{}
	for _, k := range c.Queue.Standing() {
		standing[k] = true
	}
	for _, r := range rows {
		if standing[r.Kind] {
			continue
		}
		line := fmt.Sprintf("%s %s, due %s", r.Kind, r.ID, time.UnixMicro(r.Due).UTC().Format(time.RFC3339Nano))
		if r.Attempts > 0 {
			line += fmt.Sprintf(", failed %d times: %s", r.Attempts, r.LastError)
		}
		lines = append(lines, line)
	}
	for _, h := range c.Hosts {
		if at, ok := h.agent.NextDue(); ok && !h.off {
			lines = append(lines, fmt.Sprintf("the agent of %s tries again at %s", h.Name, at.Format(time.RFC3339Nano)))
		}
	}
	return lines
}
