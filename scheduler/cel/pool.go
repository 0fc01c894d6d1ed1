package cel

import (
	"math"
	"sync"

	"github.com/nephos-cloud/nephos/scheduler"
)

// NewPoolFilter makes a filter for pools of storage of an expression over
// [PoolVariables]; see [NewFilter].
func NewPoolFilter(name, expression string, o Options) (scheduler.Filter, error) {
	p, err := compile("making filter "+name, expression, PoolVariables(), o)
	if err != nil {
		return nil, err
	}
	if err := p.isBool("making filter " + name); err != nil {
		return nil, err
	}
	return &filter{name, expression, p, o}, nil
}

// NewPoolWeigher makes a weigher for pools of storage of an expression over
// [PoolVariables]; see [NewWeigher].
func NewPoolWeigher(name, expression string, o Options) (scheduler.Weigher, error) {
	p, err := compile("making weigher "+name, expression, PoolVariables(), o)
	if err != nil {
		return nil, err
	}
	if err := p.isNumber("making weigher " + name); err != nil {
		return nil, err
	}
	return &weigher{name, p}, nil
}

// Check says what is wrong with a pool's expressions, if something is, for
// whoever takes them from a backend.
func Check(p scheduler.Pool, o Options) error {
	if p.Filter != "" {
		if _, err := NewPoolFilter("filter_function of "+p.ID, p.Filter, o); err != nil {
			return err
		}
	}
	if p.Goodness != "" {
		if _, err := NewPoolWeigher("goodness_function of "+p.ID, p.Goodness, o); err != nil {
			return err
		}
	}
	return nil
}

// programs keeps expressions that pools carry, ready to run.
type programs struct {
	o    Options
	mu   sync.Mutex
	byEx map[string]compiled
}

type compiled struct {
	p   *program
	err error
}

// maxPrograms bounds how many expressions are kept.
const maxPrograms = 1024

func (c *programs) get(what, expression string, check func(*program) error) (*program, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if got, ok := c.byEx[expression]; ok {
		return got.p, got.err
	}
	if c.byEx == nil || len(c.byEx) >= maxPrograms {
		c.byEx = map[string]compiled{}
	}
	p, err := compile(what, expression, PoolVariables(), c.o)
	if err == nil {
		err = check(p)
	}
	c.byEx[expression] = compiled{p, err}
	return p, err
}

// DriverFilter returns the filter that asks each pool's own expression
// (Pool.Filter, Cinder's filter_function): volume.size < 10 and the like. A pool
// without one passes; one whose expression cannot be read or evaluated is turned
// away.
func DriverFilter(o Options) scheduler.Filter { return &driverFilter{programs{o: o}} }

type driverFilter struct{ programs programs }

// Name implements [scheduler.Filter].
func (*driverFilter) Name() string { return "DriverFilter" }

// Prepare implements [scheduler.Filter].
func (f *driverFilter) Prepare(req *scheduler.Request) scheduler.Check {
	r := newRequest(req)
	return scheduler.Check{Host: func(h scheduler.HostView) scheduler.Verdict {
		pool := h.Pool()
		if pool == nil || pool.Filter == "" {
			return scheduler.Verdict{}
		}
		p, err := f.programs.get("making the filter of pool "+pool.ID, pool.Filter, func(p *program) error { return p.isBool("filter_function of " + pool.ID) })
		if err != nil {
			return scheduler.Verdict{Reason: "could not be judged by DriverFilter", Want: clip(pool.Filter), Saw: clip(err.Error()), Fix: "mend the pool's filter_function"}
		}
		o := f.programs.o
		if o.Reason == "" {
			o.Reason = "turned away by their own filter_function"
		}
		return verdict(p, "DriverFilter", pool.Filter, o, &scope{h, r, p.vars})
	}}
}

// GoodnessWeigher returns the weigher that asks each pool's own expression
// (Pool.Goodness, Cinder's goodness_function) for a number from 0 to 100. A pool
// without one, or whose expression fails or leaves these bounds, has 0.
func GoodnessWeigher(o Options) scheduler.Weigher { return &goodness{programs{o: o}} }

type goodness struct{ programs programs }

// Name implements [scheduler.Weigher].
func (*goodness) Name() string { return "GoodnessWeigher" }

// Bounds implements [scheduler.Bounded].
func (*goodness) Bounds() (lo, hi float64) { return 0, 100 }

// Weigh implements [scheduler.Weigher].
func (g *goodness) Weigh(req *scheduler.Request, h scheduler.HostView) float64 {
	pool := h.Pool()
	if pool == nil || pool.Goodness == "" {
		return 0
	}
	p, err := g.programs.get("making the goodness of pool "+pool.ID, pool.Goodness, func(p *program) error { return p.isNumber("goodness_function of " + pool.ID) })
	if err != nil {
		return 0
	}
	f, err := p.number(&scope{h, newRequest(req), p.vars})
	if err != nil || math.IsNaN(f) || f < 0 || f > 100 {
		return 0
	}
	return f
}
