package scheduler_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

func pool(id string, edit ...func(*scheduler.Pool)) scheduler.Pool {
	p := scheduler.Pool{
		ID: id, Up: true, Enabled: true, TotalGB: 100, FreeGB: 100,
		Capabilities: map[string]string{"volume_backend_name": "fast", "multiattach": "True"},
	}
	for _, e := range edit {
		e(&p)
	}
	return p
}

func pools(t testing.TB) *scheduler.Scheduler {
	t.Helper()
	s, err := scheduler.NewPools(scheduler.Config{})
	require.NoError(t, err)
	return s
}

func TestPoolFilters(t *testing.T) {
	type P = *scheduler.Pool
	type R = scheduler.VolumeRequest
	thin := func(total, free, provisioned, ratio float64, reserved int) func(P) {
		return func(p P) {
			p.TotalGB, p.FreeGB, p.ProvisionedGB, p.MaxOverSubscription, p.ReservedPercentage, p.Thin = total, free, provisioned, ratio, reserved, true
		}
	}
	spec := func(k, v string) R { return R{SizeGB: 1, ExtraSpecs: map[string]string{k: v}} }
	for _, c := range []struct {
		name   string
		pool   func(P)
		req    R
		reason string // empty: passes
	}{
		{"fits", func(P) {}, R{SizeGB: 100}, ""},
		{"too large", func(P) {}, R{SizeGB: 101}, "lack free space"},
		{"down", func(p P) { p.Up = false }, R{SizeGB: 1}, "down"},
		{"reserved", func(p P) { p.ReservedPercentage = 10 }, R{SizeGB: 91}, "lack free space"},
		{"unknown size", func(p P) { p.TotalGB, p.FreeGB = -1, -1 }, R{SizeGB: 1 << 30}, ""},
		{"thin, promised to the limit", thin(500, 100, 950, 2, 0), R{SizeGB: 50}, ""},
		{"thin, promised beyond it", thin(500, 100, 951, 2, 0), R{SizeGB: 50}, "lack room to promise more"},
		{"thin, as much as what is left times the ratio", thin(500, 100, 0, 2, 0), R{SizeGB: 200}, ""},
		{"thin, more than that", thin(500, 100, 0, 2, 0), R{SizeGB: 201}, "lack free space"},
		{"thin, reserved", thin(500, 100, 0, 2, 5), R{SizeGB: 151}, "lack free space"},
		{"thin, default ratio", thin(10, 10, 0, 0, 0), R{SizeGB: 200}, ""},
		{"thick in a thin pool that makes both", func(p P) { p.Thin, p.Thick = true, true }, R{SizeGB: 101, ExtraSpecs: map[string]string{"provisioning:type": "thick"}}, "lack free space"},
		{"thick in a thin pool", func(p P) { p.Thin = true }, spec("provisioning:type", "thick"), "cannot make thick volumes"},
		{"thin in a thick pool", func(P) {}, spec("provisioning:type", "thin"), "cannot make thin volumes"},

		{"zone", func(p P) { p.Zone = "az1" }, R{Zone: "az1"}, ""},
		{"other zone", func(p P) { p.Zone = "az1" }, R{Zone: "az2"}, "in another zone"},
		{"zone of the type", func(p P) { p.Zone = "az1" }, spec("RESKEY:availability_zones", "az0, az1"), ""},
		{"no zone of the type", func(p P) { p.Zone = "az1" }, spec("RESKEY:availability_zones", "az0"), "in a zone that the volume type does not allow"},

		{"backend name", func(P) {}, spec("volume_backend_name", "fast"), ""},
		{"other backend name", func(P) {}, spec("volume_backend_name", "slow"), "do not meet a capability of the volume type"},
		{"scoped", func(P) {}, spec("capabilities:volume_backend_name", "<or> slow <or> fast"), ""},
		{"of another scope", func(P) {}, spec("vendor:qos", "gold"), ""},
		{"absent", func(P) {}, spec("compression", "<is> True"), "lack a capability of the volume type"},
		{"is true", func(P) {}, spec("multiattach", "<is> true"), ""},
		{"is not false", func(P) {}, spec("multiattach", "<is> False"), "do not meet a capability of the volume type"},
		{"numbers", func(P) {}, spec("capabilities:total_capacity_gb", ">= 100"), ""},
		{"thin support", func(P) {}, spec("thin_provisioning_support", "<is> True"), "do not meet a capability of the volume type"},

		{"same host", func(P) {}, R{Same: []string{"h1@lvm"}}, ""},
		{"not the same host", func(P) {}, R{Same: []string{"h2"}}, "not the pool of the volume named by same_host"},
		{"different host", func(P) {}, R{Different: []string{"h1@lvm#other"}}, ""},
		{"not a different host", func(P) {}, R{Different: []string{"h1@lvm#one"}}, "the pool of a volume named by different_host"},
		{"tried", func(P) {}, R{Ignore: []string{"h1@lvm#one"}}, "excluded by the request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := pools(t).SelectPool([]scheduler.Pool{pool("h1@lvm#one", c.pool)}, c.req, scheduler.Options{})
			if c.reason == "" {
				require.NoError(t, err)
				require.Equal(t, "h1@lvm#one", d.Choices[0].Host.ID)
				return
			}
			require.ErrorIs(t, err, nephos.ErrNoCapacity)
			require.Equal(t, c.reason, d.Explanation.Nearest.Verdicts[0].Reason)
		})
	}
}

