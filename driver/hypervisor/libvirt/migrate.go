//go:build libvirt

package libvirt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	virt "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/libvirt/domain"
)

// The options of a target of ours.
const (
	targetDomain = "domain" // its definition there, as XML
	targetListen = "listen" // the address that QEMU listens on there
)

// CheckMigration implements hypervisor.LiveMigrator.
func (d *Driver) CheckMigration(ctx context.Context, id string, dest hypervisor.Host) (hypervisor.MigrationCheck, error) {
	return look(ctx, d, "check whether one can move", id, func(w *work) (hypervisor.MigrationCheck, error) {
		no := func(format string, args ...any) (hypervisor.MigrationCheck, error) {
			return hypervisor.MigrationCheck{}, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), nephos.ErrConflict)
		}
		_, state, err := w.now()
		if err != nil {
			return hypervisor.MigrationCheck{}, err
		}
		accel := map[string]string{"kvm": "kvm", "qemu": "tcg"}[w.p.Type]
		switch {
		case state != hypervisor.Running && state != hypervisor.Paused:
			return no("it is %s", state)
		case w.rec.Rescue != nil:
			return no("it is being rescued")
		case len(w.rec.Spec.PCI) > 0:
			return no("it has devices of this host")
		case dest.Type != w.p.Driver:
			return no("that host runs %s, and this one %s", dest.Type, w.p.Driver)
		case dest.Arch != w.p.Arch:
			return no("that host is of architecture %s, and this one of %s", dest.Arch, w.p.Arch)
		case dest.Accelerator != accel:
			return no("that host's accelerator is %s, and this one's %s", dest.Accelerator, accel)
		}
		check := hypervisor.MigrationCheck{MemoryBytes: int64(w.rec.Spec.MemoryMiB) << 20}
		for _, disk := range w.rec.Active().Disks {
			if domain.OwnFile(disk) {
				check.CopyDisks = append(check.CopyDisks, disk.ID)
			}
		}
		return check, nil
	})
}

// PrepareMigration implements hypervisor.LiveMigrator: the domain is defined,
// with disks to write into, and does not run. QEMU is started when the transfer
// begins, by libvirtd.
func (d *Driver) PrepareMigration(ctx context.Context, id string, spec hypervisor.Spec, opts hypervisor.PrepareOptions) (hypervisor.MigrationTarget, error) {
	var target hypervisor.MigrationTarget
	err := hypervisor.CheckID(id)
	if err == nil {
		err = d.checkSpec(spec)
	}
	if err == nil {
		err = d.checkPlace(ctx, spec)
	}
	if err == nil {
		target, err = within(ctx, func() (target hypervisor.MigrationTarget, err error) {
			err = d.alone(ctx, id, func(w *work) error {
				target, err = w.prepare(spec, opts)
				return err
			})
			return target, err
		})
	}
	if err != nil {
		return hypervisor.MigrationTarget{}, fmt.Errorf("prepare for guest %s: %w", id, err)
	}
	return target, nil
}

