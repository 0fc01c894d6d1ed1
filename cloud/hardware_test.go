package cloud_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/gophercloud/gophercloud/v2/openstack/image/v2/images"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/scheduler"
)

// machines are three hosts: a plain one, one with two NUMA cells, and one with
// a newer processor, two GPUs and little to do.
func machines(name string, h *hypervisor.Host) {
	zero := 0
	switch name {
	case "host-1":
		h.Metrics = map[string]float64{"cpu.percent": 0.9}
	case "host-2":
		h.NUMA = []driver.NUMACell{
			{ID: 0, CPUs: []int{0, 1, 2, 3}, MemoryMiB: 4096, Pages: map[int64]int64{2048: 1024}},
			{ID: 1, CPUs: []int{4, 5}, Dedicated: []int{6, 7}, MemoryMiB: 4096},
		}
		h.VCPUs, h.Metrics = 8, map[string]float64{"cpu.percent": 0.5}
	case "host-3":
		h.CPUFeatures, h.Traits = []string{"avx2", "aes"}, []string{"CUSTOM_GOLD"}
		h.PCI = []driver.PCIDevice{
			{Address: "0000:81:00.0", VendorID: "10DE", ProductID: "1eb8", NUMANode: &zero},
			{Address: "0000:82:00.0", VendorID: "10de", ProductID: "1EB8", NUMANode: &zero},
		}
		h.Metrics = map[string]float64{"cpu.percent": 0.1}
	}
}

// hardware is a cloud of these machines, with a member who boots.
type hardware struct {
	t     *testing.T
	cloud *cloudtest.Cloud
	p     *cloudtest.Project
	n     int

	admin, member *cloudtest.Clients
	// servers are the ids of all that were booted.
	servers []string
}

func newHardware(t *testing.T, sched scheduler.Config) *hardware {
	c := cloudtest.New(t, cloudtest.Options{Describe: machines, Compose: func(cfg *cloud.Config) {
		s, err := scheduler.New(sched)
		require.NoError(t, err)
		cfg.Scheduler = s
	}})
	return &hardware{t: t, cloud: c, admin: c.Clients()}
}

// run runs a test in a project of its own, whose servers are gone in the end.
func (h *hardware) run(t *testing.T, name string, test func(*testing.T, *hardware)) {
	t.Run(name, func(t *testing.T) {
		one := &hardware{t: t, cloud: h.cloud, p: h.cloud.Project(), n: h.n, admin: h.admin}
		one.member = one.p.Member()
		test(t, one)
		h.n = one.n
		for _, id := range one.servers {
			require.NoError(t, servers.Delete(t.Context(), one.member.Compute, id).ExtractErr())
		}
		h.cloud.Settle()
	})
}

// flavor makes a flavor of 2 processors and 2 GiB with the extra specs.
func (h *hardware) flavor(specs map[string]string) string {
	h.n++
	admin := h.admin.Compute
	f, err := flavors.Create(h.t.Context(), admin, flavors.CreateOpts{
		Name: "f" + string(rune('a'+h.n)), RAM: 2048, VCPUs: 2, Disk: gophercloud.IntToPointer(1),
	}).Extract()
	require.NoError(h.t, err)
	if len(specs) > 0 {
		_, err = flavors.CreateExtraSpecs(h.t.Context(), admin, f.ID, flavors.ExtraSpecsOpts(specs)).Extract()
		require.NoError(h.t, err)
	}
	return f.ID
}

// boot boots a server and returns its host, or its fault.
func (h *hardware) boot(flavor string) (host, fault string) {
	s, err := servers.Create(h.t.Context(), h.member.Compute, servers.CreateOpts{
		Name: "s", ImageRef: h.p.ImageID, FlavorRef: flavor, Networks: []servers.Network{{UUID: h.p.NetworkID}},
	}, nil).Extract()
	require.NoError(h.t, err)
	h.servers = append(h.servers, s.ID)
	h.cloud.Settle()
	got, err := h.cloud.Compute.Server(h.cloud.AsAdmin(), s.ID)
	require.NoError(h.t, err)
	if got.Fault != nil {
		fault = got.Fault.Message
	}
	return got.Host, fault
}

func TestTheDefaultFiltersKnowHardware(t *testing.T) {
	h := newHardware(t, scheduler.Config{})
	h.run(t, "the processor's abilities", processorsAbilitiesDecide)
	h.run(t, "processors of one's own", processorsOfOnesOwn)
	h.run(t, "traits", traitsDecide)
}

