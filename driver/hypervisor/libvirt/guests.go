//go:build libvirt

package libvirt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	virt "libvirt.org/go/libvirt"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// trash begins the name of a directory that is being removed.
const trash = ".gone-"

// Ensure implements hypervisor.Driver. A local disk's file is made once, and
// made anew when the guest is off and its base has another digest; it only
// grows; and it stays until Destroy when it leaves the spec.
func (d *Driver) Ensure(ctx context.Context, id string, spec hypervisor.Spec) error {
	err := hypervisor.CheckID(id)
	if err == nil {
		err = d.checkSpec(spec)
	}
	if err == nil {
		_, err = within(ctx, func() (struct{}, error) {
			return struct{}{}, d.alone(ctx, id, func(w *work) error { return w.ensure(spec) })
		})
	}
	if err != nil {
		return fmt.Errorf("ensure guest %s: %w", id, err)
	}
	return nil
}

// checkSpec refuses what can never be carried out here.
func (d *Driver) checkSpec(spec hypervisor.Spec) error {
	if err := spec.Validate(); err != nil {
		return err
	}
	if d.cfg.CloudID != "" && spec.CloudID != d.cfg.CloudID {
		return fmt.Errorf("CloudID is %q, and this is %q's driver: %w", spec.CloudID, d.cfg.CloudID, nephos.ErrInvalid)
	}
	for _, disk := range spec.Disks {
		if err := domain.CheckDisk(disk); err != nil {
			return err
		}
	}
	d.mu.Lock()
	p := d.platform
	d.mu.Unlock()
	if err := domain.CheckNICs(p, spec.NICs); err != nil {
		return err
	}
	for _, nic := range spec.NICs {
		if err := d.checkNamespace(nic); err != nil {
			return err
		}
	}
	return nil
}

// checkNamespace refuses a card whose tap libvirtd cannot open.
func (d *Driver) checkNamespace(nic driver.NIC) error {
	if d.cfg.Namespace == "" || nic.Namespace == "" || nic.Namespace == d.cfg.Namespace {
		return nil
	}
	ours, err := os.Stat(d.cfg.Namespace)
	if err != nil {
		return fmt.Errorf("look at libvirtd's network namespace: %w: %w", nephos.ErrUnavailable, err)
	}
	its, err := os.Stat(nic.Namespace)
	if err != nil {
		return fmt.Errorf("look at the network namespace of card %s: %w: %w", nic.ID, nephos.ErrUnavailable, err)
	}
	if !os.SameFile(ours, its) {
		return fmt.Errorf("card %s: its tap is in namespace %s, and libvirtd runs in %s; start libvirtd there: %w",
			nic.ID, nic.Namespace, d.cfg.Namespace, nephos.ErrInvalid)
	}
	return nil
}