func (w *work) prepare(spec hypervisor.Spec, opts hypervisor.PrepareOptions) (target hypervisor.MigrationTarget, err error) {
	err = w.load()
	fresh := errors.Is(err, errNotHere) && w.dom == nil
	if err != nil && !fresh {
		if errors.Is(err, errNotHere) {
			err = fmt.Errorf("the domain is not ours: %w", nephos.ErrConflict)
		}
		return target, err
	}
	if !fresh {
		s, state, err := w.now()
		switch {
		case err != nil:
			return target, err
		case s != virt.DOMAIN_SHUTOFF:
			return target, fmt.Errorf("it is here, and %s: %w", state, nephos.ErrConflict)
		case !w.rec.Incoming && w.rec.Left == nil:
			return target, fmt.Errorf("it is here: %w", nephos.ErrConflict)
		case w.rec.Left != nil: // it comes back: what its disks hold is of the past
			if err := w.undefine(); err != nil {
				return target, err
			}
			if err := os.RemoveAll(w.dir); err != nil {
				return target, err
			}
			w.free()
			w.dom, w.def, w.rec, w.run, fresh = nil, nil, domain.Record{}, domain.Run{}, true
		}
	}
	if err := os.Mkdir(w.dir, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
		return target, err
	}
	defer func() {
		if err != nil && fresh {
			w.dropSecrets(spec.Disks, nil)
			w.discard(true)
		}
	}()
	rec := w.rec.Clone()
	rec.ID, rec.Spec, rec.Incoming = w.id, domain.WithoutSecrets(spec), true
	if err := w.makeDisks(spec.Disks, &rec, false); err != nil {
		return target, err
	}
	if err := w.ensureSecrets(spec.Disks); err != nil {
		return target, err
	}
	if rec.Targets, err = domain.AssignTargets(w.p, w.rec.Targets, rec.Active().Disks, nil); err != nil {
		return target, err
	}
	if err := w.define(rec); err != nil {
		return target, err
	}
	w.d.mu.Lock()
	w.g.state = hypervisor.Incoming
	w.d.mu.Unlock()
	text, err := w.def.Marshal()
	if err != nil {
		return target, err
	}
	listen := cmp.Or(opts.Address, "127.0.0.1")
	return hypervisor.MigrationTarget{
		Type: w.p.Driver, Address: cmp.Or(w.d.cfg.MigrationURI, "qemu+tls://"+hostPart(listen)+"/system"),
		Options: map[string]string{targetDomain: text, targetListen: listen},
	}, nil
}

// Migrate implements hypervisor.LiveMigrator. libvirtd here talks to libvirtd
// there, and goes on when this process ends.
func (d *Driver) Migrate(ctx context.Context, id string, target hypervisor.MigrationTarget, opts hypervisor.MigrateOptions) error {
	return d.change(ctx, "migrate", id, func(w *work) error {
		if target.Type != w.p.Driver || target.Options[targetDomain] == "" {
			return fmt.Errorf("the target is of type %q, and not one of ours: %w", target.Type, nephos.ErrInvalid)
		}
		m, err := w.migration()
		if err == nil && m.Phase == hypervisor.MigrationCompleted { // perhaps not written down yet
			if err := w.noteLeft(); err != nil {
				return err
			}
		}
		switch {
		case w.rec.Left != nil && w.rec.Left.Target == target.Address:
			return nil
		case w.rec.Left != nil:
			return fmt.Errorf("it has moved to %s: %w", w.rec.Left.Target, nephos.ErrConflict)
		case err == nil && m.Phase == hypervisor.MigrationActive && w.rec.Moving.Target == target.Address:
			return nil
		case err == nil && m.Phase == hypervisor.MigrationActive:
			return fmt.Errorf("it is on its way to %s: %w", w.rec.Moving.Target, nephos.ErrConflict)
		}
		state, err := w.on()
		if err != nil {
			return err
		}
		if opts.MaxDowntime > 0 {
			if err := w.dom.MigrateSetMaxDowntime(uint64(opts.MaxDowntime/time.Millisecond), 0); err != nil {
				return err
			}
		}
		move, err := w.move(target, opts)
		if err != nil {
			return err
		}
		if state == hypervisor.Paused {
			move.flags |= virt.MIGRATE_PAUSED
		} else {
			move.flags |= virt.MIGRATE_LIVE
			if opts.PostCopy { // the memory of a paused one does not change
				move.flags |= virt.MIGRATE_POSTCOPY
			}
		}
		if err := w.keep(func(rec *domain.Record) { rec.Moving = &domain.Moving{Target: target.Address} }); err != nil {
			return err
		}
		return w.transfer(move)
	})
}

// movement is a call of libvirt's.
type movement struct {
	to     string
	params virt.DomainMigrateParameters
	flags  virt.DomainMigrateFlags
}

