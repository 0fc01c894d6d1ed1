package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/scheduler"
)

// keptDenials bounds the requests whose denials are remembered.
const keptDenials = 1000

// denials remembers which rules denied what, by request.
type denials struct {
	mu    sync.Mutex
	by    map[string][]policy.Explanation
	order []string
}

func (d *denials) follow(e *policy.Enforcer) {
	e.OnDenied(func(ctx context.Context, rule string, target policy.Target) {
		who, _ := nephos.CallerFrom(ctx)
		why := e.Explain(ctx, rule, target)
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.by == nil {
			d.by = map[string][]policy.Explanation{}
		}
		if _, ok := d.by[who.RequestID]; !ok {
			if d.order = append(d.order, who.RequestID); len(d.order) > keptDenials {
				delete(d.by, d.order[0])
				d.order = d.order[1:]
			}
		}
		d.by[who.RequestID] = append(d.by[who.RequestID], why)
	})
}

func (d *denials) of(request string) []policy.Explanation {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.by[request]
}

// Explanation is why something is as it is.
type Explanation struct {
	// Placement is how the scheduler chose a host, or why there was none.
	Placement *scheduler.Explanation
	// Denials are the rules that said no, in the order in which they were asked.
	Denials []policy.Explanation
}

// String tells it in some lines.
func (e Explanation) String() string {
	var b strings.Builder
	if p := e.Placement; p != nil {
		fmt.Fprintln(&b, p.Summary())
		for _, h := range p.Chosen {
			fmt.Fprintf(&b, "  chosen: %s\n", h.Name)
		}
		for _, w := range p.Weights {
			fmt.Fprintf(&b, "  %s weighs %.3f\n", w.Host.Name, w.Total)
		}
		if p.Nearest != nil {
			fmt.Fprintf(&b, "  nearest: %s; %s\n", p.Nearest.Host.Name, strings.Join(p.Nearest.Advice, "; "))
		}
	}
	for _, d := range e.Denials {
		b.WriteString(d.String())
	}
	if b.Len() == 0 {
		return "nothing is known of it\n"
	}
	return b.String()
}

// Explain tells why a server is on its host or on none, by the server's id, and
// which rules denied a request, by its id or by the error that gophercloud
// returned (its header X-Openstack-Request-Id has the id).
func (c *Cloud) Explain(of any) Explanation {
	c.t.Helper()
	var id string
	switch of := of.(type) {
	case string:
		id = of
	case error:
		var unexpected gophercloud.ErrUnexpectedResponseCode
		if !errors.As(of, &unexpected) {
			c.t.Fatalf("this error tells of no request: %v", of)
		}
		id = unexpected.ResponseHeader.Get("X-Openstack-Request-Id")
	default:
		c.t.Fatalf("a %T cannot be explained: give an id or an error", of)
	}
	out := Explanation{Denials: c.denials.of(id)}
	placement, err := c.Claims.Explanation(context.Background(), id)
	switch {
	case err == nil:
		out.Placement = &placement
	case !errors.Is(err, nephos.ErrNotFound):
		c.t.Fatal(err)
	}
	return out
}