func TestNoValidPoolSaysWhy(t *testing.T) {
	all := []scheduler.Pool{
		pool("h@a#1", func(p *scheduler.Pool) { p.FreeGB = 45 }), pool("h@a#2", func(p *scheduler.Pool) { p.FreeGB = 10 }),
		pool("h@b#1", func(p *scheduler.Pool) { p.Zone = "az2" }),
	}
	_, err := pools(t).SelectPool(all, scheduler.VolumeRequest{ID: "v", SizeGB: 50, Zone: "nova"}, scheduler.Options{})
	require.EqualError(t, err, "No valid backend was found. No weighed backends available. "+
		"No valid pool: 3 pools, 2 lack free space (nearest short of 5 GiB), 1 in another zone.")
}

func TestPoolsWithMoreRoomFirst(t *testing.T) {
	all := []scheduler.Pool{
		pool("a", func(p *scheduler.Pool) { p.FreeGB = 60 }),
		pool("b", func(p *scheduler.Pool) { p.Thin, p.ProvisionedGB, p.MaxOverSubscription = true, 100, 2 }), // 100 left to promise
		pool("c", func(p *scheduler.Pool) { p.FreeGB = 80 }),
	}
	d, err := pools(t).SelectPool(all, scheduler.VolumeRequest{ID: "v", SizeGB: 10}, scheduler.Options{Alternates: 2})
	require.NoError(t, err)
	require.Equal(t, "b", d.Choices[0].Host.ID)
	require.Equal(t, []string{"c", "a"}, []string{d.Choices[0].Alternates[0].ID, d.Choices[0].Alternates[1].ID})
}

func TestSeveralVolumesShareTheRoom(t *testing.T) {
	all := []scheduler.Pool{pool("a", func(p *scheduler.Pool) { p.FreeGB = 30 }), pool("b", func(p *scheduler.Pool) { p.FreeGB = 20 })}
	d, err := pools(t).SelectPool(all, scheduler.VolumeRequest{ID: "v", SizeGB: 10, Count: 5}, scheduler.Options{})
	require.NoError(t, err)
	per := map[string]int{}
	for _, c := range d.Choices {
		per[c.Host.ID]++
	}
	require.Equal(t, map[string]int{"a": 3, "b": 2}, per)
	_, err = pools(t).SelectPool(all, scheduler.VolumeRequest{ID: "v", SizeGB: 10, Count: 6}, scheduler.Options{})
	require.ErrorContains(t, err, "with room for 5 of 6 volumes")
}