// move says how to move the guest.
func (w *work) move(target hypervisor.MigrationTarget, opts hypervisor.MigrateOptions) (movement, error) {
	m := movement{to: target.Address, flags: virt.MIGRATE_PEER2PEER | virt.MIGRATE_PERSIST_DEST | virt.MIGRATE_UNSAFE}
	toRec, _, there, err := parse(target.Options[targetDomain])
	if err != nil || toRec == nil || toRec.ID != w.id || there == nil {
		return m, fmt.Errorf("the target's domain is not this guest: %w", nephos.ErrInvalid)
	}
	toRec.Incoming = false // once it has arrived
	text, err := w.dom.GetXMLDesc(virt.DOMAIN_XML_MIGRATABLE)
	if err != nil {
		return m, err
	}
	live := &libvirtxml.Domain{}
	if err := live.Unmarshal(text); err != nil {
		return m, err
	}
	for _, one := range []struct {
		from *libvirtxml.Domain
		to   *string
		set  *bool
	}{{live, &m.params.DestXML, &m.params.DestXMLSet}, {w.def, &m.params.PersistXML, &m.params.PersistXMLSet}} {
		moved, err := domain.Move(one.from, there, w.rec, *toRec)
		if err != nil {
			return m, err
		}
		toRec.Targets = w.rec.Targets
		if err := domain.WithMetadata(moved, *toRec, w.run); err != nil {
			return m, err
		}
		if *one.to, err = moved.Marshal(); err != nil {
			return m, err
		}
		*one.set = true
	}
	listen := target.Options[targetListen]
	m.params.URI, m.params.URISet = "tcp://"+hostPart(listen), true
	m.params.ListenAddress, m.params.ListenAddressSet = listen, true
	if opts.BytesPerSecond > 0 {
		m.params.Bandwidth, m.params.BandwidthSet = uint64(max(1, opts.BytesPerSecond>>20)), true
	}
	if opts.AutoConverge {
		m.flags |= virt.MIGRATE_AUTO_CONVERGE
	}
	whole := false
	for _, disk := range w.rec.Active().Disks {
		if domain.OwnFile(disk) {
			m.params.MigrateDisks = append(m.params.MigrateDisks, w.target(disk.ID))
			whole = whole || w.rec.Imported[disk.ID]
		}
	}
	switch {
	case len(m.params.MigrateDisks) == 0:
	case whole: // one that has no base here has one there
		m.params.MigrateDisksSet = true
		m.flags |= virt.MIGRATE_NON_SHARED_DISK
	default: // what lies above the base images, which both hosts have
		m.params.MigrateDisksSet = true
		m.flags |= virt.MIGRATE_NON_SHARED_INC
	}
	return m, nil
}

func hostPart(address string) string {
	for i := range len(address) {
		if address[i] == ':' {
			return "[" + address + "]"
		}
	}
	return address
}

// transfer has libvirtd move the guest, on a connection of its own that outlives
// the driver, and returns when that has begun.
func (w *work) transfer(m movement) error {
	if err := useLoop(); err != nil {
		return err
	}
	conn, err := virt.NewConnect(w.d.cfg.URI)
	if err != nil {
		leaveLoop()
		return err
	}
	dom, err := conn.LookupDomainByUUIDString(domain.UUID(w.id))
	if err != nil {
		_, _ = conn.Close()
		leaveLoop()
		return err
	}
	ended := make(chan error, 1)
	own := &work{ctx: context.WithoutCancel(w.ctx), d: w.d, p: w.p, id: w.id, g: w.g, dir: w.dir, conn: conn, dom: dom}
	go func() {
		defer leaveLoop()
		defer func() { _, _ = conn.Close() }()
		defer own.free()
		defer own.switchOver(m)()
		err := own.dom.MigrateToURI3(m.to, &m.params, m.flags)
		if err != nil {
			err = errors.Join(err, own.noteFailed(err))
		} else {
			err = own.noteLeft()
		}
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			if err == nil {
				return w.read()
			}
			return err
		case <-w.d.clock.After(10 * time.Millisecond):
		case <-w.ctx.Done():
			return w.ctx.Err()
		}
		// libvirt tells of a job's end, but not of its beginning.
		if job, err := w.dom.GetJobStats(0); err == nil && job.Type != virt.DOMAIN_JOB_NONE {
			return nil
		}
	}
}

