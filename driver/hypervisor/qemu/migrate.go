package qemu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"reflect"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

var _ hypervisor.LiveMigrator = (*Driver)(nil)

// move is a live migration as a guest's record remembers it.
type move struct {
	Incoming bool   `json:",omitempty"` // it comes from elsewhere, and has not arrived
	To       string `json:",omitempty"` // where it goes
	Phase    hypervisor.MigrationPhase
	Error    string `json:",omitempty"`
}

// CheckMigration implements hypervisor.LiveMigrator. Memory moves; the content of
// local disks does not, which PrepareMigration refuses.
func (d *Driver) CheckMigration(ctx context.Context, id string, dest hypervisor.Host) (check hypervisor.MigrationCheck, err error) {
	here, err := d.Info(ctx)
	if err != nil {
		return check, err
	}
	err = d.change(ctx, "check the migration of", id, func(g *guest) error {
		d.mu.Lock()
		rec, run, state := g.rec, g.run, g.state()
		d.mu.Unlock()
		no := func(format string, args ...any) error {
			return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), nephos.ErrConflict)
		}
		switch {
		case state != hypervisor.Running && state != hypervisor.Paused:
			return no("it is %s", state)
		case dest.Type != here.Type || dest.Arch != here.Arch || dest.Version != here.Version:
			return no("the destination is %s %d for %s, and here is %s %d for %s", dest.Type, dest.Version, dest.Arch, here.Type, here.Version, here.Arch)
		case dest.Accelerator != here.Accelerator || here.Accelerator == "kvm" && dest.CPUModel != here.CPUModel:
			return no("the destination's processors are %s %s, and here they are %s %s", dest.Accelerator, dest.CPUModel, here.Accelerator, here.CPUModel)
		case rec.Rescue != nil:
			return no("it is rescued")
		case !reflect.DeepEqual(run.shape, shapeOf(rec.Spec)):
			return no("its processors or memory change at its next start; power it off and on first")
		case !maps.Equal(rec.Slots, assignSlots(nil, rec.Spec)):
			return no("disks or cards were plugged in another order than a new guest would have them")
		}
		check.MemoryBytes = int64(run.MemoryMiB) << 20
		for _, disk := range rec.Spec.Disks {
			if ownFile(disk) {
				check.CopyDisks = append(check.CopyDisks, disk.ID)
			}
		}
		return nil
	})
	return check, err
}

// PrepareMigration implements hypervisor.LiveMigrator, for guests without local
// disks: QEMU listens on a port of the address for the memory, which travels
// in the clear.
func (d *Driver) PrepareMigration(ctx context.Context, id string, spec hypervisor.Spec, opts hypervisor.PrepareOptions) (hypervisor.MigrationTarget, error) {
	target := hypervisor.MigrationTarget{Type: "QEMU"}
	err := errors.Join(ctx.Err(), hypervisor.CheckID(id), d.checkSpec(spec), d.checkPlace(spec))
	for _, disk := range spec.Disks {
		if err == nil && ownFile(disk) {
			err = fmt.Errorf("disk %s is local, and the content of local disks does not travel: %w", disk.ID, errors.ErrUnsupported)
		}
	}
	if opts.Address == "" {
		opts.Address = "127.0.0.1"
	}
	if err == nil && net.ParseIP(opts.Address) == nil {
		err = fmt.Errorf("address %.60q is no IP address: %w", opts.Address, nephos.ErrInvalid)
	}
	if err == nil {
		d.mu.Lock()
		g, closed := d.guests[id], d.closed
		if g == nil && !closed {
			g = newGuest(id, d.guestDir(id))
			d.guests[id] = g
		}
		d.mu.Unlock()
		if closed {
			err = fmt.Errorf("the driver is closed: %w", nephos.ErrUnavailable)
		} else {
			err = d.alone(ctx, g, func(g *guest) (err error) {
				target.Address, err = d.await(ctx, g, spec, opts.Address)
				return err
			})
		}
	}
	if err != nil {
		return hypervisor.MigrationTarget{}, fmt.Errorf("prepare the migration of guest %s: %w", id, err)
	}
	return target, nil
}

