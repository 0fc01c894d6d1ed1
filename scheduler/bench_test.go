package scheduler_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/nephos-cloud/nephos/scheduler"
)

// fleet returns a snapshot of n hosts, in three zones, with some load.
func fleet(tb testing.TB, n int) *scheduler.Snapshot {
	tb.Helper()
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	for i := range n {
		err := snap.Put(scheduler.Host{
			ID: fmt.Sprintf("host-%06d", i), Up: i%97 != 0, Enabled: i%89 != 0,
			Zone: fmt.Sprintf("az%d", i%3),
			Inventory: map[string]scheduler.Inventory{
				scheduler.VCPU:     {Total: 64, MaxUnit: 64},
				scheduler.MemoryMB: {Total: 262144, Reserved: 4096, MaxUnit: 262144},
				scheduler.DiskGB:   {Total: 4000, MaxUnit: 4000},
			},
			Used: scheduler.Resources{
				scheduler.VCPU: int64(i*7) % 500, scheduler.MemoryMB: int64(i*7919) % 380000, scheduler.DiskGB: int64(i*31) % 4000,
			},
			Traits:     []string{"HW_CPU_X86_AVX", "HW_CPU_X86_AVX2", "COMPUTE_NODE"},
			Attributes: map[string]string{"hypervisor_hostname": fmt.Sprintf("host-%06d", i), "host_ip": fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), "hypervisor_type": "QEMU", "hypervisor_version": "7002000", "cpu_info": `{"arch":"x86_64","features":["aes","avx"]}`},
			Supported:  []scheduler.Guest{{Arch: "x86_64", HVType: "kvm", VMMode: "hvm"}, {Arch: "x86_64", HVType: "qemu", VMMode: "hvm"}},
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return snap
}

func benchRequest() scheduler.Request {
	return scheduler.Request{
		ID: "server-1", Zone: "az1",
		Resources:       scheduler.Resources{scheduler.VCPU: 2, scheduler.MemoryMB: 4096, scheduler.DiskGB: 40},
		ImageProperties: map[string]string{"hw_architecture": "x86_64"},
		ExtraSpecs:      map[string]string{"trait:HW_CPU_X86_AVX2": "required", "capabilities:cpu_info:features": "<in> aes"},
	}
}

func BenchmarkSelect(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		snap := fleet(b, n)
		plain := benchRequest()
		plain.Zone, plain.ImageProperties, plain.ExtraSpecs = "", nil, nil
		group := plain
		group.Group = &scheduler.Group{Policy: scheduler.AntiAffinity, MembersByHost: map[string]int{"host-000001": 1}}
		full := plain
		full.Resources = scheduler.Resources{scheduler.MemoryMB: 1 << 20}
		many := plain
		many.Count = 100
		for _, c := range []struct {
			name string
			req  scheduler.Request
		}{{"plain", plain}, {"picky", benchRequest()}, {"group", group}, {"many100", many}, {"novalidhost", full}} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				s, err := scheduler.New(scheduler.Config{})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					_, err := s.Select(snap, c.req, scheduler.Options{Seed: uint64(i), Alternates: 2})
					if (err != nil) != (c.name == "novalidhost") {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	snap := fleet(b, 100_000)
	h, _ := snap.Get("host-000007")
	want := scheduler.Resources{scheduler.VCPU: 1, scheduler.MemoryMB: 1}
	b.Run("put", func(b *testing.B) {
		for b.Loop() {
			if err := snap.Put(h); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("claim+release", func(b *testing.B) {
		for b.Loop() {
			if err := snap.Claim(h.ID, want); err != nil {
				b.Fatal(err)
			}
			if err := snap.Release(h.ID, want); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMemory reports what a host takes in the snapshot.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		snap := fleet(b, n)
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/host")
		runtime.KeepAlive(snap)
	}
}

// BenchmarkLatency reports the median and the 99th percentile of single
// decisions, with the default filters and weighers, while claims go on.
func BenchmarkLatency(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		snap := fleet(b, n)
		s, err := scheduler.New(scheduler.Config{})
		if err != nil {
			b.Fatal(err)
		}
		for name, req := range map[string]scheduler.Request{"plain": {ID: "s", Resources: benchRequest().Resources}, "picky": benchRequest()} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				var took []time.Duration
				for i := 0; b.Loop(); i++ {
					start := time.Now()
					d, err := s.Select(snap, req, scheduler.Options{Seed: uint64(i), Alternates: 2})
					took = append(took, time.Since(start))
					if err != nil {
						b.Fatal(err)
					}
					if err := snap.Claim(d.Choices[0].Host.ID, req.Resources); err != nil {
						b.Fatal(err)
					}
					if err := snap.Release(d.Choices[0].Host.ID, req.Resources); err != nil {
						b.Fatal(err)
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			})
		}
	}
}
