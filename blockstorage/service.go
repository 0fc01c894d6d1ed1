package blockstorage

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// Decisions is where decisions on pools are kept. *sqlstore.Store satisfies it;
// its rows are in the same database as the volumes'.
type Decisions interface {
	Keep(ctx context.Context, tx *store.Tx, volumeID string, e scheduler.Explanation) error
}

// Config are the parts of a Service. Store, Policy and Pools are needed; the
// zero value of the rest means production.
type Config struct {
	Store  *store.DB
	Policy *policy.Enforcer // with policy.Base and [Rules] among its defaults
	// Pools are where the bytes live, told apart by their names; one without a
	// name is called volumes. A volume goes to the pool that Scheduler chooses.
	Pools []*volume.Pool
	// Scheduler chooses pools; nil: one of scheduler.NewPools with its defaults.
	Scheduler *scheduler.Scheduler
	// Decisions keeps why volumes went to their pools; nil: nobody does.
	Decisions Decisions
	Clock     nephos.Clock
	IDs       nephos.IDs
	Log       *slog.Logger

	// Images is where volumes made of images read them; nil: there are none.
	Images ImageSource
	// Sink takes volumes that become images; nil: they cannot.
	Sink ImageSink

	// Zone is the availability zone of all volumes; empty means nova.
	Zone string
	// HostName is the name of the service's host in what operators see; empty
	// means nephos. A pool is HostName@Name#Name.
	HostName string
	// DefaultType is the name of the type of volumes that name none; empty means
	// __DEFAULT__, which [Migrations] makes.
	DefaultType string
	// Quotas replaces default quotas by resource (volumes, gigabytes, snapshots,
	// per_volume_gigabytes, volumes_<type> …); -1 is no limit.
	Quotas map[string]int
	// Deadline is how long the making, changing or deleting of a volume may go on;
	// 0 means two hours.
	Deadline time.Duration
	// Crash is for tests; see [nephos.CrashPoint]. The points are "pool chosen", "pool done",
	// "attachment recorded", "attachment connected" and "attachment disconnected".
	Crash nephos.CrashPoint
}

// ImageSource is what volumes need of images. The image service satisfies it.
type ImageSource interface {
	// Image returns an image that the context's caller may see.
	Image(ctx context.Context, id string) (image.Image, error)
	// Open returns an image and all its bytes.
	Open(ctx context.Context, id string) (image.Image, io.ReadCloser, error)
}

// ImageLocator is what an [ImageSource] may offer besides: where an image's bytes
// are, as its store tells, for a pool on the same storage that clones them; empty
// where the store tells nothing. The image service satisfies it.
type ImageLocator interface {
	Locate(ctx context.Context, id string) (string, error)
}

// ImageSink is what making images of volumes needs. The image service
// satisfies it.
type ImageSink interface {
	Image(ctx context.Context, id string) (image.Image, error)
	CreateImage(ctx context.Context, spec image.Spec) (image.Image, error)
	Upload(ctx context.Context, id string, body io.Reader, size int64) error
}

// Service implements every interface of this package on a database and a pool.
// It is safe for concurrent use.
type Service struct {
	cfg    Config
	pools  pools
	choose *scheduler.Scheduler
	worker string // tells this process apart in claims on long work

	mu    sync.Mutex
	tasks map[string]*task // long calls of the pool, by the work they belong to
}

// New returns a service on a database that was migrated with [Migrations]. Its
// [Service.Kinds] must be added to the queue.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Policy == nil {
		return nil, errors.New("making the block storage service: it needs a store and a policy")
	}
	pools, err := newPools(cfg.Pools)
	if err != nil {
		return nil, fmt.Errorf("making the block storage service: %w", err)
	}
	if cfg.Scheduler == nil {
		if cfg.Scheduler, err = scheduler.NewPools(scheduler.Config{}); err != nil {
			return nil, fmt.Errorf("making the block storage service: %w", err)
		}
	}
	cfg.Clock = cmp.Or[nephos.Clock](cfg.Clock, nephos.WallClock{})
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.Zone = cmp.Or(cfg.Zone, "nova")
	cfg.HostName = cmp.Or(cfg.HostName, "nephos")
	cfg.DefaultType = cmp.Or(cfg.DefaultType, "__DEFAULT__")
	cfg.Deadline = cmp.Or(cfg.Deadline, 2*time.Hour)
	return &Service{cfg: cfg, pools: pools, choose: cfg.Scheduler, worker: cfg.IDs.New(), tasks: map[string]*task{}}, nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the service's tables.
func Migrations() store.Migrations { return store.MigrationsOf("blockstorage", migrations) }

func caller(ctx context.Context) nephos.Caller {
	c, _ := nephos.CallerFrom(ctx)
	return c
}

// isService reports whether one of the cloud's own services is calling.
func isService(ctx context.Context) bool {
	c := caller(ctx)
	return c.Service != "" && slices.Contains(c.Roles, "service")
}

// IsAdmin reports whether the caller runs the cloud: all projects' resources
// exist for it, and it is shown more of each.
func (s *Service) IsAdmin(ctx context.Context) bool {
	return s.cfg.Policy.Allowed(ctx, "context_is_admin", policy.Target{})
}

// seesAll reports whether every project's resources exist for the caller.
func (s *Service) seesAll(ctx context.Context) bool { return isService(ctx) || s.IsAdmin(ctx) }

// enforce checks a rule. Services have a rule of their own.
func (s *Service) enforce(ctx context.Context, rule string, target policy.Target) error {
	if isService(ctx) {
		rule = ruleService
	}
	return s.cfg.Policy.Enforce(ctx, rule, target)
}

// own is the target of an operation that has no resource yet: the caller's.
func own(ctx context.Context) policy.Target {
	c := caller(ctx)
	return policy.Target{"project_id": c.ProjectID, "user_id": c.UserID}
}

// emit records a change of a resource of the project.
func (s *Service) emit(ctx context.Context, tx *store.Tx, kind, id, projectID string, data any) error {
	return tx.Emit(ctx, store.Event{Service: "blockstorage", Type: kind, ResourceID: id, ProjectID: projectID}, data)
}

// set assigns what an update names.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
