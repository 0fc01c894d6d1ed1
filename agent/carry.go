package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
)

// carry makes the host match the object. Doing it twice does no harm.
func (a *Agent) carry(ctx context.Context, d driver.Object, o *object) (state string, err error) {
	switch d.Kind {
	case driver.KindServer:
		return a.carryServer(ctx, d, o)
	case driver.KindPort:
		return "up", a.carryPort(ctx, d, o)
	case driver.KindNetwork:
		return "up", carrySpec(d, func(n network.Network) error { return a.cfg.Network.EnsureNetwork(ctx, d.ID, n) },
			func() error {
				if err := a.needQuiet(); err != nil {
					return err
				}
				return a.cfg.Network.DeleteNetwork(ctx, d.ID)
			})
	case driver.KindSecurityGroup:
		return "up", carrySpec(d, func(g network.SecurityGroup) error { return a.cfg.Network.EnsureSecurityGroup(ctx, d.ID, g) },
			func() error { return a.cfg.Network.DeleteSecurityGroup(ctx, d.ID) })
	case driver.KindRouter:
		return "up", carrySpec(d, func(r network.Router) error {
			for _, leg := range r.Interfaces {
				if err := a.needNetworks(leg.NetworkID); err != nil {
					return err
				}
			}
			if r.Gateway != nil {
				if err := a.needNetworks(r.Gateway.NetworkID); err != nil {
					return err
				}
			}
			return a.cfg.Network.EnsureRouter(ctx, d.ID, r)
		},
			func() error { return a.cfg.Network.DeleteRouter(ctx, d.ID) })
	}
	return "", nephos.Errorf(nephos.ErrInvalid, "carrying out %s %s: unknown kind", d.Kind, d.ID)
}

func carrySpec[T any](d driver.Object, ensure func(T) error, remove func() error) error {
	if d.Deleted {
		err := remove()
		if errors.Is(err, nephos.ErrConflict) && (d.Kind == driver.KindNetwork || d.Kind == driver.KindSecurityGroup) {
			err = fmt.Errorf("%w: %w", errWaits, err) // the tombstones of what uses it are on their way
		}
		return err
	}
	var spec T
	if err := json.Unmarshal(d.Spec, &spec); err != nil {
		return nephos.Errorf(nephos.ErrInvalid, "reading %s %s: %w", d.Kind, d.ID, err)
	}
	return ensure(spec)
}

func (a *Agent) carryPort(ctx context.Context, d driver.Object, o *object) error {
	return carrySpec(d, func(p network.Port) error {
		if err := a.needNetworks(p.NetworkID); err != nil {
			return err
		}
		b, err := a.cfg.Network.EnsurePort(ctx, d.ID, p)
		if err != nil {
			return err
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.forgetAddresses(o)
		o.port, o.binding = &p, &b
		for _, addr := range p.Addresses {
			if p.PortSecurity {
				a.byAddr[netAddr{p.NetworkID, addr.IP}] = d.ID
			}
		}
		return nil
	}, func() error {
		a.mu.Lock()
		a.forgetAddresses(o)
		o.port, o.binding = nil, nil
		a.mu.Unlock()
		return a.cfg.Network.DeletePort(ctx, d.ID)
	})
}

// needNetworks waits for networks to be carried out.
func (a *Agent) needNetworks(ids ...string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		if o := a.objects[key(driver.KindNetwork, id)]; o == nil || o.done == nil {
			return fmt.Errorf("network %s is not here yet: %w", id, errWaits)
		}
	}
	return nil
}

// needQuiet waits for ports and routers under way, which may be about to leave a
// network that goes. Those that failed are not waited for.
func (a *Agent) needQuiet() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, o := range a.objects {
		_, fresh := a.pending[o]
		if (o.running || fresh && o.fails == 0 && !o.waits) && (o.desired.Kind == driver.KindPort || o.desired.Kind == driver.KindRouter) {
			return fmt.Errorf("%s is under way: %w", k, errWaits)
		}
	}
	return nil
}

func (a *Agent) forgetAddresses(o *object) {
	if o.port == nil {
		return
	}
	for _, addr := range o.port.Addresses {
		delete(a.byAddr, netAddr{o.port.NetworkID, addr.IP})
	}
}

