package cloudtest

import (
	"context"
	"strings"
	"sync"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/reconcile"
)

// crashes is where the cloud is to crash.
type crashes struct {
	mu    sync.Mutex
	plan  func(host, point string) bool
	fell  string // where it crashed, until it was started again
	host  string
	broke bool
}

// CrashAt has plan called at every crash point that the cloud passes: those of
// the queue and of the services, with an empty host, those of the hosts' agents,
// and one before every call of a driver that changes something, such as "call
// hypervisor.Start". When it returns true, the controllers, or the host's agent, end there
// as if they had been killed, and are started again at once on what they left;
// a request under way is answered by a connection that breaks off. plan is nil
// to begin with. It is for clouds that do not work by themselves.
func (c *Cloud) CrashAt(plan func(host, point string) bool) {
	c.crashes.mu.Lock()
	defer c.crashes.mu.Unlock()
	c.crashes.plan = plan
}

// crashPoint is what the host's agent, or the controllers, pass.
func (c *Cloud) crashPoint(host string) nephos.CrashPoint {
	return func(name string) {
		c.options.Crash.Here(name)
		c.crashes.mu.Lock()
		plan := c.crashes.plan
		c.crashes.mu.Unlock()
		if plan != nil && plan(host, name) {
			c.fall(host, name)
		}
	}
}

// calls has a crash point, "call " and what is called, before each call of a
// driver that may change something.
func (c *Cloud) calls(host string, then driver.Intercept) driver.Intercept {
	point := c.crashPoint(host)
	return func(ctx context.Context, call driver.Call) (bool, error) {
		aside := call.Kind == "hypervisor" && call.Method == "Snapshot" // by a goroutine of the agent's
		if !aside && !asks(call.Method) {
			point("call " + call.Kind + "." + call.Method)
		}
		return then(ctx, call)
	}
}

// asks reports whether a driver's method changes nothing.
func asks(method string) bool {
	for _, prefix := range []string{"Get", "List", "Info", "Stat", "Abilities", "Console", "Events", "Diagnos", "Read", "Location", "PortStatistics"} {
		if strings.HasPrefix(method, prefix) {
			return true
		}
	}
	return false
}

// fall ends the host's agent, or the controllers.
func (c *Cloud) fall(host, name string) {
	c.crashes.mu.Lock()
	c.crashes.host, c.crashes.fell, c.crashes.broke = host, name, true
	c.crashes.mu.Unlock()
	panic(reconcile.Crash{At: name})
}

// surviving runs f and, when something crashes in it, starts it again.
func (c *Cloud) surviving(f func()) (crashed bool) {
	defer func() {
		if r := recover(); r != nil {
			c.crashes.mu.Lock()
			fell := c.crashes.broke
			c.crashes.mu.Unlock()
			if !fell {
				panic(r)
			}
		}
		if c.raise() {
			crashed = true
		}
	}()
	f()
	return false
}

// raise starts what has crashed. It reports whether anything had.
func (c *Cloud) raise() bool {
	c.crashes.mu.Lock()
	broke, host := c.crashes.broke, c.crashes.host
	c.crashes.broke = false
	c.crashes.mu.Unlock()
	switch {
	case !broke:
		return false
	case host == "":
		c.compose()
	default:
		h := c.Host(host)
		h.close()
		h.open()
	}
	return true
}
