package compute

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// ExternalEvent is what another service tells of a server, by Nova's names:
// network-vif-plugged, volume-extended …
type ExternalEvent struct {
	ServerID, Name, Status string
	Tag                    *string
}

// ExternalEvents is what the Compute API's external events need.
type ExternalEvents interface {
	// ExternalEvents takes events in and has their servers looked at. It returns
	// the code of each: 200, 404 when there is no such server, 422 when it has no
	// host, 400 when a tag is missing.
	ExternalEvents(ctx context.Context, events []ExternalEvent) ([]int, error)
	// ListMigrations returns the servers' moves between hosts: there are none, as
	// long as servers do not move.
	ListMigrations(ctx context.Context) ([]Migration, error)
	// SeeExtensions fails unless the caller may list the API's extensions.
	SeeExtensions(ctx context.Context) error
}

// Migration is a move of a server between hosts.
type Migration struct{ ID, ServerID, Source, Destination, Status string }

var _ ExternalEvents = (*Service)(nil)

// maxExternalEvents bounds the events of one request.
const maxExternalEvents = 1000

// ExternalEvents implements [ExternalEvents].
func (s *Service) ExternalEvents(ctx context.Context, events []ExternalEvent) ([]int, error) {
	if err := s.cfg.Policy.Enforce(ctx, ruleExternalEvents, nil); err != nil {
		return nil, err
	}
	if len(events) > maxExternalEvents {
		return nil, invalid("Invalid input received: at most %d events are accepted at once.", maxExternalEvents).WithField("events")
	}
	codes := make([]int, len(events))
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		ids := make([]string, len(events))
		for i, e := range events {
			ids[i] = e.ServerID
		}
		var rows []struct{ ID, Host, ProjectID string }
		if len(ids) > 0 {
			err := tx.NewSelect().Table("compute_servers").Column("id", "host", "project_id").
				Where("id IN (?) AND NOT deleted", bun.List(ids)).Scan(ctx, &rows)
			if err != nil {
				return err
			}
		}
		hosts, projects := map[string]string{}, map[string]string{}
		for _, r := range rows {
			hosts[r.ID], projects[r.ID] = r.Host, r.ProjectID
		}
		var woken []string
		for i, e := range events {
			host, known := hosts[e.ServerID]
			switch {
			case !known:
				codes[i] = 404
			case e.Tag == nil && (e.Name == "volume-extended" || e.Name == "power-update" || e.Name == "accelerator-request-bound"):
				codes[i] = 400
			case host == "":
				codes[i] = 422
			default:
				codes[i] = 200
				woken = append(woken, e.ServerID)
				ev := store.Event{Service: "compute", Type: "server.external_event", ResourceID: e.ServerID, ProjectID: projects[e.ServerID]}
				if err := tx.Emit(ctx, ev, map[string]any{"name": e.Name, "status": e.Status, "tag": e.Tag}); err != nil {
					return err
				}
			}
		}
		return reconcile.EnqueueAll(ctx, tx, kindServer, woken, time.Time{})
	})
	return codes, err
}

// ListMigrations implements [ExternalEvents].
func (s *Service) ListMigrations(ctx context.Context) ([]Migration, error) {
	return nil, s.cfg.Policy.Enforce(ctx, ruleMigrations, nil)
}

// SeeExtensions implements [ExternalEvents].
func (s *Service) SeeExtensions(ctx context.Context) error {
	return s.cfg.Policy.Enforce(ctx, ruleExtensions, nil)
}