// ensure does the work, in the guest's turn.
func (w *work) ensure(spec hypervisor.Spec) (err error) {
	err = w.load()
	fresh := errors.Is(err, errNotHere) && w.dom == nil
	switch {
	case err == nil:
	case fresh:
	case errors.Is(err, errNotHere):
		return fmt.Errorf("domain %s belongs to another cloud or to nobody: %w", domain.UUID(w.id), nephos.ErrConflict)
	default:
		return err
	}
	if fresh || !spec.SamePlace(w.rec.Spec) {
		if err := w.d.checkPlace(w.ctx, spec); err != nil {
			return err
		}
	}
	live := false
	if !fresh {
		s, _, err := w.now()
		if err != nil {
			return err
		}
		if s == virt.DOMAIN_SHUTDOWN { // it has powered itself off and is going
			if err := w.await(isState(hypervisor.Stopped, hypervisor.Crashed)); err != nil {
				return err
			}
			s = virt.DOMAIN_SHUTOFF
		}
		live = s != virt.DOMAIN_SHUTOFF
	}
	if !live && !fresh {
		saved, err := w.suspended()
		if err != nil {
			return err
		}
		if saved && !sameDevices(w.rec.Spec, spec) {
			return fmt.Errorf("its devices cannot change while it is suspended: %w", nephos.ErrConflict)
		}
	}
	err = os.Mkdir(w.dir, 0o711)
	made := err == nil
	if err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	defer func() {
		if err != nil && fresh {
			w.discard(made)
		}
	}()
	if w.rec.Incoming || w.rec.Left != nil {
		return fmt.Errorf("it is moving between hosts: %w", nephos.ErrConflict)
	}
	rec, had := w.rec.Clone(), w.rec.Spec.Disks
	rec.ID, rec.Spec = w.id, domain.WithoutSecrets(spec)
	if err := w.makeDisks(spec.Disks, &rec, live); err != nil {
		return err
	}
	defer func() {
		if err != nil { // no record tells of new ones
			w.dropSecrets(spec.Disks, had)
		}
	}()
	if err := w.ensureSecrets(spec.Disks); err != nil {
		return err
	}
	active := rec.Active()
	if err := w.link(active.Disks); err != nil {
		return err
	}
	for i := range active.Disks { // with the secrets, for what is plugged
		if d, err := findDisk(spec.Disks, active.Disks[i].ID); err == nil {
			active.Disks[i].Source.Secrets = d.Source.Secrets
		}
	}
	taken := make(map[string]bool)
	var have *devices
	if live {
		if have, err = w.devices(); err != nil {
			return err
		}
		for _, x := range have.foreign {
			taken[x] = true
		}
	}
	if rec.Targets, err = domain.AssignTargets(w.p, w.targets(have), active.Disks, taken); err != nil {
		return err
	}
	if live {
		if err := w.converge(active, rec, have); err != nil {
			return err
		}
	}
	if err := w.define(rec); err != nil {
		return err
	}
	w.dropSecrets(had, spec.Disks)
	if fresh {
		w.d.become(w.g, hypervisor.Stopped, false)
	}
	return nil
}

// targets are the names that the disks have: as written down, and as a driver
// that died before writing left them.
func (w *work) targets(have *devices) map[string]string {
	had := maps.Clone(w.rec.Targets)
	if had == nil {
		had = make(map[string]string)
	}
	if have != nil {
		for id, x := range have.disks {
			if x.Target != nil {
				had[id] = x.Target.Dev
			}
		}
	}
	return had
}

// define writes the record and what follows from it into libvirt.
func (w *work) define(rec domain.Record) error {
	def, err := domain.Build(w.p, w.dir, rec, w.run, w.def)
	if err != nil {
		return err
	}
	text, err := def.Marshal()
	if err != nil {
		return fmt.Errorf("write domain XML: %w", err)
	}
	dom, err := w.conn.DomainDefineXML(text)
	if err != nil {
		return err
	}
	if w.dom != nil {
		_ = w.dom.Free()
	}
	w.dom, w.def, w.rec = dom, def, rec
	return nil
}

// discard forgets a guest whose first Ensure failed, and removes its directory
// if that call made it.
func (w *work) discard(made bool) {
	if made {
		if err := os.RemoveAll(w.dir); err != nil {
			w.d.log.Warn("cannot remove a half-made guest", "guest", w.id, "error", err)
		}
	}
	w.d.forget(w.id)
}

// sameDevices reports whether two specs have the same disks and cards, as a
// guest must when its memory is read back.
func sameDevices(a, b hypervisor.Spec) bool {
	return slices.EqualFunc(a.Disks, b.Disks, func(x, y driver.Disk) bool {
		return x.ID == y.ID && x.Bus == y.Bus && sameBase(x.Base, y.Base)
	}) && slices.EqualFunc(a.NICs, b.NICs, func(x, y driver.NIC) bool { return x.ID == y.ID && x.Model == y.Model })
}

// Destroy implements hypervisor.Driver.
func (d *Driver) Destroy(ctx context.Context, id string) error {
	err := hypervisor.CheckID(id)
	if err == nil {
		_, err = within(ctx, func() (struct{}, error) {
			return struct{}{}, d.alone(ctx, id, (*work).destroy)
		})
	}
	if err != nil {
		return fmt.Errorf("destroy guest %s: %w", id, err)
	}
	return nil
}