func TestBadPoolsAndVolumes(t *testing.T) {
	for name, edit := range map[string]func(*scheduler.Pool){
		"no id":             func(p *scheduler.Pool) { p.ID = "" },
		"ratio below 1":     func(p *scheduler.Pool) { p.MaxOverSubscription = 0.5 },
		"negative ratio":    func(p *scheduler.Pool) { p.MaxOverSubscription = -1 },
		"reserved above":    func(p *scheduler.Pool) { p.ReservedPercentage = 101 },
		"negative promised": func(p *scheduler.Pool) { p.ProvisionedGB = -1 },
	} {
		_, err := pools(t).SelectPool([]scheduler.Pool{pool("a", edit)}, scheduler.VolumeRequest{SizeGB: 1}, scheduler.Options{})
		require.ErrorIs(t, err, nephos.ErrInvalid, name)
	}
	_, err := pools(t).SelectPool([]scheduler.Pool{pool("a")}, scheduler.VolumeRequest{SizeGB: -1}, scheduler.Options{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
	_, err = pools(t).SelectPool([]scheduler.Pool{pool("a")}, scheduler.VolumeRequest{ExtraSpecs: map[string]string{"provisioning:type": "x"}}, scheduler.Options{})
	require.ErrorIs(t, err, nephos.ErrInvalid)
}

// No pool ever promises more than its size times the ratio, nor hands out what
// is reserved.
func TestPoolsKeepTheirLimits(t *testing.T) {
	s := pools(t)
	rapid.Check(t, func(t *rapid.T) {
		var all []scheduler.Pool
		for i := range rapid.IntRange(1, 4).Draw(t, "pools") {
			total := float64(rapid.IntRange(0, 200).Draw(t, "total"))
			all = append(all, pool(fmt.Sprint("p", i), func(p *scheduler.Pool) {
				p.TotalGB = total
				p.FreeGB = float64(rapid.IntRange(0, int(total)).Draw(t, "free"))
				p.Thin = rapid.Bool().Draw(t, "thin")
				p.MaxOverSubscription = rapid.Float64Range(1, 5).Draw(t, "ratio")
				p.ReservedPercentage = rapid.IntRange(0, 100).Draw(t, "reserved")
				p.ProvisionedGB = float64(rapid.IntRange(0, 400).Draw(t, "provisioned"))
			}))
		}
		req := scheduler.VolumeRequest{ID: "v", SizeGB: rapid.Int64Range(1, 50).Draw(t, "size"), Count: rapid.IntRange(1, 8).Draw(t, "count")}
		d, err := s.SelectPool(all, req, scheduler.Options{})
		if err != nil {
			return
		}
		per := map[string]float64{}
		for _, c := range d.Choices {
			per[c.Host.ID] += float64(req.SizeGB)
		}
		for _, p := range all {
			took := per[p.ID]
			if took == 0 {
				continue
			}
			reserved := p.TotalGB * float64(p.ReservedPercentage) / 100
			if p.Thin && p.ProvisionedGB+took > p.TotalGB*p.MaxOverSubscription {
				t.Fatalf("pool %+v promises %v more", p, took)
			}
			if !p.Thin && took > p.FreeGB-reserved {
				t.Fatalf("pool %+v gives %v", p, took)
			}
		}
	})
}

// A volume is placed among pools in one call.
func ExampleScheduler_SelectPool() {
	s, _ := scheduler.NewPools(scheduler.Config{})
	d, err := s.SelectPool([]scheduler.Pool{
		{ID: "node1@disk#hdd", Up: true, Enabled: true, TotalGB: 4000, FreeGB: 900, Capabilities: map[string]string{"volume_backend_name": "hdd"}},
		{ID: "node1@disk#ssd", Up: true, Enabled: true, TotalGB: 1000, FreeGB: 400, Thin: true, ProvisionedGB: 1500, MaxOverSubscription: 2, Capabilities: map[string]string{"volume_backend_name": "ssd"}},
	}, scheduler.VolumeRequest{ID: "volume", SizeGB: 100, ExtraSpecs: map[string]string{"volume_backend_name": "ssd"}}, scheduler.Options{})
	fmt.Println(d.Choices[0].Host.ID, err)
	// Output: node1@disk#ssd <nil>
}
