package qemu

import (
	"context"
	"fmt"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Events implements hypervisor.Eventer.
func (d *Driver) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	events, err := d.events.Subscribe(ctx)
	if err != nil {
		return nil, fmt.Errorf("watch guests: %w", err)
	}
	return events, nil
}