// The labels that remember the last power decision that was carried out, and in
// which boot of the host.
const (
	generationLabel = "nephos.generation"
	bootLabel       = "nephos.boot"
)

func (a *Agent) carryServer(ctx context.Context, d driver.Object, o *object) (string, error) {
	if d.Deleted {
		if err := a.cfg.Hypervisor.Destroy(ctx, d.ID); err != nil {
			return "", err
		}
		if err := a.detachVolumes(ctx, d.ID, nil); err != nil {
			return "", err
		}
		return "", os.RemoveAll(a.serverDir(d.ID))
	}
	s, err := a.decodeServer(d, o)
	if err != nil {
		return "", err
	}
	spec := s.Spec
	spec.CloudID, spec.Revision = a.cfg.CloudID, d.Revision
	done := int64(-1)
	guest, err := a.cfg.Hypervisor.Get(ctx, d.ID)
	switch {
	case err == nil:
		if n, err := strconv.ParseInt(guest.Labels[generationLabel], 10, 64); err == nil {
			done = n
		}
	case !errors.Is(err, nephos.ErrNotFound):
		return "", err
	}

	if err := a.prepareDisks(ctx, d.ID, &s, &spec, o); err != nil {
		return "", err
	}
	if err := a.attachVolumes(ctx, d.ID, spec.Disks); err != nil {
		return "", err
	}
	if spec.NICs, err = a.cards(s.Ports); err != nil {
		return "", err
	}
	a.reach(o, "network")
	labels := maps.Clone(spec.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	if done >= 0 {
		labels[generationLabel], labels[bootLabel] = strconv.FormatInt(done, 10), guest.Labels[bootLabel]
	}
	spec.Labels = labels
	if err := a.cfg.Hypervisor.Ensure(ctx, d.ID, spec); err != nil {
		return "", err
	}
	a.reach(o, "defined")
	if err := a.detachVolumes(ctx, d.ID, spec.Disks); err != nil {
		return "", err
	}
	boot := a.bootID(ctx)
	if done < s.Generation || rebooted(guest, boot) {
		if err := a.power(ctx, d.ID, s, done); err != nil {
			return "", err
		}
		a.cfg.Crash.Here("agent powered server")
		labels[generationLabel], labels[bootLabel] = strconv.FormatInt(s.Generation, 10), boot
		if err := a.cfg.Hypervisor.Ensure(ctx, d.ID, spec); err != nil {
			return "", err
		}
	}
	guest, err = a.cfg.Hypervisor.Get(ctx, d.ID)
	if err != nil {
		return "", err
	}
	if guest.State == hypervisor.Running {
		a.reach(o, "running")
	}
	return string(guest.State), nil
}

// decodeServer decodes the server's spec, once for each that comes: a server that
// waits for its ports is looked at again and again.
func (a *Agent) decodeServer(d driver.Object, o *object) (hypervisor.Server, error) {
	a.mu.Lock()
	if o.server != nil && len(d.Spec) > 0 && o.decoded == &d.Spec[0] {
		defer a.mu.Unlock()
		return *o.server, nil
	}
	a.mu.Unlock()
	var s hypervisor.Server
	if err := json.Unmarshal(d.Spec, &s); err != nil {
		return s, nephos.Errorf(nephos.ErrInvalid, "reading server %s: %w", d.ID, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	o.server, o.decoded = &s, &d.Spec[0]
	return s, nil
}

// rebooted reports whether a guest that was started stopped because its host
// did, and not by itself: the label says in which boot of the host the last
// power decision was carried out.
func rebooted(g hypervisor.Guest, boot string) bool {
	was := g.Labels[bootLabel]
	return g.State == hypervisor.Stopped && was != "" && boot != "" && was != boot
}

// power carries out the newest decision about power. done is the generation of
// the last one carried out, or negative.
func (a *Agent) power(ctx context.Context, id string, s hypervisor.Server, done int64) error {
	guest, err := a.cfg.Hypervisor.Get(ctx, id)
	if err != nil {
		return err
	}
	hv := a.cfg.Hypervisor
	switch s.Power {
	case hypervisor.PowerOff:
		return hv.Stop(ctx, id, hypervisor.StopOptions{Grace: s.Grace})
	case hypervisor.PowerSuspended:
		if guest.State != hypervisor.Running && guest.State != hypervisor.Paused {
			return nil
		}
		return hv.Suspend(ctx, id)
	case hypervisor.PowerPaused:
		if guest.State == hypervisor.Paused {
			return nil
		}
		if guest.State != hypervisor.Running {
			if err := hv.Start(ctx, id); err != nil {
				return err
			}
		}
		return hv.Pause(ctx, id)
	case hypervisor.PowerOn:
		switch {
		case s.Reboot != "" && guest.State == hypervisor.Running && done >= 0:
			if s.Reboot == "hard" || !hv.Can("Rebooter") {
				return a.reset(ctx, id)
			}
			return hv.Reboot(ctx, id, false)
		case guest.State == hypervisor.Paused:
			return hv.Unpause(ctx, id)
		default:
			return hv.Start(ctx, id)
		}
	}
	return nephos.Errorf(nephos.ErrInvalid, "server %s: unknown power state %q", id, s.Power)
}

func (a *Agent) reset(ctx context.Context, id string) error {
	if a.cfg.Hypervisor.Can("Rebooter") {
		return a.cfg.Hypervisor.Reboot(ctx, id, true)
	}
	if err := a.cfg.Hypervisor.Stop(ctx, id, hypervisor.StopOptions{}); err != nil {
		return err
	}
	return a.cfg.Hypervisor.Start(ctx, id)
}

// prepareDisks fills in what only the host knows: the cached base image, and
// the config drive's file.
func (a *Agent) prepareDisks(ctx context.Context, id string, s *hypervisor.Server, spec *hypervisor.Spec, o *object) error {
	spec.Disks = append([]driver.Disk(nil), spec.Disks...)
	for i := range spec.Disks {
		disk := &spec.Disks[i]
		if disk.ID == "root" && disk.Source.Type == "local" && disk.Base == nil && s.Image != nil {
			base, err := a.images.fetch(ctx, *s.Image)
			if err != nil {
				return fmt.Errorf("fetching image %s: %w", s.Image.ID, err)
			}
			disk.Base = &base
			a.reach(o, "image")
		} else if disk.Source.Type != "local" {
			a.reach(o, "volume")
		}
	}
	if !s.ConfigDrive {
		return nil
	}
	path := filepath.Join(a.serverDir(id), "config.iso")
	if err := writeConfigDrive(path, onDrive(s.AllFiles())); err != nil {
		return fmt.Errorf("making the config drive: %w", err)
	}
	spec.Disks = append(spec.Disks, driver.Disk{
		ID: "config", Source: driver.Connection{Type: "file", Path: path}, Format: "raw", ReadOnly: true, CDROM: true,
		Bus: "ide", BootIndex: -1,
	})
	return nil
}

// cards returns the network cards for the ports, once all are plugged.
func (a *Agent) cards(ports []hypervisor.PortRef) ([]driver.NIC, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	nics := make([]driver.NIC, 0, len(ports))
	for _, p := range ports {
		o := a.objects[key(driver.KindPort, p.ID)]
		if o == nil || o.binding == nil {
			return nil, fmt.Errorf("port %s is not plugged yet: %w", p.ID, errWaits)
		}
		nics = append(nics, driver.NIC{ID: p.ID, MAC: p.MAC, MTU: p.MTU, Device: o.binding.Device, Namespace: o.binding.Namespace})
	}
	return nics, nil
}

// reach notes a moment of a server's life, once.
func (a *Agent) reach(o *object, moment string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !o.reached[moment] {
		o.reached[moment] = true
		o.moments = append(o.moments, driver.Moment{Name: moment, At: a.cfg.Clock.Now()})
	}
}

func (a *Agent) serverDir(id string) string { return filepath.Join(a.cfg.Dir, "servers", id) }

// watchHypervisor subscribes to guests that change by themselves; nil when the
// hypervisor tells of none.
func (a *Agent) watchHypervisor(ctx context.Context) <-chan hypervisor.Event {
	events, err := a.cfg.Hypervisor.Events(ctx)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) && ctx.Err() == nil {
		a.cfg.Log.Error("following the hypervisor", "error", err)
	}
	return events
}

// followHypervisor reports guests that change by themselves. When the events
// break off it subscribes again and looks at every guest, for what was missed.
func (a *Agent) followHypervisor(ctx context.Context, events <-chan hypervisor.Event) {
	if events == nil && !a.cfg.Hypervisor.Can(hypervisor.CanEvents) {
		return
	}
	for {
		if events != nil {
			for e := range events {
				if e.Guest {
					a.reportGuest(ctx, e)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-a.cfg.Clock.After(time.Second):
		}
		if events = a.watchHypervisor(ctx); events == nil {
			continue // a plugin that is being started again, say
		}
		guests, err := a.cfg.Hypervisor.List(ctx)
		if err != nil {
			a.cfg.Log.Error("listing guests", "error", err)
		}
		for _, g := range guests {
			a.reportGuest(ctx, hypervisor.Event{ID: g.ID, State: g.State, At: a.cfg.Clock.Now(), Guest: true})
		}
	}
}

// reportGuest reports what a guest is doing, once no worker has it: a stop
// within a reboot is nobody's business.
func (a *Agent) reportGuest(ctx context.Context, e hypervisor.Event) {
	a.mu.Lock()
	o := a.objects[key(driver.KindServer, e.ID)]
	if o == nil || o.desired.Deleted || o.done == nil && !o.running {
		a.mu.Unlock()
		return // nobody's, or a worker will report it
	}
	if o.running {
		o.stirred = true
		a.mu.Unlock()
		return
	}
	d := o.desired
	d.Revision = *o.done // what is desired may wait to be tried again
	o.running = true     // as a worker would: reports do not overtake one another
	a.mu.Unlock()
	a.report(ctx, driver.Report{Kind: driver.KindServer, ID: e.ID, Revision: d.Revision, State: string(e.State), At: e.At})
	for a.stirred(o) {
		a.reportState(ctx, d)
	}
	a.wake()
}

// reportState reports what a server's guest is doing now.
func (a *Agent) reportState(ctx context.Context, d driver.Object) {
	if d.Deleted {
		return
	}
	guest, err := a.cfg.Hypervisor.Get(ctx, d.ID)
	if err != nil {
		a.cfg.Log.Warn("asking after a guest that changed", "id", d.ID, "error", err)
		return
	}
	a.report(ctx, driver.Report{Kind: driver.KindServer, ID: d.ID, Revision: d.Revision, State: string(guest.State), At: a.cfg.Clock.Now()})
}

// followNetwork reports the first address that a server's guest was given.
// When the events break off it subscribes again.
func (a *Agent) followNetwork(ctx context.Context) {
	for {
		events, err := a.cfg.Network.Events(ctx)
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if err == nil {
			for e := range events {
				if e.Kind == "dhcp" {
					a.moment(ctx, e.PortID, "dhcp", e.At, nil)
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-a.cfg.Clock.After(time.Second):
		}
	}
}

// moment reports a moment of the server that has the port, the first time.
func (a *Agent) moment(ctx context.Context, portID, name string, at time.Time, data json.RawMessage) {
	id, o := a.serverOf(portID)
	if o == nil {
		return
	}
	a.mu.Lock()
	seen := o.reached[name]
	o.reached[name] = true
	revision := o.desired.Revision
	a.mu.Unlock()
	if !seen || data != nil {
		a.report(ctx, driver.Report{
			Kind: driver.KindServer, ID: id, Revision: revision, At: at, Data: data,
			Moments: []driver.Moment{{Name: name, At: at}},
		})
	}
}

// serverOf finds the server that has the port.
func (a *Agent) serverOf(portID string) (string, *object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.objects {
		if o.server == nil || o.desired.Deleted {
			continue
		}
		for _, p := range o.server.Ports {
			if p.ID == portID {
				return o.desired.ID, o
			}
		}
	}
	return "", nil
}