func (w *work) destroy() error {
	err := w.load()
	if errors.Is(err, errNotHere) && w.dom != nil {
		return nil // somebody else's
	}
	if err != nil && !errors.Is(err, errNotHere) {
		return err
	}
	if err == nil {
		if err := w.cut(); err != nil {
			return err
		}
		w.dropSecrets(w.rec.Spec.Disks, nil) // while the record knows them
		if err := w.undefine(); err != nil {
			return err
		}
	}
	parent := filepath.Join(w.d.cfg.Dir, "guests")
	doomed := filepath.Join(parent, trash+w.id)
	if err := os.RemoveAll(doomed); err != nil {
		return err
	}
	if err := os.Rename(w.dir, doomed); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Remove(domain.SerialSocket(w.dir, w.id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := w.unlink(w.rec.Active().Disks); err != nil {
		return err
	}
	w.d.forget(w.id)
	return os.RemoveAll(doomed)
}

// undefine removes the domain with all that libvirt keeps for it.
func (w *work) undefine() error {
	all := virt.DOMAIN_UNDEFINE_MANAGED_SAVE | virt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
		virt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | virt.DOMAIN_UNDEFINE_NVRAM
	var err error
	// Not every driver knows all flags.
	for _, flags := range []virt.DomainUndefineFlagsValues{all, virt.DOMAIN_UNDEFINE_MANAGED_SAVE | virt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA, 0} {
		if err = w.dom.UndefineFlags(flags); !is(err, virt.ERR_INVALID_ARG, virt.ERR_NO_SUPPORT, virt.ERR_ARGUMENT_UNSUPPORTED) {
			break
		}
	}
	if is(err, virt.ERR_NO_DOMAIN) {
		return nil
	}
	return err
}

// dropTrash removes what a driver before this one was removing.
func (d *Driver) dropTrash() error {
	entries, err := os.ReadDir(filepath.Join(d.cfg.Dir, "guests"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), trash) {
			if err := os.RemoveAll(filepath.Join(d.cfg.Dir, "guests", e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Get implements hypervisor.Driver.
func (d *Driver) Get(ctx context.Context, id string) (hypervisor.Guest, error) {
	return look(ctx, d, "get", id, (*work).view)
}

// List implements hypervisor.Driver.
func (d *Driver) List(ctx context.Context) ([]hypervisor.Guest, error) {
	list, err := within(ctx, func() ([]hypervisor.Guest, error) {
		l, done, err := d.use()
		if err != nil {
			return nil, err
		}
		defer done()
		list := []hypervisor.Guest{}
		err = d.each(ctx, l, func(w *work) error {
			v, err := w.view()
			if err == nil {
				list = append(list, v)
			}
			return err
		})
		slices.SortFunc(list, func(a, b hypervisor.Guest) int { return cmp.Compare(a.ID, b.ID) })
		return list, err
	})
	if err != nil {
		return nil, fmt.Errorf("list guests: %w", err)
	}
	return list, nil
}

// each calls f with every guest of ours. One that goes meanwhile is left out.
func (d *Driver) each(ctx context.Context, l *link, f func(*work) error) error {
	doms, err := l.conn.ListAllDomains(0)
	if err != nil {
		return err
	}
	defer func() {
		for i := range doms {
			_ = doms[i].Free()
		}
	}()
	d.mu.Lock()
	p := d.platform
	d.mu.Unlock()
	for i := range doms {
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := doms[i].GetName()
		if err != nil || hypervisor.CheckID(name) != nil {
			continue
		}
		w := &work{ctx: ctx, d: d, l: l, conn: l.conn, p: p, id: name, dir: d.dir(name), dom: &doms[i]}
		err = w.read()
		if err == nil {
			err = f(w)
		}
		if err != nil && !errors.Is(err, errNotHere) && !is(err, virt.ERR_NO_DOMAIN) {
			return err
		}
	}
	return nil
}

// find learns what guests are doing, and tells of those that changed while
// nobody listened.
func (d *Driver) find(ctx context.Context, l *link) error {
	there := make(map[string]bool)
	err := d.each(ctx, l, func(w *work) error {
		v, err := w.view()
		if err != nil {
			return err
		}
		there[w.id] = true
		g := d.guest(w.id)
		d.mu.Lock()
		first, asked := g.state == "", g.asked
		if first {
			g.state = v.State
		}
		d.mu.Unlock()
		if !first {
			d.become(g, v.State, v.State == hypervisor.Crashed || v.State == hypervisor.Stopped && !asked)
		}
		return w.endLeftJobs(v.State)
	})
	if err != nil {
		return meant(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, g := range d.guests {
		if !there[id] && g.state != "" {
			delete(d.guests, id)
		}
	}
	return nil
}