func traitsDecide(t *testing.T, h *hardware) {
	place := h.admin.Placement
	place.Microversion = "1.39"
	providers := map[string]string{}
	pages, err := resourceproviders.List(place, nil).AllPages(t.Context())
	require.NoError(t, err)
	all, err := resourceproviders.ExtractResourceProviders(pages)
	require.NoError(t, err)
	for _, p := range all {
		providers[p.Name] = p.UUID
	}
	traits := func(host string) *resourceproviders.ResourceProviderTraits {
		got, err := resourceproviders.GetTraits(t.Context(), place, providers[host]).Extract()
		require.NoError(t, err)
		return got
	}
	require.Subset(t, traits("host-3").Traits, []string{"HW_CPU_X86_AVX2", "HW_CPU_X86_AESNI", "CUSTOM_GOLD", "COMPUTE_NODE", "COMPUTE_VOLUME_EXTEND"})
	require.NotContains(t, traits("host-1").Traits, "HW_CPU_X86_AVX2")

	needs := h.flavor(map[string]string{"trait:HW_CPU_X86_AVX2": "required"})
	for range 3 {
		host, fault := h.boot(needs)
		require.Equal(t, "host-3", host, fault)
	}
	shuns := h.flavor(map[string]string{"trait:CUSTOM_GOLD": "forbidden"})
	for range 3 {
		host, fault := h.boot(shuns)
		require.Contains(t, []string{"host-1", "host-2"}, host, fault)
	}
	_, fault := h.boot(h.flavor(map[string]string{"trait:HW_CPU_X86_SGX": "required"}))
	require.Equal(t, "No valid host was found. There are not enough hosts available. No valid host: 3 hosts, 3 lack a required trait.", fault)

	// What operators say of a host stays, whatever else changes about it.
	now := traits("host-1")
	_, err = resourceproviders.UpdateTraits(t.Context(), place, providers["host-1"], resourceproviders.UpdateTraitsOpts{
		ResourceProviderGeneration: now.ResourceProviderGeneration, Traits: append(now.Traits, "HW_CPU_X86_SGX"),
	}).Extract()
	require.NoError(t, err)
	host, fault := h.boot(h.flavor(map[string]string{"trait:HW_CPU_X86_SGX": "required"}))
	require.Equal(t, "host-1", host, fault)
	now = traits("host-1")
	_, err = resourceproviders.UpdateTraits(t.Context(), place, providers["host-1"], resourceproviders.UpdateTraitsOpts{
		ResourceProviderGeneration: now.ResourceProviderGeneration, Traits: []string{"HW_CPU_X86_SGX"},
	}).Extract()
	require.NoError(t, err)
	require.Equal(t, []string{"HW_CPU_X86_SGX"}, traits("host-1").Traits)
	h.cloud.Advance(time.Minute)
	require.ElementsMatch(t, now.Traits, traits("host-1").Traits, "what is the driver's comes back")
	off := true
	_, err = h.cloud.Compute.UpdateServiceOn(h.cloud.AsAdmin(), "host-1", compute.ComputeBinary, compute.ServiceUpdate{Disabled: &off})
	require.NoError(t, err)
	require.Subset(t, traits("host-1").Traits, []string{"HW_CPU_X86_SGX", "COMPUTE_STATUS_DISABLED"})

	// An image may say it, too.
	_, err = images.Update(t.Context(), h.member.Image, h.p.ImageID, images.UpdateOpts{
		images.UpdateImageProperty{Op: images.AddOp, Name: "trait:CUSTOM_GOLD", Value: "required"},
	}).Extract()
	require.NoError(t, err)
	host, fault = h.boot(h.flavor(nil))
	require.Equal(t, "host-3", host, fault)
}

func TestTheNUMATopologyFilterKnowsHardware(t *testing.T) {
	h := newHardware(t, scheduler.Config{Filters: []scheduler.Filter{scheduler.NUMATopologyFilter{}}})
	h.run(t, "flavors", flavorsAskForNUMACells)
	h.run(t, "an image", imageAsksForNUMACells)
}

