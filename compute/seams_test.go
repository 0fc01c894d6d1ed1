package compute_test

import (
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

// The services satisfy what servers need of them as they are.
var (
	_ compute.ImageSource  = (*image.Service)(nil)
	_ compute.Ports        = (*network.Service)(nil)
	_ compute.BlockDevices = (*blockstorage.Service)(nil)
	_ compute.Claims       = (*sqlstore.Store)(nil)
	_ driver.Observer      = (*compute.Service)(nil)
)
