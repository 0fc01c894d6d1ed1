package compute

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// ComputeBinary is the kind of service that runs on every host.
const ComputeBinary = "nova-compute"

// ownBinaries are the parts of Nova that the controller itself stands for: they
// are up as long as somebody answers.
var ownBinaries = []string{"nova-conductor", "nova-scheduler"}

// ServiceRecord is a service of the Compute API: what runs a host's servers, or
// a part of the controller.
type ServiceRecord struct {
	ID             string
	Number         int64 // by which old microversions know it
	Binary         string
	Host           string
	Zone           string
	Up             bool
	Disabled       bool
	DisabledReason string // empty: none was given
	ForcedDown     bool
	SeenAt         time.Time // its last heartbeat
}

// ServiceUpdate changes a service; what is nil stays. Enabling forgets the
// reason.
type ServiceUpdate struct {
	Disabled       *bool
	DisabledReason string // with Disabled
	ForcedDown     *bool
}

// Services is what the Compute API's services need.
type Services interface {
	// ListServices returns services by host; empty arguments do not narrow.
	ListServices(ctx context.Context, host, binary string) ([]ServiceRecord, error)
	// UpdateService changes the service with the id, a UUID or a number.
	UpdateService(ctx context.Context, id string, u ServiceUpdate) (ServiceRecord, error)
	// UpdateServiceOn changes the service on a host.
	UpdateServiceOn(ctx context.Context, host, binary string, u ServiceUpdate) (ServiceRecord, error)
	// DeleteService forgets a host; ErrConflict while it has servers. One whose
	// agent still runs comes back.
	DeleteService(ctx context.Context, id string) error
}

var _ Services = (*Service)(nil)

// ListServices implements [Services].
func (s *Service) ListServices(ctx context.Context, host, binary string) ([]ServiceRecord, error) {
	if err := s.cfg.Policy.Enforce(ctx, serviceRule("list"), nil); err != nil {
		return nil, err
	}
	all, err := s.serviceRecords(ctx)
	all = append(all, s.ownRecords()...)
	out := make([]ServiceRecord, 0, len(all))
	for _, r := range all {
		if (host == "" || r.Host == host) && (binary == "" || r.Binary == binary) {
			out = append(out, r)
		}
	}
	return out, err
}

// serviceRecords returns all services by host.
func (s *Service) serviceRecords(ctx context.Context) ([]ServiceRecord, error) {
	hosts, out, err := s.hostServices(ctx)
	if err != nil {
		return nil, err
	}
	numbers, err := s.hostNumbers(ctx, hosts)
	for i := range out {
		out[i].Number = numbers[out[i].Host]
	}
	return out, err
}

