package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
)

var errTimeout = errors.New("driver took too long")

// Calls is how a kind's concrete type, such as blob.Store, treats the calls of
// its driver: deadline, trace, log and metrics, each in this one place.
type Calls struct {
	Kind, Type string // blob, Store
	Name       string // which one, for logs
	Timeout    time.Duration
	Clock      nephos.Clock
	Log        *slog.Logger
	Observe    func(op string, took time.Duration, err error) // may be nil
	Intercept  Intercept                                      // may be nil
}

// Begin starts a call, which the timeout bounds if bounded; the function that it
// returns ends the call. A call that our deadline cut short wraps
// nephos.ErrUnavailable. Begin panics inside a transaction. id, where given, says
// what the call is about.
func (c Calls) Begin(ctx context.Context, op string, bounded bool, id ...string) (context.Context, func(*error)) {
	nephos.OutsideTx(ctx, c.Kind+"."+c.Type+"."+op)
	cancel := context.CancelFunc(func() {})
	if bounded && c.Timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, c.Timeout, errTimeout)
	}
	start := c.Clock.Now()
	ctx, span := Span(ctx, c.Kind+"."+op)
	ctx, injected := c.intercept(ctx, op, id)
	return ctx, func(errp *error) {
		if injected != nil {
			*errp = fmt.Errorf("%s %s: %w", c.Kind, op, injected)
		}
		if *errp != nil && context.Cause(ctx) == errTimeout { //nolint:errorlint // our own value
			*errp = fmt.Errorf("%s %s: the %s %w after %v: %w: %w", c.Kind, op, c.Kind, errTimeout, c.Timeout, nephos.ErrUnavailable, *errp)
		}
		cancel()
		span(*errp)
		took := c.Clock.Now().Sub(start)
		if *errp != nil {
			c.Log.LogAttrs(ctx, slog.LevelDebug, c.Kind+" driver call failed", slog.String(strings.ToLower(c.Type), c.Name),
				slog.String("op", op), slog.Duration("took", took), slog.Any("error", *errp))
		}
		if c.Observe != nil {
			c.Observe(op, took, *errp)
		}
	}
}

// intercept asks about a call. An outcome that is not to be the driver's comes
// with a context that has ended, so that the driver does nothing.
func (c Calls) intercept(ctx context.Context, op string, id []string) (context.Context, error) {
	if c.Intercept == nil {
		return ctx, nil
	}
	call := Call{Kind: c.Kind, Name: c.Name, Method: op}
	if len(id) > 0 {
		call.ID = id[0]
	}
	after, err := c.Intercept(ctx, call)
	if err != nil && !after {
		ended, cancel := context.WithCancelCause(ctx)
		cancel(err)
		return ended, err
	}
	return ctx, err
}
