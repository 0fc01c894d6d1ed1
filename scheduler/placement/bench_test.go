package placement_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// BenchmarkCandidates asks for allocation candidates over HTTP, 8 requests in
// flight, client and server on the same cores. "churn" also claims and releases
// between requests, so that no two answers come of one state.
func BenchmarkCandidates(b *testing.B) {
	for _, hosts := range []int{1_000, 10_000} {
		f := with(b, storetest.Open(b, nephos.WallClock{}, sqlstore.Migrations()))
		traits := sqlstore.StandardTraits()[:30]
		for i := range hosts {
			require.NoError(b, f.store.PutHost(b.Context(), scheduler.Host{
				ID: fmt.Sprintf("host-%05d", i), Up: true, Enabled: true, Traits: traits,
				Inventory: map[string]scheduler.Inventory{
					scheduler.VCPU: {Total: 64, Ratio: 16}, scheduler.MemoryMB: {Total: 262144, Reserved: 512, Ratio: 1}, scheduler.DiskGB: {Total: 4000, Ratio: 1},
				},
			}))
		}
		run := func(name string, before func(i int)) {
			b.Run(fmt.Sprintf("%d providers/%s", hosts, name), func(b *testing.B) {
				b.SetParallelism(4) // times two cores: 8 in flight
				var size int64
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						before(i)
						req, err := http.NewRequest("GET", f.URL+"/allocation_candidates?limit=1000&resources=VCPU:2,MEMORY_MB:4096,DISK_GB:40&required="+traits[3], nil)
						if err != nil {
							b.Error(err)
							return
						}
						req.Header.Set("X-Auth-Token", "admin")
						req.Header.Set("OpenStack-API-Version", "placement 1.36")
						resp, err := http.DefaultClient.Do(req)
						if err != nil {
							b.Error(err)
							return
						}
						size, err = io.Copy(io.Discard, resp.Body)
						if _ = resp.Body.Close(); err != nil || resp.StatusCode != 200 {
							b.Error(resp.Status, err)
							return
						}
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "answers/s")
				b.ReportMetric(float64(size), "bytes/answer")
			})
		}
		run("still", func(int) {})
		ids := nephos.IDs{}
		run("churn", func(i int) {
			c := sqlstore.Consumer{ID: ids.New(), ProjectID: "p", UserID: "u"}
			host := fmt.Sprintf("host-%05d", i*7919%hosts)
			err := f.db.Tx(b.Context(), func(ctx context.Context, tx *store.Tx) error {
				return f.store.Claim(ctx, tx, c, host, scheduler.Resources{scheduler.VCPU: 1})
			})
			if err != nil {
				b.Error(err)
			}
		})
	}
}
