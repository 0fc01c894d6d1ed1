package driver

import "context"

// Call is one call of a driver.
type Call struct {
	Kind   string // hypervisor, network, volume or blob
	Name   string // which one, where it has a name
	Method string // Ensure, CreateSnapshot …
	ID     string // of what the call is about; empty where it is about nothing single
}

// Intercept is asked about each call of a driver before it is made, by those who
// hold drivers: hypervisor.Node, network.Node, volume.Pool and blob.Store. It is
// how package faults makes drivers fail; without it nothing is asked.
//
// An error is the call's outcome. The driver is then not called or called with a
// context that has ended, unless after says that it shall do its work first and
// that only its answer is lost. Intercept may wait before it answers, and must
// be safe for concurrent use.
type Intercept func(ctx context.Context, c Call) (after bool, err error)