func flavorsAskForNUMACells(t *testing.T, h *hardware) {
	used := func(class string) int64 {
		hosts, err := h.cloud.Claims.Hosts(t.Context())
		require.NoError(t, err)
		return hosts[1].Used[class]
	}
	two := h.flavor(map[string]string{"hw:numa_nodes": "2"}) // 1 GiB of each cell
	for range 6 {
		host, fault := h.boot(two)
		require.Equal(t, "host-2", host, fault)
	}
	require.Equal(t, int64(6*1024), used("CUSTOM_NUMA1_MEMORY_MB"), "overcommitted half as much again")
	_, fault := h.boot(two)
	require.Equal(t, "No valid host was found. There are not enough hosts available. "+
		"No valid host: 3 hosts, 2 without NUMA cells, 1 lack memory in a NUMA cell (nearest short of 1024 MiB).", fault)
	_, fault = h.boot(h.flavor(map[string]string{"hw:numa_nodes": "1", "hw:numa_cpus.0": "0-1", "hw:numa_mem.0": "2048", "hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "require"}))
	require.Contains(t, fault, "1 without CPU threads")

	host, fault := h.boot(h.flavor(map[string]string{"hw:mem_page_size": "2MB"}))
	require.Equal(t, "host-2", host, fault)
	require.Equal(t, int64(1024), used("CUSTOM_NUMA0_PAGES_2048"))

	own := map[string]string{"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1", "hw:mem_page_size": "2048"}
	_, fault = h.boot(h.flavor(own))
	require.Contains(t, fault, "2 lack PCPU (nearest short of 1 PCPU), 1 lack pages of the size asked for")

	_, err := servers.Create(t.Context(), h.member.Compute, servers.CreateOpts{
		Name: "s", ImageRef: h.p.ImageID, FlavorRef: h.flavor(map[string]string{"hw:numa_nodes": "3"}), Networks: []servers.Network{{UUID: h.p.NetworkID}},
	}, nil).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusBadRequest), err)
}

func imageAsksForNUMACells(t *testing.T, h *hardware) {
	_, err := images.Update(t.Context(), h.member.Image, h.p.ImageID, images.UpdateOpts{
		images.UpdateImageProperty{Op: images.AddOp, Name: "hw_numa_nodes", Value: "2"},
	}).Extract()
	require.NoError(t, err)
	host, fault := h.boot(h.flavor(nil))
	require.Equal(t, "host-2", host, fault)
}

func processorsOfOnesOwn(t *testing.T, h *hardware) {
	admin := h.admin.Compute
	f, err := flavors.Create(t.Context(), admin, flavors.CreateOpts{Name: "own", RAM: 512, VCPUs: 2, Disk: gophercloud.IntToPointer(1)}).Extract()
	require.NoError(t, err)
	_, err = flavors.CreateExtraSpecs(t.Context(), admin, f.ID, flavors.ExtraSpecsOpts{"hw:cpu_policy": "dedicated"}).Extract()
	require.NoError(t, err)
	host, fault := h.boot(f.ID)
	require.Equal(t, "host-2", host, fault)
	_, fault = h.boot(f.ID)
	require.Contains(t, fault, "lack PCPU")
}

func TestConfiguredFiltersAndWeighersKnowHardware(t *testing.T) {
	gpu := scheduler.PCIAlias{Name: "gpu", Specs: []scheduler.PCISpec{{VendorID: "10de", ProductID: "1eb8"}}}
	idle := scheduler.MetricsWeigher{Ratios: map[string]float64{"cpu.percent": -1}}
	h := newHardware(t, scheduler.Config{
		Filters:  []scheduler.Filter{scheduler.PciPassthroughFilter{Aliases: []scheduler.PCIAlias{gpu}}},
		Weighers: []scheduler.WeigherConfig{{Weigher: idle, Multiplier: 1}},
	})
	h.run(t, "devices", devicesDecide)
	h.run(t, "metrics", metricsDecide)
}

func devicesDecide(t *testing.T, h *hardware) {
	one := h.flavor(map[string]string{"pci_passthrough:alias": "gpu:1", "hw:pci_numa_affinity_policy": "preferred"})
	for range 2 {
		host, fault := h.boot(one)
		require.Equal(t, "host-3", host, fault)
	}
	_, fault := h.boot(one)
	require.Equal(t, "No valid host was found. There are not enough hosts available. No valid host: 3 hosts, 3 lack PCI devices.", fault)
}

func metricsDecide(t *testing.T, h *hardware) {
	for range 3 {
		host, fault := h.boot(h.flavor(nil))
		require.Equal(t, "host-3", host, fault)
	}
}

func processorsAbilitiesDecide(t *testing.T, h *hardware) {
	host, fault := h.boot(h.flavor(map[string]string{"capabilities:cpu_info:features": "<in> avx2"}))
	require.Equal(t, "host-3", host, fault)
}
