// Package operator is a small operator, such as people write for their clouds:
// it keeps a number of servers running. It is here for its tests, which show how
// such a program is tested against a whole cloud in milliseconds: see
// operator_test.go.
//
// The operator knows nothing of Nephos: it speaks to a cloud by gophercloud.
package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/services"
)

// Fleet is a set of like servers that shall run. All fields are needed but
// Sleep.
type Fleet struct {
	Compute *gophercloud.ServiceClient // of one who may see hosts
	Name    string                     // servers are Name-1, Name-2 …
	Size    int
	Server  servers.CreateOpts // what each is like; the name is set

	// Sleep waits between attempts; nil sleeps.
	Sleep func(ctx context.Context, d time.Duration) error
}

// State is what Reconcile found, and what it did.
type State struct {
	Running, Building []string
	Created, Replaced []string // now
	Dead              []string // hosts that are down
}

const attempts = 5

// Reconcile brings the fleet closer to what it shall be: it makes servers that
// are missing, and replaces those that are broken or whose host is dead. Call
// it again and again.
func (f *Fleet) Reconcile(ctx context.Context) (State, error) {
	var state State
	down, err := f.deadHosts(ctx)
	if err != nil {
		return state, fmt.Errorf("looking at the hosts: %w", err)
	}
	state.Dead = down
	have, err := f.list(ctx)
	if err != nil {
		return state, fmt.Errorf("listing servers: %w", err)
	}
	for i := range f.Size {
		name := fmt.Sprintf("%s-%d", f.Name, i+1)
		var good, bad []servers.Server
		for _, s := range have {
			switch {
			case s.Name != name:
			case s.Status == "ERROR" || slices.Contains(down, s.Host):
				bad = append(bad, s)
			default:
				good = append(good, s)
			}
		}
		for _, s := range bad {
			if err := f.patiently(ctx, func() error { return servers.Delete(ctx, f.Compute, s.ID).ExtractErr() }); err != nil {
				return state, fmt.Errorf("deleting %s, which is broken: %w", name, err)
			}
		}
		switch {
		case len(good) > 0 && good[0].Status == "ACTIVE":
			state.Running = append(state.Running, name)
		case len(good) > 0:
			state.Building = append(state.Building, name)
		default:
			if err := f.create(ctx, name, bad); err != nil {
				return state, fmt.Errorf("creating %s: %w", name, err)
			}
			if len(bad) > 0 {
				state.Replaced = append(state.Replaced, name)
			} else {
				state.Created = append(state.Created, name)
			}
		}
	}
	return state, nil
}

// create makes a server beside those of its name that go.
func (f *Fleet) create(ctx context.Context, name string, going []servers.Server) error {
	opts := f.Server
	opts.Name = name
	again := false
	return f.patiently(ctx, func() error {
		if again { // the answer may have been lost, and the server be there
			have, err := f.list(ctx)
			if err != nil || slices.ContainsFunc(have, func(s servers.Server) bool {
				return s.Name == name && !slices.ContainsFunc(going, func(g servers.Server) bool { return g.ID == s.ID })
			}) {
				return err
			}
		}
		again = true
		return servers.Create(ctx, f.Compute, opts, nil).Err
	})
}

func (f *Fleet) list(ctx context.Context) (found []servers.Server, err error) {
	err = f.patiently(ctx, func() error {
		pages, err := servers.List(f.Compute, servers.ListOpts{Name: "^" + f.Name + "-"}).AllPages(ctx)
		if err != nil {
			return err
		}
		found, err = servers.ExtractServers(pages)
		return err
	})
	return found, err
}

func (f *Fleet) deadHosts(ctx context.Context) (hosts []string, err error) {
	err = f.patiently(ctx, func() error {
		pages, err := services.List(f.Compute, services.ListOpts{Binary: "nova-compute"}).AllPages(ctx)
		if err != nil {
			return err
		}
		all, err := services.ExtractServices(pages)
		hosts = nil
		for _, s := range all {
			if s.State == "down" {
				hosts = append(hosts, s.Host)
			}
		}
		return err
	})
	return hosts, err
}

// patiently tries again what failed for the moment only.
func (f *Fleet) patiently(ctx context.Context, try func() error) error {
	wait := time.Second
	for n := 1; ; n++ {
		err := try()
		if err == nil || !passing(err) || n == attempts {
			return err
		}
		if err := f.sleep(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

// passing reports whether an error may be gone the next time: the service is too
// busy, or the connection broke.
func passing(err error) bool {
	var code gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &code) {
		return code.Actual == http.StatusServiceUnavailable || code.Actual == http.StatusTooManyRequests
	}
	return !errors.Is(err, context.Canceled)
}

func (f *Fleet) sleep(ctx context.Context, d time.Duration) error {
	if f.Sleep != nil {
		return f.Sleep(ctx, d)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
