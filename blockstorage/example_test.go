package blockstorage_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// A volume is created, attached to a server, and given back.
func Example() {
	dir, err := os.MkdirTemp("", "volumes")
	check(err)
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "nephos.db"), store.Options{})
	check(err)
	defer db.Close()
	check(db.Migrate(ctx, blockstorage.Migrations()))
	rules, err := policy.New(policy.Base(), blockstorage.Rules())
	check(err)
	pool, err := volume.NewPool(ctx, fake.New(fake.Config{}), volume.PoolOptions{})
	check(err)

	s, err := blockstorage.New(blockstorage.Config{Store: db, Policy: rules, Pools: []*volume.Pool{pool}})
	check(err)
	work := reconcile.New(reconcile.Config{Store: db}) // its Run works in the background; here it is told to
	for _, k := range s.Kinds() {
		work.Add(k)
	}

	alice := nephos.WithCaller(ctx, nephos.Caller{UserID: "alice", ProjectID: "p1", Roles: []string{"member", "reader"}})
	v, err := s.CreateVolume(alice, blockstorage.VolumeSpec{SizeGiB: 1})
	check(err)
	fmt.Println(v.Status)
	check(work.Settle(ctx))

	_, err = s.EnsureAttachment(alice, "server-1/disk-1", blockstorage.AttachSpec{VolumeID: v.ID, ServerID: "server-1", Host: "host-1"})
	check(err)
	check(s.CompleteAttachment(alice, "server-1/disk-1"))
	v, err = s.Volume(alice, v.ID)
	check(err)
	fmt.Println(v.Status, v.Attachments[0].Host)

	check(s.ReleaseAttachment(alice, "server-1/disk-1"))
	v, err = s.Volume(alice, v.ID)
	check(err)
	fmt.Println(v.Status)
	// Output:
	// creating
	// in-use host-1
	// available
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
