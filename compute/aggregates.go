package compute

import (
	"context"
	"strconv"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Aggregate is a group of hosts with metadata that the scheduler reads. The key
// availability_zone among them puts the hosts into that zone.
type Aggregate struct {
	ID        int64  `bun:",pk,autoincrement"`
	UUID      string `bun:"uuid"`
	Name      string
	Metadata  map[string]string
	CreatedAt time.Time
	UpdatedAt *time.Time

	Hosts []string `bun:"-"`
}

// Zone is the availability zone of the aggregate's hosts, or empty.
func (a Aggregate) Zone() string { return a.Metadata[zoneKey] }

const zoneKey = "availability_zone"

// Aggregates is what the Compute API's host aggregates need.
type Aggregates interface {
	// CreateAggregate makes an aggregate; the zone may be empty. A name that is
	// taken is ErrConflict.
	CreateAggregate(ctx context.Context, name, zone string) (Aggregate, error)
	Aggregate(ctx context.Context, id int64) (Aggregate, error)
	// ListAggregates returns all aggregates as they were made.
	ListAggregates(ctx context.Context) ([]Aggregate, error)
	// UpdateAggregate changes name and zone; what is nil stays. A zone cannot be
	// taken away, nor change while servers run in it: ErrInvalid.
	UpdateAggregate(ctx context.Context, id int64, name, zone *string) (Aggregate, error)
	// DeleteAggregate is ErrInvalid while hosts are in it.
	DeleteAggregate(ctx context.Context, id int64) error
	// SetAggregateMetadata merges metadata; a value of nil removes its key.
	SetAggregateMetadata(ctx context.Context, id int64, metadata map[string]*string) (Aggregate, error)
	// AddAggregateHost is ErrConflict for a host that is in it already, or in an
	// aggregate of another zone.
	AddAggregateHost(ctx context.Context, id int64, host string) (Aggregate, error)
	RemoveAggregateHost(ctx context.Context, id int64, host string) (Aggregate, error)
}

var _ Aggregates = (*Service)(nil)

type aggregateRow struct {
	bun.BaseModel `bun:"table:compute_aggregates,alias:aggregate"`
	Aggregate
}

type aggregateHostRow struct {
	bun.BaseModel `bun:"table:compute_aggregate_hosts,alias:member"`

	AggregateID int64  `bun:",pk"`
	Host        string `bun:",pk"`
}

// maxAggregateMetadata bounds the metadata of one aggregate.
const maxAggregateMetadata = 1024

func aggregateNotFound(id int64) error {
	return nephos.Errorf(nephos.ErrNotFound, "Aggregate %d could not be found.", id)
}

// CreateAggregate implements [Aggregates].
func (s *Service) CreateAggregate(ctx context.Context, name, zone string) (Aggregate, error) {
	if err := s.cfg.Policy.Enforce(ctx, aggregateRule("create"), nil); err != nil {
		return Aggregate{}, err
	}
	if err := checkAggregate(&name, &zone); err != nil {
		return Aggregate{}, err
	}
	a := Aggregate{UUID: s.cfg.IDs.New(), Name: name, Metadata: map[string]string{}, Hosts: []string{}}
	if zone != "" {
		a.Metadata[zoneKey] = zone
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		uuid, first, err := tx.Once(ctx, "compute.create_aggregate", a.UUID)
		if err != nil {
			return err
		}
		if !first {
			var rows []aggregateRow
			if err := tx.NewSelect().Model(&rows).Where("aggregate.uuid = ?", uuid).Scan(ctx); err != nil {
				return err
			}
			if len(rows) == 0 {
				return nephos.NotFound("Aggregate", uuid)
			}
			a, err = loadAggregate(ctx, tx, rows[0].ID)
			return err
		}
		a.CreatedAt = tx.Now()
		row := aggregateRow{Aggregate: a}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		a.ID = row.ID
		return emitAggregate(ctx, tx, "create", a)
	})
	return a, aggregateTaken(err, name)
}

func emitAggregate(ctx context.Context, tx *store.Tx, verb string, a Aggregate) error {
	return tx.Emit(ctx, store.Event{Service: "compute", Type: "aggregate." + verb, ResourceID: strconv.FormatInt(a.ID, 10)}, nil)
}

func aggregateTaken(err error, name string) error {
	if store.UniqueViolation(err) {
		return nephos.Errorf(nephos.ErrConflict, "Aggregate %s already exists.", name).WithField("name")
	}
	return err
}

