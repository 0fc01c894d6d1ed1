package qemu

import "github.com/nephos-cloud/nephos/driver/hypervisor"

var (
	_ hypervisor.Driver        = (*Driver)(nil)
	_ hypervisor.HotPlugger    = (*Driver)(nil)
	_ hypervisor.Rebooter      = (*Driver)(nil)
	_ hypervisor.Pauser        = (*Driver)(nil)
	_ hypervisor.Suspender     = (*Driver)(nil)
	_ hypervisor.Snapshotter   = (*Driver)(nil)
	_ hypervisor.ConsoleLogger = (*Driver)(nil)
	_ hypervisor.Consoler      = (*Driver)(nil)
	_ hypervisor.Eventer       = (*Driver)(nil)
	_ hypervisor.Diagnoser     = (*Driver)(nil)
)
