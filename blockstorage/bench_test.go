package blockstorage_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/driver/volume/fake"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// How fast volumes go from the request to available, each commit on disk.
func BenchmarkCreateToAvailable(b *testing.B) {
	ctx, stop := context.WithCancel(b.Context())
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(b.TempDir(), "b.db"), store.Options{})
	require.NoError(b, err)
	defer db.Close()
	require.NoError(b, db.Migrate(ctx, blockstorage.Migrations()))
	enforcer, err := policy.New(policy.Base(), blockstorage.Rules())
	require.NoError(b, err)
	pool, err := volume.NewPool(ctx, fake.New(fake.Config{}), volume.PoolOptions{})
	require.NoError(b, err)
	s, err := blockstorage.New(blockstorage.Config{Store: db, Policy: enforcer, Pools: []*volume.Pool{pool}, Quotas: map[string]int{"volumes": -1, "gigabytes": -1, "snapshots": -1}})
	require.NoError(b, err)
	q := reconcile.New(reconcile.Config{Store: db})
	for _, k := range s.Kinds() {
		q.Add(k)
	}
	done := make(chan struct{})
	go func() { q.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	user := nephos.WithCaller(ctx, nephos.Caller{UserID: "u", ProjectID: "p", Roles: []string{"member", "reader"}})
	wake, unwatch := db.Watch(store.EventTopic)
	defer unwatch()
	b.SetParallelism(8)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.CreateVolume(user, blockstorage.VolumeSpec{SizeGiB: 1}); err != nil {
				b.Error(err)
			}
		}
	})
	for {
		n, err := s.CountVolumes(user, blockstorage.VolumeFilter{Match: map[string]string{"status": "available"}})
		require.NoError(b, err)
		if n == b.N {
			return
		}
		<-wake
	}
}