func checkAggregate(name, zone *string) error {
	if name != nil && (*name == "" || len(*name) > 255) {
		return invalid("Invalid input received: name must be 1 to 255 characters long.").WithField("name")
	}
	if zone != nil && len(*zone) > 255 {
		return invalid("Invalid input received: availability_zone must be at most 255 characters long.").WithField(zoneKey)
	}
	return nil
}

// Aggregate implements [Aggregates].
func (s *Service) Aggregate(ctx context.Context, id int64) (Aggregate, error) {
	if err := s.cfg.Policy.Enforce(ctx, aggregateRule("show"), nil); err != nil {
		return Aggregate{}, err
	}
	return loadAggregate(ctx, s.cfg.Store.Reader(), id)
}

// ListAggregates implements [Aggregates].
func (s *Service) ListAggregates(ctx context.Context) ([]Aggregate, error) {
	if err := s.cfg.Policy.Enforce(ctx, aggregateRule("index"), nil); err != nil {
		return nil, err
	}
	return loadAggregates(ctx, s.cfg.Store.Reader())
}

// UpdateAggregate implements [Aggregates].
func (s *Service) UpdateAggregate(ctx context.Context, id int64, name, zone *string) (Aggregate, error) {
	if err := s.cfg.Policy.Enforce(ctx, aggregateRule("update"), nil); err != nil {
		return Aggregate{}, err
	}
	if err := checkAggregate(name, zone); err != nil {
		return Aggregate{}, err
	}
	a, err := s.changeAggregate(ctx, id, "update", func(ctx context.Context, tx *store.Tx, a *Aggregate) error {
		set(&a.Name, name)
		if zone == nil {
			return nil
		}
		if why, err := zoneObjection(ctx, tx, a, *zone, a.Hosts, true); err != nil || why != "" {
			return refused(err, nephos.ErrInvalid, "Cannot update aggregate %d. Reason: %s.", a.ID, why)
		}
		a.Metadata[zoneKey] = *zone
		return nil
	})
	if name != nil {
		err = aggregateTaken(err, *name)
	}
	return a, err
}

// refused makes an error of an objection, unless there is one already.
func refused(err, kind error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return nephos.Errorf(kind, format, args...)
}

// SetAggregateMetadata implements [Aggregates].
func (s *Service) SetAggregateMetadata(ctx context.Context, id int64, metadata map[string]*string) (Aggregate, error) {
	if err := s.cfg.Policy.Enforce(ctx, aggregateRule("set_metadata"), nil); err != nil {
		return Aggregate{}, err
	}
	for k, v := range metadata {
		if k == "" || len(k) > 255 || v != nil && len(*v) > 255 {
			return Aggregate{}, invalid("Invalid input received: metadata keys and values have at most 255 characters.").WithField("metadata")
		}
	}
	return s.changeAggregate(ctx, id, "set_metadata", func(ctx context.Context, tx *store.Tx, a *Aggregate) error {
		if zone, ok := metadata[zoneKey]; ok {
			wanted := ""
			set(&wanted, zone)
			if why, err := zoneObjection(ctx, tx, a, wanted, a.Hosts, true); err != nil || why != "" {
				return refused(err, nephos.ErrInvalid, "Cannot update metadata of aggregate %d. Reason: %s.", a.ID, why)
			}
		}
		for k, v := range metadata {
			if v == nil {
				delete(a.Metadata, k)
			} else {
				a.Metadata[k] = *v
			}
		}
		if len(a.Metadata) > maxAggregateMetadata {
			return invalid("Invalid input received: an aggregate has at most %d metadata.", maxAggregateMetadata).WithField("metadata")
		}
		return nil
	})
}

// DeleteAggregate implements [Aggregates].
func (s *Service) DeleteAggregate(ctx context.Context, id int64) error {
	if err := s.cfg.Policy.Enforce(ctx, aggregateRule("delete"), nil); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		a, err := loadAggregate(ctx, tx, id)
		if err != nil {
			return err
		}
		if len(a.Hosts) > 0 {
			return invalid("Cannot remove host from aggregate %d. Reason: Host aggregate is not empty.", id)
		}
		if _, err := tx.NewRaw("DELETE FROM compute_aggregates WHERE id = ?", id).Exec(ctx); err != nil {
			return err
		}
		return emitAggregate(ctx, tx, "delete", a)
	})
}