// await has a new QEMU wait for the guest's memory, and returns where.
func (d *Driver) await(ctx context.Context, g *guest, spec hypervisor.Spec, address string) (uri string, err error) {
	d.mu.Lock()
	old, v := g.rec, g.vm
	d.mu.Unlock()
	fresh := old.ID == ""
	if !fresh && (old.Move == nil || !old.Move.Incoming && old.Move.Phase != hypervisor.MigrationCompleted) {
		return "", fmt.Errorf("it is here: %w", nephos.ErrConflict)
	}
	if v != nil {
		if old.Move.Incoming && !waits(v) {
			return "", fmt.Errorf("it has arrived: %w", nephos.ErrConflict)
		}
		if err := v.cut(ctx); err != nil {
			return "", err
		}
	}
	err = os.Mkdir(g.dir, 0o700)
	ours := err == nil
	if err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	defer func() {
		if err != nil && fresh {
			d.discard(g, ours)
		}
	}()
	rec := record{
		ID: g.id, Spec: withoutSecrets(spec), Slots: assignSlots(nil, spec),
		Move: &move{Incoming: true, Phase: hypervisor.MigrationPrepared},
	}
	if err := d.save(g, rec); err != nil {
		return "", err
	}
	if err := writeSecrets(g.dir, spec.Disks); err != nil {
		return "", err
	}
	d.mu.Lock()
	g.run = runRecord{shape: shapeOf(spec)}
	d.mu.Unlock()
	if v, err = d.launch(ctx, g, true); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.cut(context.WithoutCancel(ctx)))
		}
	}()
	if err := v.execute(ctx, "migrate-set-capabilities", capabilities("events"), nil); err != nil {
		return "", err
	}
	if err := v.execute(ctx, "migrate-incoming", map[string]any{"uri": "tcp:" + net.JoinHostPort(address, "0")}, nil); err != nil {
		return "", err
	}
	var says struct {
		Sockets []struct {
			Type, Host, Port string
		} `json:"socket-address"`
	}
	if err := v.execute(ctx, "query-migrate", nil, &says); err != nil {
		return "", err
	}
	if len(says.Sockets) != 1 || says.Sockets[0].Type != "inet" {
		return "", fmt.Errorf("QEMU does not say where it listens: %w", nephos.ErrUnavailable)
	}
	return "tcp:" + net.JoinHostPort(address, says.Sockets[0].Port), nil
}

func capabilities(on ...string) map[string]any {
	var list []map[string]any
	for _, name := range on {
		list = append(list, map[string]any{"capability": name, "state": true})
	}
	return map[string]any{"capabilities": list}
}

// waits tells whether a process waits for its memory.
func waits(v *vm) bool {
	v.d.mu.Lock()
	defer v.d.mu.Unlock()
	return v.status == "inmigrate"
}

// Migrate implements hypervisor.LiveMigrator.
func (d *Driver) Migrate(ctx context.Context, id string, target hypervisor.MigrationTarget, opts hypervisor.MigrateOptions) error {
	return d.change(ctx, "migrate", id, func(g *guest) error {
		if target.Type != "QEMU" || len(target.Disks) > 0 {
			return fmt.Errorf("a target of type %.20q with %d disks: %w", target.Type, len(target.Disks), nephos.ErrInvalid)
		}
		if opts.PostCopy {
			return fmt.Errorf("post-copy: %w", errors.ErrUnsupported)
		}
		if err := d.settle(ctx, g); err != nil {
			return err
		}
		d.mu.Lock()
		v, state, rec := g.vm, g.state(), g.rec
		d.mu.Unlock()
		if m := rec.Move; m != nil && (m.Phase == hypervisor.MigrationActive || m.Phase == hypervisor.MigrationCompleted) {
			if m.To != target.Address {
				return fmt.Errorf("it is on its way to %s: %w", m.To, nephos.ErrConflict)
			}
			return nil
		}
		if v == nil || state != hypervisor.Running && state != hypervisor.Paused {
			return fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
		}
		on := []string{"events"}
		if opts.AutoConverge {
			on = append(on, "auto-converge")
		}
		if err := v.execute(ctx, "migrate-set-capabilities", capabilities(on...), nil); err != nil {
			return err
		}
		params := map[string]any{"max-bandwidth": int64(8 << 30)}
		if opts.BytesPerSecond > 0 {
			params["max-bandwidth"] = opts.BytesPerSecond
		}
		if opts.MaxDowntime > 0 {
			params["downtime-limit"] = max(1, opts.MaxDowntime.Milliseconds())
		}
		if err := v.execute(ctx, "migrate-set-parameters", params, nil); err != nil {
			return err
		}
		// Written down first: from here on the guest may come to run elsewhere.
		rec.Move = &move{To: target.Address, Phase: hypervisor.MigrationActive}
		if err := d.save(g, rec); err != nil {
			return err
		}
		if err := v.execute(ctx, "migrate", map[string]any{"uri": target.Address}, nil); err != nil {
			rec.Move = &move{To: target.Address, Phase: hypervisor.MigrationFailed, Error: err.Error()}
			return errors.Join(err, d.save(g, rec))
		}
		return nil
	})
}

// transfer is how far QEMU is.
type transfer struct {
	Status   string `json:"status"`
	Error    string `json:"error-desc"`
	Total    int64  `json:"total-time"` // ms
	Downtime int64  `json:"downtime"`   // ms
	RAM      struct {
		Total       int64 `json:"total"`
		Remaining   int64 `json:"remaining"`
		Transferred int64 `json:"transferred"`
	} `json:"ram"`
}

