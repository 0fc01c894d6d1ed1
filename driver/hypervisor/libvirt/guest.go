//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	virt "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// guest is what the driver knows of a guest while it is open; what must be
// known afterwards is in the domain.
type guest struct {
	id   string
	turn chan struct{} // holds one token while nobody changes the guest

	// Guarded by Driver.mu.
	state   hypervisor.State // as last told; empty: not known
	changed chan struct{}    // closed and replaced when the state changes
	asked   bool             // we want it to end
	removed map[string]chan error
	jobs    map[string]chan jobEnd
}

func newGuest(id string) *guest {
	g := &guest{
		id: id, turn: make(chan struct{}, 1), changed: make(chan struct{}),
		removed: make(map[string]chan error), jobs: make(map[string]chan jobEnd),
	}
	g.turn <- struct{}{}
	return g
}

func (d *Driver) guest(id string) *guest {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.guests[id]
	if g == nil {
		g = newGuest(id)
		d.guests[id] = g
	}
	return g
}

func (d *Driver) dir(id string) string { return filepath.Join(d.cfg.Dir, "guests", id) }

// work is one call about one guest.
type work struct {
	ctx  context.Context
	d    *Driver
	l    *link
	p    domain.Platform
	id   string
	g    *guest
	dom  *virt.Domain // nil when there is none
	def  *libvirtxml.Domain
	rec  domain.Record
	run  domain.Run
	dir  string
	conn *virt.Connect
}

var errNotHere = fmt.Errorf("the guest is not here: %w", nephos.ErrNotFound)

// load finds the domain and reads our record in it. A domain of another cloud,
// or of nobody, is not ours: errNotHere with w.dom set.
func (w *work) load() error {
	dom, err := w.conn.LookupDomainByUUIDString(domain.UUID(w.id))
	if is(err, virt.ERR_NO_DOMAIN) {
		return errNotHere
	}
	if err != nil {
		return err
	}
	w.dom = dom
	return w.read()
}

// read reads the domain's present definition.
func (w *work) read() error {
	text, err := w.dom.GetXMLDesc(virt.DOMAIN_XML_INACTIVE)
	if is(err, virt.ERR_NO_DOMAIN) {
		return errNotHere
	}
	if err != nil {
		return err
	}
	rec, run, def, err := parse(text)
	if err != nil {
		return err
	}
	w.def = def
	if rec == nil || rec.ID != w.id || w.d.cfg.CloudID != "" && rec.Spec.CloudID != w.d.cfg.CloudID {
		return errNotHere
	}
	w.rec, w.run = *rec, run
	return nil
}

// parse reads a domain's definition; the record is nil when it is not ours.
func parse(text string) (*domain.Record, domain.Run, *libvirtxml.Domain, error) {
	def := new(libvirtxml.Domain)
	if err := def.Unmarshal(text); err != nil {
		return nil, domain.Run{}, nil, fmt.Errorf("read a domain's definition: %w", err)
	}
	if def.Metadata == nil {
		return nil, domain.Run{}, def, nil
	}
	rec, run, err := domain.ReadMetadata(def.Metadata.XML)
	return rec, run, def, err
}

func (w *work) free() {
	if w.dom != nil {
		_ = w.dom.Free()
	}
}

// work makes a call about a guest, without its turn.
func (d *Driver) work(ctx context.Context, id string) (*work, func(), error) {
	l, done, err := d.use()
	if err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	p := d.platform
	d.mu.Unlock()
	w := &work{ctx: ctx, d: d, l: l, conn: l.conn, p: p, id: id, dir: d.dir(id)}
	return w, func() { w.free(); done() }, nil
}

// look runs f on a guest that is there, whoever changes it.
func look[T any](ctx context.Context, d *Driver, attempt, id string, f func(*work) (T, error)) (T, error) {
	v, err := within(ctx, func() (T, error) {
		var none T
		if err := hypervisor.CheckID(id); err != nil {
			return none, err
		}
		w, done, err := d.work(ctx, id)
		if err != nil {
			return none, err
		}
		defer done()
		if err := w.load(); err != nil {
			return none, err
		}
		w.g = d.guest(id)
		return f(w)
	})
	if err != nil {
		return v, fmt.Errorf("%s guest %s: %w", attempt, id, err)
	}
	return v, nil
}

// change runs f on a guest that is there while nobody else changes it.
func (d *Driver) change(ctx context.Context, attempt, id string, f func(*work) error) error {
	_, err := within(ctx, func() (struct{}, error) {
		if err := hypervisor.CheckID(id); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, d.alone(ctx, id, func(w *work) error {
			if err := w.load(); err != nil {
				if errors.Is(err, errNotHere) && w.dom == nil {
					d.forget(id)
				}
				return err
			}
			return f(w)
		})
	})
	if err != nil {
		return fmt.Errorf("%s guest %s: %w", attempt, id, err)
	}
	return nil
}

