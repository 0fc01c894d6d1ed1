package cloudtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/driver/volume"
	fakevolume "github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/store"
)

// templates are databases of clouds that have just begun, by kind: a process
// pays for the tables and the first admin once.
var templates struct {
	sync.Mutex
	by map[string]func() ([]byte, error)
	// began are the inventories of clouds that have just begun, and schemas what
	// tables there are, by kind as well.
	began   map[string]inventory
	schemas map[string][]table
}

// kind names clouds that begin alike; "" is a cloud like no other.
func (c *Cloud) kind() string {
	if !c.begun || c.options.Database != "" {
		return ""
	}
	return fmt.Sprint(c.options.Seed, " ", len(c.Hosts), " ", c.options.Stopped)
}

// markFirst is [Cloud.Mark] for a cloud that has just begun.
func (c *Cloud) markFirst() {
	kind := c.kind()
	templates.Lock()
	base, ok := templates.began[kind]
	c.schema = templates.schemas[kind]
	templates.Unlock()
	if ok && kind != "" {
		c.base = base
		return
	}
	c.schema = nil
	c.Mark()
	templates.Lock()
	defer templates.Unlock()
	if templates.began == nil {
		templates.began, templates.schemas = map[string]inventory{}, map[string][]table{}
	}
	templates.began[kind], templates.schemas[kind] = c.base, c.schema
}

// template returns the bytes of a database to begin with. That of a cloud that
// begins at a time of its own, or is composed otherwise, has tables and nothing
// in them.
func (c *Cloud) template() []byte {
	key, seed := "empty", c.options.Seed
	c.begun = !c.options.Live && c.options.Compose == nil && c.virtual != nil && c.virtual.Now().Equal(nephos.Epoch)
	begun := c.begun
	if begun {
		key = fmt.Sprint("begun ", seed)
	}
	b, err := templateOf(key, func() ([]byte, error) { return newTemplate(seed, begun) })
	require.NoError(c.t, err)
	return b
}

// templateOf makes the template of a kind, or returns the one that was made.
func templateOf(key string, build func() ([]byte, error)) ([]byte, error) {
	templates.Lock()
	if templates.by == nil {
		templates.by = map[string]func() ([]byte, error){}
	}
	once, ok := templates.by[key]
	if !ok {
		once = sync.OnceValues(build)
		templates.by[key] = once
	}
	templates.Unlock()
	return once()
}

// newTemplate makes a template with nothing in its tables, or one of a cloud that
// has begun, out of the former.
func newTemplate(seed uint64, begun bool) (b []byte, err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "cloudtest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "template.db")
	if begun {
		if b, err = templateOf("empty", func() ([]byte, error) { return newTemplate(0, false) }); err != nil {
			return nil, err
		}
		if err = os.WriteFile(path, b, 0o600); err != nil {
			return nil, err
		}
	}
	clock := nephos.NewVirtualClock(nephos.Epoch)
	db, err := store.Open(ctx, "sqlite:"+path, store.Options{Clock: clock, NoSync: true})
	if err != nil {
		return nil, err
	}
	if begun {
		err = begin(ctx, db, clock, seed)
	} else {
		err = db.Migrate(ctx, cloud.Migrations()...)
	}
	if e := db.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("making the database that test clouds begin with: %w", err)
	}
	return os.ReadFile(path)
}

func begin(ctx context.Context, db *store.DB, clock nephos.Clock, seed uint64) error {
	blobs, err := blob.NewStore(ctx, mem.New(mem.Config{}), blob.StoreOptions{})
	if err != nil {
		return err
	}
	volumes, err := volume.NewPool(ctx, fakevolume.New(fakevolume.Config{Clock: clock}), volume.PoolOptions{})
	if err != nil {
		return err
	}
	cfg := basic(db)
	cfg.Blobs, cfg.Volumes, cfg.Clock, cfg.PublicURL = blobs, volumes, clock, inMemory
	cfg.IDs = nephos.IDs{Rand: nephos.Seeded(seed, "template")}
	_, err = cloud.New(ctx, cfg)
	return err
}