// switchOver has the guest of a post-copy migration run on the other host once
// all its memory has been sent, and some of it has changed since. It returns what
// ends the wait for that. A driver that ends meanwhile takes the order with it:
// libvirtd goes on as without.
func (w *work) switchOver(m movement) (end func()) {
	if m.flags&virt.MIGRATE_POSTCOPY == 0 {
		return func() {}
	}
	var once sync.Once
	var tasks sync.WaitGroup
	id, err := w.conn.DomainEventMigrationIterationRegister(w.dom, func(_ *virt.Connect, _ *virt.Domain, e *virt.DomainEventMigrationIteration) {
		if e.Iteration < 2 {
			return
		}
		once.Do(func() { // calls are not for the loop that brings their answers
			tasks.Go(func() {
				if err := w.dom.MigrateStartPostCopy(0); err != nil && !is(err, virt.ERR_OPERATION_INVALID) {
					w.d.log.Warn("cannot switch to post-copy", "guest", w.id, "error", err)
				}
			})
		})
	})
	if err != nil {
		w.d.log.Warn("cannot follow a migration, and not switch to post-copy", "guest", w.id, "error", err)
		return func() {}
	}
	return func() {
		_ = w.conn.DomainEventDeregister(id)
		once.Do(func() {}) // none begins any more
		tasks.Wait()
	}
}

// noteFailed writes down why the guest is still here.
func (w *work) noteFailed(why error) error {
	if err := w.read(); err != nil {
		return err
	}
	if w.rec.Moving == nil {
		return nil
	}
	moving := *w.rec.Moving
	moving.Error = meant(why).Error()
	moving.Aborted = moving.Aborted || is(why, virt.ERR_OPERATION_ABORTED)
	return w.keep(func(rec *domain.Record) { rec.Moving = &moving })
}

// noteLeft writes down that the guest has gone.
func (w *work) noteLeft() error {
	if err := w.read(); err != nil || w.rec.Left != nil || w.rec.Moving == nil {
		return err
	}
	left := domain.Left{Target: w.rec.Moving.Target}
	if job, err := w.dom.GetJobStats(virt.DOMAIN_JOB_STATS_COMPLETED | virt.DOMAIN_JOB_STATS_KEEP_COMPLETED); err == nil {
		left.Memory, left.Disk = int64(job.MemProcessed), int64(job.DiskProcessed)
		left.Elapsed, left.Downtime = time.Duration(job.TimeElapsed)*time.Millisecond, time.Duration(job.Downtime)*time.Millisecond
	}
	return w.keep(func(rec *domain.Record) { rec.Moving, rec.Left = nil, &left })
}

// noteLeft does so for a transfer whose driver has ended.
func (d *Driver) noteLeft(id string) {
	err := d.alone(context.Background(), id, (*work).noteLeftLoaded)
	if err != nil && !errors.Is(err, nephos.ErrNotFound) {
		d.log.Warn("cannot note that a guest has left", "guest", id, "error", err)
	}
}

func (w *work) noteLeftLoaded() error {
	if err := w.load(); err != nil {
		return err
	}
	return w.noteLeft()
}

// Migration implements hypervisor.LiveMigrator.
func (d *Driver) Migration(ctx context.Context, id string) (hypervisor.Migration, error) {
	return look(ctx, d, "follow the migration of", id, (*work).migration)
}