// settle writes down how a move ended, if it has. The caller has the guest's
// turn.
func (d *Driver) settle(ctx context.Context, g *guest) error {
	d.mu.Lock()
	v, rec := g.vm, g.rec
	d.mu.Unlock()
	if rec.Move == nil {
		return nil
	}
	if rec.Move.Incoming {
		if v != nil && !waits(v) { // it has arrived
			rec.Move = nil
			return d.save(g, rec)
		}
		return nil
	}
	if rec.Move.Phase != hypervisor.MigrationActive {
		return nil
	}
	end := *rec.Move
	if v == nil {
		end.Phase, end.Error = hypervisor.MigrationFailed, "its QEMU ended on the way: it may run at the destination"
	} else {
		var t transfer
		if err := v.execute(ctx, "query-migrate", nil, &t); err != nil {
			return err
		}
		switch t.Status {
		case "completed":
			end.Phase = hypervisor.MigrationCompleted
		case "failed":
			end.Phase, end.Error = hypervisor.MigrationFailed, t.Error
		case "cancelled":
			end.Phase = hypervisor.MigrationAborted
		default:
			return nil
		}
	}
	rec.Move = &end
	if err := d.save(g, rec); err != nil {
		return err
	}
	if end.Phase == hypervisor.MigrationCompleted {
		return v.cut(ctx)
	}
	return nil
}

// stays refuses to power on a guest that is, or may be, somewhere else.
func (d *Driver) stays(ctx context.Context, g *guest) error {
	if err := d.settle(ctx, g); err != nil {
		return err
	}
	d.mu.Lock()
	m, v := g.rec.Move, g.vm
	d.mu.Unlock()
	switch {
	case m == nil:
	case m.Incoming:
		return fmt.Errorf("it waits for its memory from another host: %w", nephos.ErrConflict)
	case m.Phase == hypervisor.MigrationCompleted:
		return fmt.Errorf("it has gone to %s: %w", m.To, nephos.ErrConflict)
	case m.Phase == hypervisor.MigrationFailed && v == nil && m.Error != "":
		return fmt.Errorf("it may run at %s; abort its migration once it is known that it does not: %w", m.To, nephos.ErrConflict)
	}
	return nil
}

// Migration implements hypervisor.LiveMigrator.
func (d *Driver) Migration(ctx context.Context, id string) (m hypervisor.Migration, err error) {
	err = d.change(ctx, "follow the migration of", id, func(g *guest) error {
		if err := d.settle(ctx, g); err != nil {
			return err
		}
		d.mu.Lock()
		v, rec := g.vm, g.rec
		d.mu.Unlock()
		if rec.Move == nil {
			return fmt.Errorf("it has none: %w", nephos.ErrNotFound)
		}
		m = hypervisor.Migration{Phase: rec.Move.Phase, Error: rec.Move.Error}
		if v == nil || rec.Move.Incoming {
			return nil
		}
		var t transfer
		if err := v.execute(ctx, "query-migrate", nil, &t); err != nil {
			return err
		}
		m.MemoryTotal, m.MemoryProcessed, m.MemoryRemaining = t.RAM.Total, t.RAM.Transferred, t.RAM.Remaining
		m.Elapsed, m.Downtime = time.Duration(t.Total)*time.Millisecond, time.Duration(t.Downtime)*time.Millisecond
		return nil
	})
	return m, err
}

// AbortMigration implements hypervisor.LiveMigrator.
func (d *Driver) AbortMigration(ctx context.Context, id string) error {
	err := d.change(ctx, "abort the migration of", id, func(g *guest) error {
		if err := d.settle(ctx, g); err != nil {
			return err
		}
		d.mu.Lock()
		v, rec := g.vm, g.rec
		d.mu.Unlock()
		switch m := rec.Move; {
		case m == nil:
			return nil
		case m.Incoming:
			return d.destroy(ctx, g)
		case m.Phase == hypervisor.MigrationCompleted:
			return fmt.Errorf("it has gone to %s: %w", m.To, nephos.ErrConflict)
		case m.Phase == hypervisor.MigrationActive:
			if err := v.execute(ctx, "migrate_cancel", nil, nil); err != nil {
				return err
			}
			if err := d.ended(ctx, g); err != nil {
				return err
			}
			d.mu.Lock()
			gone := g.rec.Move.Phase == hypervisor.MigrationCompleted
			d.mu.Unlock()
			if gone { // it was faster
				return fmt.Errorf("it has gone to %s: %w", m.To, nephos.ErrConflict)
			}
			return nil
		}
		rec.Move = &move{To: rec.Move.To, Phase: hypervisor.MigrationAborted}
		return d.save(g, rec)
	})
	if errors.Is(err, nephos.ErrNotFound) {
		return nil
	}
	return err
}

// ended waits for the end of a move that was cancelled.
func (d *Driver) ended(ctx context.Context, g *guest) error {
	for {
		if err := d.settle(ctx, g); err != nil {
			return err
		}
		d.mu.Lock()
		active := g.rec.Move.Phase == hypervisor.MigrationActive
		d.mu.Unlock()
		if !active {
			return nil
		}
		select {
		case <-d.clock.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
