package cloudtest_test

import (
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
)

// first is the first answer of a cloud: its versions, and a token.
func first(t testing.TB, c *cloudtest.Cloud) {
	resp, err := c.Client().Get(c.URL + "/compute/")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// BenchmarkNew is the time from New to the first answer of an API.
func BenchmarkNew(b *testing.B) {
	var took []time.Duration
	for b.Loop() {
		begun := time.Now()
		first(b, cloudtest.New(b))
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-median")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
}

// BenchmarkLife is a cloud with a project in which a server becomes active
// and goes.
func BenchmarkLife(b *testing.B) {
	c := cloudtest.New(b)
	p := c.Project()
	compute := p.Member().Compute
	for b.Loop() {
		life(b, c, p, compute)
	}
}

// BenchmarkTenMinutes is a build that takes ten minutes, from the request to
// ACTIVE.
func BenchmarkTenMinutes(b *testing.B) {
	c := cloudtest.New(b)
	p := c.Project()
	compute := p.Member().Compute
	for b.Loop() {
		c.Faults.Add(fakehypervisor.Fault{Method: "Ensure", Delay: 10 * time.Minute})
		begun := c.Clock.Now()
		s, err := servers.Create(b.Context(), compute, servers.CreateOpts{
			Name: "slow", ImageRef: p.ImageID, FlavorRef: p.FlavorID, Networks: []servers.Network{{UUID: p.NetworkID}},
		}, nil).Extract()
		require.NoError(b, err)
		c.Settle()
		require.Greater(b, c.Clock.Now().Sub(begun), 10*time.Minute)
		require.NoError(b, servers.Delete(b.Context(), compute, s.ID).ExtractErr())
		c.Settle()
	}
}

// BenchmarkDay is a day that passes over a cloud of three hosts at rest.
func BenchmarkDay(b *testing.B) {
	c := cloudtest.New(b)
	for b.Loop() {
		c.Advance(24 * time.Hour)
	}
}

// BenchmarkHundred is a hundred clouds at once, each with a project and a server
// that is active.
func BenchmarkHundred(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		clouds := make([]*cloudtest.Cloud, 100)
		var wg sync.WaitGroup
		next := make(chan int)
		for range runtime.NumCPU() {
			wg.Go(func() {
				for i := range next {
					clouds[i] = cloudtest.New(b)
					p := clouds[i].Project()
					active(b, clouds[i], p, p.Member().Compute)
				}
			})
		}
		for i := range clouds {
			next <- i
		}
		close(next)
		wg.Wait()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20)/100, "heap-MiB/cloud")
		b.ReportMetric(rss(b)/100, "rss-MiB/cloud")
	}
}
