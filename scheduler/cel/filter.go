package cel

import (
	"fmt"
	"math"
	"strings"

	celgo "cel.dev/cel-go/cel"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// NewFilter makes a filter of an expression that is true for hosts that pass.
// It fails with nephos.ErrInvalid, saying what is wrong where, if the expression
// cannot be read, speaks of unknown variables, is no truth value, or may cost
// too much.
//
// A host over which the evaluation fails, such as for a key that is not there,
// or is cut off for its cost, is turned away.
func NewFilter(name, expression string, o Options) (scheduler.Filter, error) {
	p, err := compile("making filter "+name, expression, HostVariables(), o)
	if err != nil {
		return nil, err
	}
	if err := p.isBool("making filter " + name); err != nil {
		return nil, err
	}
	return &filter{name, expression, p, o}, nil
}

func (p *program) isBool(what string) error {
	if p.kind.Kind() != celgo.BoolKind {
		return nephos.Errorf(nephos.ErrInvalid, "%s: the expression is of type %s, and a filter's is bool", what, p.kind).WithField("expression")
	}
	return nil
}

func (p *program) isNumber(what string) error {
	switch p.kind.Kind() {
	case celgo.IntKind, celgo.DoubleKind, celgo.UintKind:
		return nil
	}
	return nephos.Errorf(nephos.ErrInvalid, "%s: the expression is of type %s, and a weigher's is int or double", what, p.kind).WithField("expression")
}

type filter struct {
	name, expression string
	p                *program
	o                Options
}

// Name implements [scheduler.Filter].
func (f *filter) Name() string { return f.name }

// Prepare implements [scheduler.Filter].
func (f *filter) Prepare(req *scheduler.Request) scheduler.Check {
	r := newRequest(req)
	return scheduler.Check{Shared: f.p.shared, Host: func(h scheduler.HostView) scheduler.Verdict {
		return verdict(f.p, f.name, f.expression, f.o, &scope{h, r, f.p.vars})
	}}
}

// verdict is a filter's answer about one host.
func verdict(p *program, name, expression string, o Options, s *scope) scheduler.Verdict {
	pass, err := p.truth(s)
	switch {
	case err != nil:
		return scheduler.Verdict{Reason: "could not be judged by " + name, Want: clip(expression), Saw: clip(err.Error()), Fix: "mend the expression"}
	case pass:
		return scheduler.Verdict{}
	case o.Reason != "":
		return scheduler.Verdict{Reason: o.Reason, Want: clip(expression), Fix: o.Fix}
	}
	return scheduler.Verdict{Reason: "turned away by " + name, Want: clip(expression), Fix: o.Fix}
}

func (p *program) truth(s *scope) (bool, error) {
	out, _, err := p.run.Eval(s)
	if err != nil {
		return false, err
	}
	b, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("the expression gave %v, which is no truth value", out.Type())
	}
	return b, nil
}

func (p *program) number(s *scope) (float64, error) {
	out, _, err := p.run.Eval(s)
	if err != nil {
		return 0, err
	}
	switch v := out.Value().(type) {
	case int64:
		return float64(v), nil
	case uint64:
		return float64(v), nil
	case float64:
		return v, nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	}
	return 0, fmt.Errorf("the expression gave %v, which is no number", out.Type())
}

// NewWeigher makes a weigher of an expression that is a number: more is better.
// It fails as NewFilter does. A host over which the evaluation fails counts as
// the least of all.
func NewWeigher(name, expression string, o Options) (scheduler.Weigher, error) {
	p, err := compile("making weigher "+name, expression, HostVariables(), o)
	if err != nil {
		return nil, err
	}
	if err := p.isNumber("making weigher " + name); err != nil {
		return nil, err
	}
	return &weigher{name, p}, nil
}

type weigher struct {
	name string
	p    *program
}

// Name implements [scheduler.Weigher].
func (w *weigher) Name() string { return w.name }

// Weigh implements [scheduler.Weigher].
func (w *weigher) Weigh(req *scheduler.Request, h scheduler.HostView) float64 {
	f, err := w.p.number(&scope{h, newRequest(req), w.p.vars})
	if err != nil {
		return math.NaN()
	}
	return f
}

// clip bounds what an explanation quotes.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
