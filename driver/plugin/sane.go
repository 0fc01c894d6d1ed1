package plugin

import (
	"fmt"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// What a plugin says of a thing is taken only if the thing could be so: a guest in
// a state, a volume with a size. The errors are the plugin's fault, not the
// caller's, and have no meaning of the table.

func saneGuest(g hypervisor.Guest) error {
	switch g.State {
	case hypervisor.Running, hypervisor.Paused, hypervisor.Stopped, hypervisor.Crashed, hypervisor.Incoming:
		return nil
	}
	return fmt.Errorf("asking the plugin for guest %s: it answered with the state %.40q, which guests do not have", g.ID, g.State)
}

func saneVolume(v volume.Volume) error {
	if v.SizeGiB < 0 || v.SizeGiB > volume.MaxSizeGiB {
		return fmt.Errorf("asking the plugin for volume %s: it answered with a size of %d GiB", v.ID, v.SizeGiB)
	}
	if v.Format != volume.FormatRaw && v.Format != volume.FormatQCOW2 {
		return fmt.Errorf("asking the plugin for volume %s: it answered with the format %.40q: want raw or qcow2", v.ID, v.Format)
	}
	return nil
}

func saneObject(o blob.Object) error {
	if o.Size < 0 {
		return fmt.Errorf("asking the plugin for object %s: it answered with a size of %d bytes", o.ID, o.Size)
	}
	return nil
}

// each is a list whose every item passes the check.
func each[T any](list []T, check func(T) error) ([]T, error) {
	for _, item := range list {
		if err := check(item); err != nil {
			return nil, err
		}
	}
	return list, nil
}