// alone runs f in the guest's turn, whether there is a domain or not.
func (d *Driver) alone(ctx context.Context, id string, f func(*work) error) error {
	for {
		g := d.guest(id)
		select {
		case <-g.turn:
		case <-ctx.Done():
			return ctx.Err()
		}
		d.mu.Lock()
		same := d.guests[id] == g
		d.mu.Unlock()
		if !same { // it was forgotten while we waited
			g.turn <- struct{}{}
			continue
		}
		defer func() { g.turn <- struct{}{} }()
		w, done, err := d.work(ctx, id)
		if err != nil {
			return err
		}
		defer done()
		w.g = g
		return meant(f(w))
	}
}

func (d *Driver) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.guests, id)
}

// now asks what the domain is doing.
func (w *work) now() (virt.DomainState, hypervisor.State, error) {
	s, reason, err := w.dom.GetState()
	if err != nil {
		return 0, "", err
	}
	return s, stateOf(s, reason, w.rec, w.run), nil
}

// stateOf maps libvirt's state.
func stateOf(s virt.DomainState, reason int, rec domain.Record, run domain.Run) hypervisor.State {
	switch s {
	case virt.DOMAIN_RUNNING, virt.DOMAIN_BLOCKED, virt.DOMAIN_SHUTDOWN:
		return hypervisor.Running
	case virt.DOMAIN_PAUSED:
		switch virt.DomainPausedReason(reason) {
		case virt.DOMAIN_PAUSED_CRASHED:
			return hypervisor.Crashed
		case virt.DOMAIN_PAUSED_STARTING_UP:
			if rec.Incoming {
				return hypervisor.Incoming
			}
			return hypervisor.Stopped
		case virt.DOMAIN_PAUSED_MIGRATION:
			if rec.Incoming {
				return hypervisor.Incoming
			}
			return hypervisor.Running // it is about to run elsewhere
		case virt.DOMAIN_PAUSED_POSTCOPY:
			return hypervisor.Running // elsewhere, and the rest of its memory follows
		case virt.DOMAIN_PAUSED_POSTCOPY_FAILED:
			return hypervisor.Crashed // its memory is in two places
		}
		return hypervisor.Paused
	case virt.DOMAIN_PMSUSPENDED:
		return hypervisor.Paused
	case virt.DOMAIN_CRASHED:
		return hypervisor.Crashed
	}
	switch {
	case rec.Incoming:
		return hypervisor.Incoming
	case run.Ended != "":
		return run.Ended
	case virt.DomainShutoffReason(reason) == virt.DOMAIN_SHUTOFF_CRASHED:
		return hypervisor.Crashed
	}
	return hypervisor.Stopped
}

// view is the guest as List tells it.
func (w *work) view() (hypervisor.Guest, error) {
	_, state, err := w.now()
	if err != nil {
		return hypervisor.Guest{}, err
	}
	s := w.rec.Active()
	v := hypervisor.Guest{
		ID: w.id, CloudID: s.CloudID, Name: s.Name, Revision: s.Revision, State: state, Labels: s.Labels,
		Disks: make([]string, 0, len(s.Disks)), NICs: make([]string, 0, len(s.NICs)),
	}
	for _, disk := range s.Disks {
		v.Disks = append(v.Disks, disk.ID)
	}
	for _, nic := range s.NICs {
		v.NICs = append(v.NICs, nic.ID)
	}
	if state == hypervisor.Running || state == hypervisor.Paused {
		v.Started = w.run.Started
	}
	return v, nil
}

// writeRun replaces what the domain knows of its power-on.
func (w *work) writeRun(run domain.Run) error {
	err := w.dom.SetMetadata(virt.DOMAIN_METADATA_ELEMENT, run.Inner(), domain.RunKey, domain.RunNS, virt.DOMAIN_AFFECT_CONFIG)
	if err == nil {
		w.run = run
	}
	return err
}

// settleTime is how long an event may take before libvirt is asked instead.
const settleTime = 5 * time.Second

// await waits until the guest has been told to be in a state.
func (w *work) await(ok func(hypervisor.State) bool) error {
	for {
		w.d.mu.Lock()
		state, changed := w.g.state, w.g.changed
		w.d.mu.Unlock()
		if ok(state) {
			return nil
		}
		select {
		case <-changed:
		case <-w.ctx.Done():
			return w.ctx.Err()
		case <-w.l.lost:
			return fmt.Errorf("the connection to libvirt was lost: %w", nephos.ErrUnavailable)
		case <-w.d.clock.After(settleTime):
			_, state, err := w.now()
			if err != nil {
				return err
			}
			if ok(state) {
				w.d.become(w.g, state, false)
				return nil
			}
		}
	}
}

func isState(want ...hypervisor.State) func(hypervisor.State) bool {
	return func(s hypervisor.State) bool {
		for _, one := range want {
			if s == one {
				return true
			}
		}
		return false
	}
}
