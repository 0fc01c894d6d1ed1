package cloud

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	networking "github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/watch"
)

func (c *Cloud) makeWatch(context.Context) (err error) {
	c.Watch, err = watch.New(watch.Config{
		Store: c.cfg.Store, Policy: c.Policy, IDs: c.cfg.IDs, Log: c.cfg.Log, Sources: c.sources(),
	})
	return err
}

// sources list what a snapshot of the watch API holds, each by the operation
// of its service that checks what the caller may see. Who runs the cloud sees
// all projects.
func (c *Cloud) sources() []watch.Source {
	all := func(ctx context.Context) bool { return c.Policy.Allowed(ctx, "context_is_admin", policy.Target{}) }
	return []watch.Source{
		source("compute", "server", func(ctx context.Context, p nephos.Page) ([]compute.Server, bool, error) {
			no := false
			return c.Compute.ListServers(ctx, compute.ServerFilter{AllProjects: all(ctx), Deleted: &no}, p)
		}, func(s compute.Server) watch.Object {
			return watch.Object{ID: s.ID, ProjectID: s.ProjectID, At: s.UpdatedAt, Data: map[string]any{
				"name": s.Name, "state": s.VMState, "task_state": s.TaskState, "host": s.Host,
			}}
		}),
		source("blockstorage", "volume", func(ctx context.Context, p nephos.Page) ([]blockstorage.Volume, bool, error) {
			return c.BlockStorage.ListVolumes(ctx, blockstorage.VolumeFilter{AllProjects: all(ctx)}, p)
		}, func(v blockstorage.Volume) watch.Object {
			data := map[string]any{"status": v.Status, "size": v.SizeGiB}
			if v.Reason != "" {
				data["reason"] = v.Reason
			}
			return watch.Object{ID: v.ID, ProjectID: v.ProjectID, At: changed(v.CreatedAt, v.UpdatedAt), Data: data}
		}),
		source("blockstorage", "snapshot", func(ctx context.Context, p nephos.Page) ([]blockstorage.Snapshot, bool, error) {
			return c.BlockStorage.ListSnapshots(ctx, blockstorage.SnapshotFilter{AllProjects: all(ctx)}, p)
		}, func(s blockstorage.Snapshot) watch.Object {
			return watch.Object{ID: s.ID, ProjectID: s.ProjectID, At: changed(s.CreatedAt, s.UpdatedAt), Data: map[string]any{"status": s.Status, "size": s.SizeGiB}}
		}),
		source("image", "image", func(ctx context.Context, p nephos.Page) ([]image.Image, bool, error) {
			return c.Image.ListImages(ctx, image.Filter{}, p)
		}, func(i image.Image) watch.Object {
			return watch.Object{ID: i.ID, ProjectID: i.Owner, At: i.UpdatedAt, Data: map[string]any{"status": i.Status}}
		}),
		source("network", "network", listNetwork(c.Network.ListNetworks), func(n networking.Network) watch.Object {
			return ofNetwork(n.Meta, map[string]any{"name": n.Name})
		}),
		source("network", "subnet", listNetwork(c.Network.ListSubnets), func(s networking.Subnet) watch.Object {
			return ofNetwork(s.Meta, map[string]any{"network_id": s.NetworkID})
		}),
		source("network", "port", listNetwork(c.Network.ListPorts), func(p networking.Port) watch.Object {
			return ofNetwork(p.Meta, map[string]any{
				"device_id": p.DeviceID, "device_owner": p.DeviceOwner, "network_id": p.NetworkID, "status": p.Status, "host": p.Host,
			})
		}),
		source("network", "router", listNetwork(c.Network.ListRouters), func(r networking.Router) watch.Object {
			return ofNetwork(r.Meta, map[string]any{"name": r.Name, "status": r.Status})
		}),
		source("network", "floatingip", listNetwork(c.Network.ListFloatingIPs), func(f networking.FloatingIP) watch.Object {
			return ofNetwork(f.Meta, map[string]any{"port_id": f.PortID, "floating_ip_address": f.Address.String(), "status": f.Status})
		}),
		source("network", "security_group", listNetwork(c.Network.ListSecurityGroups), func(g networking.SecurityGroup) watch.Object {
			return ofNetwork(g.Meta, map[string]any{"name": g.Name})
		}),
	}
}

// source makes a source of a service's list operation.
func source[T any](
	service, resource string, list func(context.Context, nephos.Page) ([]T, bool, error), object func(T) watch.Object,
) watch.Source {
	return watch.Source{Service: service, Resource: resource, List: func(ctx context.Context, p nephos.Page) ([]watch.Object, bool, error) {
		found, more, err := list(ctx, p)
		if err != nil {
			return nil, false, err
		}
		objects := make([]watch.Object, len(found))
		for i := range found {
			objects[i] = object(found[i])
		}
		return objects, more, nil
	}}
}

func listNetwork[T any](
	list func(context.Context, networking.Filter, nephos.Page) ([]T, bool, error),
) func(context.Context, nephos.Page) ([]T, bool, error) {
	return func(ctx context.Context, p nephos.Page) ([]T, bool, error) { return list(ctx, networking.Filter{}, p) }
}

func ofNetwork(m networking.Meta, data map[string]any) watch.Object {
	return watch.Object{ID: m.ID, ProjectID: m.ProjectID, At: m.UpdatedAt, Data: data}
}

func changed(created time.Time, updated *time.Time) time.Time {
	if updated != nil {
		return *updated
	}
	return created
}
