package compute

import (
	"context"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// ListInterfaces implements [Interfaces].
func (s *Service) ListInterfaces(ctx context.Context, serverID string) ([]NIC, error) {
	row, err := s.find(ctx, serverID, false)
	if err != nil {
		return nil, err
	}
	nics := slices.DeleteFunc(slices.Clone(row.NICs), func(n NIC) bool { return n.PortID == "" })
	return nics, s.cfg.Policy.Enforce(ctx, interfacesRule+"list", row.target())
}

// Interface implements [Interfaces].
func (s *Service) Interface(ctx context.Context, serverID, portID string) (NIC, error) {
	row, err := s.find(ctx, serverID, false)
	if err != nil {
		return NIC{}, err
	}
	if err := s.cfg.Policy.Enforce(ctx, interfacesRule+"show", row.target()); err != nil {
		return NIC{}, err
	}
	i := slices.IndexFunc(row.NICs, func(n NIC) bool { return n.PortID == portID })
	if i < 0 || portID == "" {
		return NIC{}, nephos.Errorf(nephos.ErrNotFound, "Instance %s does not have a port with id %.64s", serverID, portID)
	}
	return row.NICs[i], nil
}

// onceInterface and onceVolume are what an Idempotency-Key is kept for.
const (
	onceInterface = "compute.attach_interface"
	onceVolume    = "compute.attach_volume"
)

// cardMadeBefore returns the card of a request that is sent again.
func (s *Service) cardMadeBefore(ctx context.Context, row *serverRow, key string) (NIC, error) {
	i := slices.IndexFunc(row.NICs, func(n NIC) bool { return n.Key == key })
	if i < 0 {
		return NIC{}, nephos.Errorf(nephos.ErrNotFound, "The interface that was attached with this Idempotency-Key is gone.")
	}
	if row.NICs[i].PortID == "" {
		return NIC{}, nephos.Errorf(nephos.ErrConflict, "The interface of this Idempotency-Key is still being attached: ask again.")
	}
	views, err := s.cfg.Ports.PortsOf(row.served(ctx), row.ID)
	if err != nil {
		return NIC{}, err
	}
	one := []NIC{row.NICs[i]}
	describeNICs(one, views)
	return one[0], nil
}

// AttachInterface implements [Interfaces]. The card is on record before its port
// is made, so that whoever comes after a crash finishes or undoes it.
func (s *Service) AttachInterface(ctx context.Context, serverID string, req network.PortRequest) (NIC, error) {
	row, err := s.find(ctx, serverID, false)
	if err != nil {
		return NIC{}, err
	}
	if err := s.cfg.Policy.Enforce(ctx, interfacesRule+"create", row.target()); err != nil {
		return NIC{}, err
	}
	if err := s.unlocked(ctx, row); err != nil {
		return NIC{}, err
	}
	if err := row.attachable("attach_interface", Active, Paused, Stopped); err != nil {
		return NIC{}, err
	}
	if s.cfg.Ports == nil {
		return NIC{}, invalid("There is no network service.")
	}
	if key, ok, err := s.cfg.Store.Made(ctx, onceInterface); ok || err != nil {
		if err != nil {
			return NIC{}, err
		}
		return s.cardMadeBefore(ctx, row, key)
	}
	plans, err := s.cfg.Ports.CheckPorts(ctx, []network.PortRequest{req})
	if err != nil {
		return NIC{}, err
	}
	if len(plans) == 0 {
		return NIC{}, invalid("No network is available to attach.")
	}
	nic := newNIC(s.cfg.IDs.New(), plans[0])
	nic.State = nicAttaching
	before := ""
	row, err = s.change(ctx, serverID, interfacesRule+"create", false, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		before = ""
		if key, first, err := tx.Once(ctx, onceInterface, nic.Key); err != nil || !first {
			before = key
			return err
		}
		if err := row.attachable("attach_interface", Active, Paused, Stopped); err != nil {
			return err
		}
		if len(row.NICs) >= maxNICs {
			return invalid("At most %d interfaces can be attached to a server.", maxNICs)
		}
		row.NICs = append(row.NICs, nic)
		if err := row.begin(ctx, tx, "attach_interface"); err != nil {
			return err
		}
		// The request goes on by itself; the work is for when it does not.
		if err := reconcile.Enqueue(ctx, tx, kindServer, row.ID, tx.Now().Add(s.cfg.Resend)); err != nil {
			return err
		}
		return row.save(ctx, tx, "nics", "action")
	})
	if err != nil {
		return NIC{}, err
	}
	if before != "" {
		return s.cardMadeBefore(ctx, row, before)
	}
	s.cfg.Crash.Here("compute recorded card")
	work := row.served(ctx)
	if err := s.connectNIC(work, row, &nic); err != nil {
		return NIC{}, s.dropNIC(ctx, serverID, nic.Key, err)
	}
	s.cfg.Crash.Here("compute made port")
	if views, err := s.cfg.Ports.PortsOf(work, serverID); err == nil {
		one := []NIC{nic}
		describeNICs(one, views)
		nic = one[0]
	}
	return nic, s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := loadServer(ctx, tx, serverID)
		if err != nil {
			return err
		}
		mergePorts(&cur, []NIC{nic})
		if err := s.wish(ctx, tx, &cur); err != nil {
			return err
		}
		return cur.save(ctx, tx, append([]string{"nics"}, wishColumns...)...)
	})
}

// dropNIC takes back a card whose port cannot be made, and returns why.
func (s *Service) dropNIC(ctx context.Context, serverID, key string, cause error) error {
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		cur, err := loadServer(ctx, tx, serverID)
		if err != nil {
			return err
		}
		cur.NICs = slices.DeleteFunc(cur.NICs, func(n NIC) bool { return n.Key == key && n.PortID == "" })
		if err := cur.finish(ctx, tx, cause.Error(), "", nil); err != nil {
			return err
		}
		if err := tx.Forget(ctx, onceInterface); err != nil {
			return err
		}
		return cur.save(ctx, tx, "nics", "action")
	})
	if err != nil {
		s.cfg.Log.Error("taking an interface back", "server", serverID, "error", err)
	}
	return cause
}

// DetachInterface implements [Interfaces].
func (s *Service) DetachInterface(ctx context.Context, serverID, portID string) error {
	_, err := s.change(ctx, serverID, interfacesRule+"delete", false, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		if err := row.attachable("detach_interface", Active, Paused, Stopped); err != nil {
			return err
		}
		i := slices.IndexFunc(row.NICs, func(n NIC) bool { return n.PortID == portID && portID != "" })
		if i < 0 {
			return nephos.Errorf(nephos.ErrNotFound, "Port %.64s not found.", portID)
		}
		row.NICs[i].State = nicDetaching
		if err := row.begin(ctx, tx, "detach_interface"); err != nil {
			return err
		}
		if err := s.wish(ctx, tx, row); err != nil {
			return err
		}
		return row.save(ctx, tx, append([]string{"nics", "action"}, wishColumns...)...)
	})
	return err
}
