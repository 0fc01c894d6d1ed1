package image

import (
	"cmp"
	"context"
	"crypto/rand"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image/inspect"
	"github.com/nephos-cloud/nephos/store"
)

// Config are the parts of a Service. Store, Policy and Blobs are needed; the
// zero value of the rest means production.
type Config struct {
	Store  *store.DB
	Policy *policy.Enforcer // with policy.Base and [Rules] among its defaults
	// Blobs hold the bytes, told apart by their names; one without a name is called
	// default. The first takes what says nothing else.
	Blobs []*blob.Store
	Clock nephos.Clock
	IDs   nephos.IDs
	Log   *slog.Logger

	// InternalURL is where hosts reach the Image API, without a trailing slash;
	// [Service.SignedURL] makes links below it. InternalURLFunc, where set, is
	// asked instead.
	InternalURL     string
	InternalURLFunc func() string
	// Inspect is what content checks let pass beyond the defaults.
	Inspect inspect.Policy
	Limits  Limits
	// UploadLease is how long after its last sign of life an upload counts as
	// dead; 0 means one minute.
	UploadLease time.Duration
	// Crash is for tests; see [nephos.CrashPoint]. The points are "upload begun",
	// "upload stored" and "blob deleted".
	Crash nephos.CrashPoint
}

// Service implements every interface of this package on a database and a blob
// store. It is safe for concurrent use.
type Service struct {
	cfg    Config
	blobs  blobStores
	chunks sync.Pool // *chunk
	secret atomic.Pointer[[]byte]
}

// New returns a service on a database that was migrated with [Migrations]. Its
// [Service.Kinds] must be added to the queue.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Policy == nil {
		return nil, errors.New("making the image service: it needs a store and a policy")
	}
	blobs, err := newBlobStores(cfg.Blobs)
	if err != nil {
		return nil, fmt.Errorf("making the image service: %w", err)
	}
	cfg.Clock = cmp.Or[nephos.Clock](cfg.Clock, nephos.WallClock{})
	cfg.Log = cmp.Or(cfg.Log, slog.New(slog.DiscardHandler))
	cfg.UploadLease = cmp.Or(cfg.UploadLease, time.Minute)
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Service{cfg: cfg, blobs: blobs}
	s.chunks.New = func() any { return &chunk{buf: make([]byte, chunkSize)} }
	return s, nil
}

func (s *Service) random() io.Reader {
	if s.cfg.IDs.Rand != nil {
		return s.cfg.IDs.Rand
	}
	return rand.Reader
}

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations makes the service's tables.
func Migrations() store.Migrations { return store.MigrationsOf("image", migrations) }

// emit records a change of an image, under its project.
func (s *Service) emit(ctx context.Context, tx *store.Tx, kind string, row imageRow, data any) error {
	return tx.Emit(ctx, store.Event{
		Service: "image", Type: kind, ResourceID: row.ID, ProjectID: deref(row.Owner),
	}, data)
}
