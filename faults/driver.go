package faults

import (
	"context"
	"errors"
	"fmt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
)

// kinds are the sentinels that driver errors wrap.
var kinds = map[string]error{
	"":            nil,
	"unavailable": nephos.ErrUnavailable,
	"timeout":     context.DeadlineExceeded,
	"not_found":   nephos.ErrNotFound,
	"conflict":    nephos.ErrConflict,
	"invalid":     nephos.ErrInvalid,
	"no_capacity": nephos.ErrNoCapacity,
	"unsupported": errors.ErrUnsupported,
}

// Intercept returns what the holder of a driver is told to ask about each call:
// hypervisor.Node and its siblings have a method Intercept. host is empty for
// what belongs to no host.
func (s *Set) Intercept(host string) driver.Intercept {
	return func(ctx context.Context, c driver.Call) (after bool, err error) {
		if s.count.Load() == 0 {
			return false, nil
		}
		delay, hit := s.decide(Driver, func(r *Rule) bool {
			return (r.Service == "" || r.Service == c.Kind) && like(r.Operation, c.Method) &&
				(r.Resource == "" || r.Resource == c.ID) && (r.Host == "" || r.Host == host)
		})
		if err := s.sleep(ctx, delay); err != nil {
			return false, err
		}
		if hit == nil {
			return false, nil
		}
		message := hit.Message
		if message == "" {
			message = "a fault was injected"
		}
		if kind := kinds[hit.Kind]; kind != nil {
			return hit.After, fmt.Errorf("%s: %w", message, kind)
		}
		return hit.After, errors.New(message)
	}
}
