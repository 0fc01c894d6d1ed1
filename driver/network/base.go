package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// The names of the optional abilities, for [Node.Can] and [Abilitier].
const (
	AbilityRouter     = "RouterDriver"
	AbilityMetadata   = "MetadataServer"
	AbilityEvents     = "Eventer"
	AbilityStatistics = "Statistician"
	AbilityQoS        = "QoSDriver"
	AbilityTrunk      = "TrunkDriver"
	AbilityDNS        = "NameServer"
)

// offers tells of each ability whether a driver's methods have it.
var offers = map[string]func(any) bool{
	AbilityRouter:     is[RouterDriver],
	AbilityMetadata:   is[MetadataServer],
	AbilityEvents:     is[Eventer],
	AbilityStatistics: is[Statistician],
	AbilityQoS:        is[QoSDriver],
	AbilityTrunk:      is[TrunkDriver],
	AbilityDNS:        is[NameServer],
}

func is[T any](d any) bool {
	_, ok := d.(T)
	return ok
}

// AbilitiesOf tells what a [Driver] or [Controller] offers beyond it: the
// optional interfaces that it implements, narrowed by its [Abilitier] if it is
// one. Names that this version does not know are left out. The result is sorted.
func AbilitiesOf(ctx context.Context, d any) ([]string, error) {
	return driver.AbilitiesOf(ctx, "network", d, offers)
}

// base is what a [Node] and a [Control] share: abilities and calls.
type base struct {
	d         any
	abilities []string
	calls     driver.Calls
}

func (c *base) open(ctx context.Context, holder string, d any, o NodeOptions) error {
	c.d = d
	c.calls = driver.Calls{Kind: "network", Type: holder, Name: o.Name, Timeout: o.Timeout, Clock: o.Clock, Log: o.Log, Observe: o.Observe}
	if c.calls.Timeout <= 0 {
		c.calls.Timeout = DefaultTimeout
	}
	if c.calls.Clock == nil {
		c.calls.Clock = nephos.WallClock{}
	}
	if c.calls.Log == nil {
		c.calls.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, c.calls.Timeout)
	defer cancel()
	var err error
	c.abilities, err = AbilitiesOf(ctx, d)
	return err
}

// Intercept has f asked about every call from now on. It is for whoever composes
// the holder, before it is used.
func (c *base) Intercept(f driver.Intercept) { c.calls.Intercept = f }

// Can reports whether the driver offers the ability, named as its interface.
func (c *base) Can(name string) bool { return slices.Contains(c.abilities, name) }

// Abilities lists what the driver offers beyond the required interface, sorted.
func (c *base) Abilities() []string { return slices.Clone(c.abilities) }

// able returns the driver as a T, or why it is not to be had.
func able[T any](c *base, ability string) (T, error) {
	if t, ok := c.d.(T); ok && c.Can(ability) {
		return t, nil
	}
	var none T
	return none, fmt.Errorf("network driver: ability %s: %w", ability, errors.ErrUnsupported)
}

// do runs one call with a deadline. A call that our deadline, not the caller's,
// cut short is worth retrying: its error wraps ErrUnavailable.
func (c *base) do(ctx context.Context, op, what string, call func(context.Context) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
		}
	}()
	ctx, end := c.calls.Begin(ctx, op, true, what[strings.LastIndexByte(what, ' ')+1:])
	defer end(&err)
	if err := ctx.Err(); err != nil {
		return err
	}
	return call(ctx)
}

// EnsureRouter implements [RouterDriver].
func (c *base) EnsureRouter(ctx context.Context, id string, r Router) error {
	return c.do(ctx, "EnsureRouter", "ensure router "+id, func(ctx context.Context) error {
		d, err := able[RouterDriver](c, AbilityRouter)
		if err != nil {
			return err
		}
		if err := errors.Join(CheckID(id), r.Validate()); err != nil {
			return err
		}
		return d.EnsureRouter(ctx, id, r)
	})
}

// DeleteRouter implements [RouterDriver].
func (c *base) DeleteRouter(ctx context.Context, id string) error {
	return c.do(ctx, "DeleteRouter", "delete router "+id, func(ctx context.Context) error {
		d, err := able[RouterDriver](c, AbilityRouter)
		if err != nil {
			return err
		}
		return d.DeleteRouter(ctx, id)
	})
}

// EnsureZone implements [NameServer].
func (c *base) EnsureZone(ctx context.Context, networkID string, z Zone) error {
	return c.do(ctx, "EnsureZone", "ensure the zone of network "+networkID, func(ctx context.Context) error {
		d, err := able[NameServer](c, AbilityDNS)
		if err != nil {
			return err
		}
		if err := errors.Join(CheckID(networkID), z.Validate()); err != nil {
			return err
		}
		return d.EnsureZone(ctx, networkID, z)
	})
}

// DeleteZone implements [NameServer].
func (c *base) DeleteZone(ctx context.Context, networkID string) error {
	return c.do(ctx, "DeleteZone", "delete the zone of network "+networkID, func(ctx context.Context) error {
		d, err := able[NameServer](c, AbilityDNS)
		if err != nil {
			return err
		}
		return d.DeleteZone(ctx, networkID)
	})
}

// QoSRules are the kinds of QoS rule that the driver honours: none when it is no
// [QoSDriver].
func (c *base) QoSRules() []string {
	d, err := able[QoSDriver](c, AbilityQoS)
	if err != nil {
		return nil
	}
	return d.QoSRules()
}

// Segmentation are the kinds of sub-port that the driver honours: none when it
// is no [TrunkDriver].
func (c *base) Segmentation() []string {
	d, err := able[TrunkDriver](c, AbilityTrunk)
	if err != nil {
		return nil
	}
	return d.Segmentation()
}

// Events implements [Eventer]; the channel has no deadline but ctx's.
func (c *base) Events(ctx context.Context) (<-chan Event, error) {
	nephos.OutsideTx(ctx, "network."+c.calls.Type+".Events")
	d, err := able[Eventer](c, AbilityEvents)
	if err != nil {
		return nil, fmt.Errorf("watch network events: %w", err)
	}
	return d.Events(ctx)
}

// NodeOptions configures a [Node] or a [Control]. The zero value works.
type NodeOptions struct {
	// Name tells nodes apart in logs.
	Name string
	// Timeout bounds each call; zero means [DefaultTimeout].
	Timeout time.Duration
	// Clock measures calls; nil is the wall clock.
	Clock nephos.Clock
	// Log hears of failed calls; nil is silence.
	Log *slog.Logger
	// Observe, if set, is told of each call's end, for metrics.
	Observe func(op string, took time.Duration, err error)
}