func (w *work) migration() (hypervisor.Migration, error) {
	s, reason, err := w.dom.GetState()
	if err != nil {
		return hypervisor.Migration{}, err
	}
	switch {
	case w.rec.Incoming && s == virt.DOMAIN_SHUTOFF:
		return hypervisor.Migration{Phase: hypervisor.MigrationPrepared}, nil
	case w.rec.Incoming:
		return hypervisor.Migration{Phase: hypervisor.MigrationActive}, nil
	case w.rec.Left != nil:
		l := w.rec.Left
		return hypervisor.Migration{
			Phase: hypervisor.MigrationCompleted, MemoryTotal: l.Memory, MemoryProcessed: l.Memory,
			DiskTotal: l.Disk, DiskProcessed: l.Disk, Elapsed: l.Elapsed, Downtime: l.Downtime,
		}, nil
	case w.rec.Moving == nil:
		return hypervisor.Migration{}, fmt.Errorf("it has none: %w", nephos.ErrNotFound)
	case s == virt.DOMAIN_SHUTOFF && virt.DomainShutoffReason(reason) == virt.DOMAIN_SHUTOFF_MIGRATED:
		return hypervisor.Migration{Phase: hypervisor.MigrationCompleted}, nil
	case w.rec.Moving.Aborted && w.rec.Moving.Error != "":
		return hypervisor.Migration{Phase: hypervisor.MigrationAborted}, nil
	case w.rec.Moving.Error != "":
		return hypervisor.Migration{Phase: hypervisor.MigrationFailed, Error: w.rec.Moving.Error}, nil
	}
	job, err := w.dom.GetJobStats(0)
	if err == nil && job.Type != virt.DOMAIN_JOB_NONE {
		return hypervisor.Migration{
			Phase:       hypervisor.MigrationActive,
			MemoryTotal: int64(job.MemTotal), MemoryProcessed: int64(job.MemProcessed), MemoryRemaining: int64(job.MemRemaining),
			DiskTotal: int64(job.DiskTotal), DiskProcessed: int64(job.DiskProcessed), DiskRemaining: int64(job.DiskRemaining),
			Elapsed: time.Duration(job.TimeElapsed) * time.Millisecond, Downtime: time.Duration(job.Downtime) * time.Millisecond,
		}, nil
	}
	if s == virt.DOMAIN_PAUSED && isMoving(reason) {
		return hypervisor.Migration{Phase: hypervisor.MigrationActive}, nil
	}
	// The end may have come between two of the questions.
	if again, nowReason, err := w.dom.GetState(); err == nil && (again != s || nowReason != reason) {
		return hypervisor.Migration{Phase: hypervisor.MigrationActive}, nil
	}
	return hypervisor.Migration{Phase: hypervisor.MigrationFailed, Error: "it ended while no driver was there to hear why"}, nil
}

// isMoving reports whether a domain is paused because it goes, or has gone on,
// elsewhere.
func isMoving(reason int) bool {
	r := virt.DomainPausedReason(reason)
	return r == virt.DOMAIN_PAUSED_MIGRATION || r == virt.DOMAIN_PAUSED_POSTCOPY
}

// AbortMigration implements hypervisor.LiveMigrator.
func (d *Driver) AbortMigration(ctx context.Context, id string) error {
	err := d.change(ctx, "abort the migration of", id, func(w *work) error {
		if m, err := w.migration(); err == nil && m.Phase == hypervisor.MigrationCompleted {
			if err := w.noteLeft(); err != nil {
				return err
			}
		}
		switch {
		case w.rec.Incoming:
			return w.destroy()
		case w.rec.Left != nil:
			return fmt.Errorf("it has moved to %s: %w", w.rec.Left.Target, nephos.ErrConflict)
		case w.rec.Moving == nil || w.rec.Moving.Error != "":
			return nil
		}
		m, err := w.migration()
		if err != nil {
			return err
		}
		switch m.Phase {
		case hypervisor.MigrationCompleted:
			return fmt.Errorf("it has moved: %w", nephos.ErrConflict)
		case hypervisor.MigrationActive:
			if s, reason, err := w.dom.GetState(); err == nil && s == virt.DOMAIN_PAUSED && virt.DomainPausedReason(reason) == virt.DOMAIN_PAUSED_POSTCOPY {
				return fmt.Errorf("it runs on the other host already: %w", nephos.ErrConflict)
			}
			if err := w.dom.AbortJob(); err != nil && !is(err, virt.ERR_OPERATION_INVALID) {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, nephos.ErrNotFound) {
		return nil
	}
	return err
}
