package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/hypervisor/v1"
)

// remoteHypervisor is our side: a driver whose calls are carried out elsewhere.
// It implements every optional interface and narrows the offer by Abilities.
type remoteHypervisor struct {
	client pb.HypervisorClient
	dir    string // where the plugin's sockets must lie
	stop   func() error

	abilities   []string
	disks, nics bool
}

var (
	_ hypervisor.Driver        = (*remoteHypervisor)(nil)
	_ hypervisor.Abilitier     = (*remoteHypervisor)(nil)
	_ hypervisor.HotPlugger    = (*remoteHypervisor)(nil)
	_ hypervisor.Rebooter      = (*remoteHypervisor)(nil)
	_ hypervisor.Pauser        = (*remoteHypervisor)(nil)
	_ hypervisor.Suspender     = (*remoteHypervisor)(nil)
	_ hypervisor.Snapshotter   = (*remoteHypervisor)(nil)
	_ hypervisor.ConsoleLogger = (*remoteHypervisor)(nil)
	_ hypervisor.Consoler      = (*remoteHypervisor)(nil)
	_ hypervisor.Eventer       = (*remoteHypervisor)(nil)
	_ hypervisor.Diagnoser     = (*remoteHypervisor)(nil)
)

// ask learns what the plugin can do, once.
func (d *remoteHypervisor) ask(ctx context.Context) error {
	r, err := d.client.Abilities(ctx, &pb.AbilitiesRequest{})
	if err != nil {
		return fmt.Errorf("asking for its abilities: %w", fromStatus(err))
	}
	d.abilities, d.disks, d.nics = r.GetAbilities(), r.GetHotPlugDisks(), r.GetHotPlugNics()
	return nil
}

// Abilities implements [hypervisor.Abilitier].
func (d *remoteHypervisor) Abilities(context.Context) ([]string, error) { return d.abilities, nil }

// HotPlug implements [hypervisor.HotPlugger].
func (d *remoteHypervisor) HotPlug() (disks, nics bool) { return d.disks, d.nics }

// Close ends the plugin.
func (d *remoteHypervisor) Close() error {
	if d.stop == nil {
		return nil
	}
	return d.stop()
}

func (d *remoteHypervisor) Info(ctx context.Context) (hypervisor.Host, error) {
	r, err := d.client.Info(ctx, &pb.InfoRequest{})
	return fromInfo(r), fromStatus(err)
}

func (d *remoteHypervisor) Ensure(ctx context.Context, id string, spec hypervisor.Spec) error {
	_, err := d.client.Ensure(ctx, &pb.EnsureRequest{Id: id, Spec: toSpec(spec)})
	return fromStatus(err)
}

func (d *remoteHypervisor) Start(ctx context.Context, id string) error {
	_, err := d.client.Start(ctx, &pb.StartRequest{Id: id})
	return fromStatus(err)
}

func (d *remoteHypervisor) Stop(ctx context.Context, id string, opts hypervisor.StopOptions) error {
	_, err := d.client.Stop(ctx, &pb.StopRequest{Id: id, Grace: int64(opts.Grace)})
	return fromStatus(err)
}

func (d *remoteHypervisor) Destroy(ctx context.Context, id string) error {
	_, err := d.client.Destroy(ctx, &pb.DestroyRequest{Id: id})
	return fromStatus(err)
}

func (d *remoteHypervisor) Get(ctx context.Context, id string) (hypervisor.Guest, error) {
	r, err := d.client.Get(ctx, &pb.GetRequest{Id: id})
	if err != nil {
		return hypervisor.Guest{}, fromStatus(err)
	}
	if got := r.GetGuest().GetId(); got != id {
		return hypervisor.Guest{}, fmt.Errorf("asking the plugin for guest %s: it answered with %q", id, got)
	}
	return fromGuest(r.GetGuest()), nil
}

func (d *remoteHypervisor) List(ctx context.Context) ([]hypervisor.Guest, error) {
	r, err := d.client.List(ctx, &pb.ListRequest{})
	if err != nil {
		return nil, fromStatus(err)
	}
	var guests []hypervisor.Guest
	for _, g := range r.GetGuests() {
		guests = append(guests, fromGuest(g))
	}
	return guests, nil
}

func (d *remoteHypervisor) Reboot(ctx context.Context, id string, hard bool) error {
	_, err := d.client.Reboot(ctx, &pb.RebootRequest{Id: id, Hard: hard})
	return fromStatus(err)
}

func (d *remoteHypervisor) Pause(ctx context.Context, id string) error {
	_, err := d.client.Pause(ctx, &pb.PauseRequest{Id: id})
	return fromStatus(err)
}

func (d *remoteHypervisor) Unpause(ctx context.Context, id string) error {
	_, err := d.client.Unpause(ctx, &pb.UnpauseRequest{Id: id})
	return fromStatus(err)
}

func (d *remoteHypervisor) Suspend(ctx context.Context, id string) error {
	_, err := d.client.Suspend(ctx, &pb.SuspendRequest{Id: id})
	return fromStatus(err)
}

func (d *remoteHypervisor) Resume(ctx context.Context, id string) error {
	_, err := d.client.Resume(ctx, &pb.ResumeRequest{Id: id})
	return fromStatus(err)
}

func (d *remoteHypervisor) Snapshot(ctx context.Context, id, diskID, path string) error {
	_, err := d.client.Snapshot(ctx, &pb.SnapshotRequest{Id: id, Disk: diskID, Path: path})
	return fromStatus(err)
}

func (d *remoteHypervisor) ConsoleLog(ctx context.Context, id string, max int64) ([]byte, error) {
	r, err := d.client.ConsoleLog(ctx, &pb.ConsoleLogRequest{Id: id, Max: max})
	if err != nil {
		return nil, fromStatus(err)
	}
	log := r.GetLog()
	if over := int64(len(log)) - max; over > 0 {
		log = log[over:]
	}
	return log, nil
}

func (d *remoteHypervisor) Console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	r, err := d.client.Console(ctx, &pb.ConsoleRequest{Id: id, Kind: string(kind)})
	if err != nil {
		return nil, fromStatus(err)
	}
	path := filepath.Clean(r.GetSocket())
	if d.dir != "" && !strings.HasPrefix(path, d.dir+string(filepath.Separator)) {
		return nil, nephos.Errorf(nephos.ErrForbidden, "opening a console: the plugin named the socket %s, outside its folder %s", path, d.dir)
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", path)
}

func (d *remoteHypervisor) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	stream, err := d.client.Events(ctx, &pb.EventsRequest{})
	if err != nil {
		return nil, fromStatus(err)
	}
	if _, err := stream.Header(); err != nil {
		return nil, fromStatus(err)
	}
	events := make(chan hypervisor.Event)
	go func() {
		defer close(events)
		for {
			e, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case events <- hypervisor.Event{
				ID: e.GetId(), State: hypervisor.State(e.GetState()), At: fromTime(e.GetAt()), Guest: e.GetGuest(),
			}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events, nil
}

func (d *remoteHypervisor) Diagnostics(ctx context.Context, id string) (map[string]any, error) {
	r, err := d.client.Diagnostics(ctx, &pb.DiagnosticsRequest{Id: id})
	if err != nil {
		return nil, fromStatus(err)
	}
	var values map[string]any
	if err := json.Unmarshal(r.GetJson(), &values); err != nil {
		return nil, errors.Join(errors.New("reading the plugin's diagnostics"), err)
	}
	return values, nil
}