// hostServices returns all hosts and their services, without their numbers, by
// two queries.
func (s *Service) hostServices(ctx context.Context) ([]Host, []ServiceRecord, error) {
	db := s.cfg.Store.Reader()
	hosts, err := loadHosts(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	aggregates, err := aggregatesOf(ctx, db)
	if err != nil {
		return nil, nil, err
	}
	out := make([]ServiceRecord, len(hosts))
	for i, h := range hosts {
		out[i] = ServiceRecord{
			ID: serviceID(h), Binary: ComputeBinary, Host: h.Name, Zone: s.zoneOf(h, aggregates[h.Name]),
			Up: h.Up && !h.ForcedDown, Disabled: h.Disabled, DisabledReason: h.DisabledReason, ForcedDown: h.ForcedDown, SeenAt: h.SeenAt,
		}
	}
	return hosts, out, nil
}

// ownRecords returns the services of the controller. Their numbers lie beyond
// those of hosts.
func (s *Service) ownRecords() []ServiceRecord {
	out := make([]ServiceRecord, len(ownBinaries))
	for i, binary := range ownBinaries {
		out[i] = ServiceRecord{
			ID: nephos.ChildID(s.cfg.HostName, binary), Number: math.MaxInt32 - int64(i), Binary: binary, Host: s.cfg.HostName,
			Zone: InternalZone, Up: true, SeenAt: s.cfg.Clock.Now(),
		}
	}
	return out
}

func (s *Service) findService(ctx context.Context, id string) (ServiceRecord, error) {
	all, err := s.serviceRecords(ctx)
	if err != nil {
		return ServiceRecord{}, err
	}
	all = append(all, s.ownRecords()...)
	i := slices.IndexFunc(all, func(r ServiceRecord) bool { return r.ID == id || strconv.FormatInt(r.Number, 10) == id })
	if i < 0 {
		return ServiceRecord{}, nephos.NotFound("Service", clip(id))
	}
	return all[i], nil
}

// UpdateService implements [Services].
func (s *Service) UpdateService(ctx context.Context, id string, u ServiceUpdate) (ServiceRecord, error) {
	if err := s.cfg.Policy.Enforce(ctx, serviceRule("update"), nil); err != nil {
		return ServiceRecord{}, err
	}
	r, err := s.findService(ctx, id)
	if err != nil {
		return ServiceRecord{}, err
	}
	if r.Binary != ComputeBinary {
		return ServiceRecord{}, notUpdatable(r.Binary)
	}
	if u.Disabled == nil && u.ForcedDown == nil {
		return ServiceRecord{}, invalid("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
	}
	return s.changeService(ctx, r.Host, u)
}

// UpdateServiceOn implements [Services].
func (s *Service) UpdateServiceOn(ctx context.Context, host, binary string, u ServiceUpdate) (ServiceRecord, error) {
	if err := s.cfg.Policy.Enforce(ctx, serviceRule("update"), nil); err != nil {
		return ServiceRecord{}, err
	}
	if binary != ComputeBinary {
		return ServiceRecord{}, notUpdatable(binary)
	}
	return s.changeService(ctx, host, u)
}

func notUpdatable(binary string) error {
	return invalid("Updating a %s service is not supported. Only nova-compute services can be updated.", clip(binary)).WithField("binary")
}

func (s *Service) changeService(ctx context.Context, host string, u ServiceUpdate) (ServiceRecord, error) {
	if len(u.DisabledReason) > 255 {
		return ServiceRecord{}, invalid("Invalid input received: disabled_reason must be at most 255 characters long.").WithField("disabled_reason")
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		hosts, err := loadHosts(ctx, tx, host)
		if err != nil {
			return err
		}
		if len(hosts) == 0 {
			return nephos.Errorf(nephos.ErrNotFound, "Host '%s' is not mapped to any cell", clip(host))
		}
		row := hostRow{Host: hosts[0]}
		if u.Disabled != nil {
			row.Disabled, row.DisabledReason = *u.Disabled, ""
			if row.Disabled {
				row.DisabledReason = u.DisabledReason
			}
		}
		set(&row.ForcedDown, u.ForcedDown)
		row.Generation, row.UpdatedAt = row.Generation+1, tx.Now()
		_, err = tx.NewUpdate().Model(&row).Column("disabled", "disabled_reason", "forced_down", "generation", "updated_at").
			WherePK().Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "service.update", ResourceID: serviceID(row.Host)}, nil)
	})
	if err != nil {
		return ServiceRecord{}, err
	}
	if err := s.publishHosts(ctx, host); err != nil {
		return ServiceRecord{}, err
	}
	all, err := s.serviceRecords(ctx)
	if i := slices.IndexFunc(all, func(r ServiceRecord) bool { return r.Host == host }); i >= 0 {
		return all[i], err
	}
	return ServiceRecord{}, err
}

var errHostBusy = nephos.Errorf(nephos.ErrConflict,
	"Unable to delete compute service that is hosting instances. Migrate or delete the instances first.")

// DeleteService implements [Services].
func (s *Service) DeleteService(ctx context.Context, id string) error {
	if err := s.cfg.Policy.Enforce(ctx, serviceRule("delete"), nil); err != nil {
		return err
	}
	r, err := s.findService(ctx, id)
	if err != nil {
		return nephos.Errorf(nephos.ErrNotFound, "Service %s not found.", clip(id))
	}
	if r.Binary != ComputeBinary {
		return nil // it runs, so it is back at once
	}
	busy := s.cfg.Store.Reader().NewSelect().Table("compute_servers").Where("host = ? AND NOT deleted", r.Host)
	if n, err := busy.Count(ctx); err != nil || n > 0 {
		return orBusy(err)
	}
	// Nothing can be placed there from here on; a claim says that something was.
	if s.cfg.Claims != nil {
		if err := s.cfg.Claims.RemoveHost(ctx, r.Host); err != nil {
			return err
		}
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.NewSelect().Table("compute_servers").Where("host = ? AND NOT deleted", r.Host).Count(ctx)
		if err != nil || n > 0 {
			return orBusy(err)
		}
		for _, q := range []string{
			"DELETE FROM compute_aggregate_hosts WHERE host = ?",
			"DELETE FROM compute_host_numbers WHERE host = ?",
			"DELETE FROM compute_hosts WHERE name = ?",
		} {
			if _, err := tx.NewRaw(q, r.Host).Exec(ctx); err != nil {
				return err
			}
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "service.delete", ResourceID: r.ID}, nil)
	})
	if err != nil {
		if again := s.publishHosts(ctx, r.Host); again != nil {
			s.cfg.Log.Error("a host was not deleted, and the scheduler does not know it any more", "host", r.Host, "error", again)
		}
	}
	return err
}

func orBusy(err error) error {
	if err != nil {
		return err
	}
	return errHostBusy
}
