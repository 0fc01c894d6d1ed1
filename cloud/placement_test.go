package cloud_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/compute/v2/servers"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/cloud"
	"github.com/nephos-cloud/nephos/cloud/cloudtest"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/scheduler"
)

// pieces is a plain host, and one that has pieces of itself to give: two cells of
// four dedicated processors, two to a core, huge pages, and two GPUs.
func pieces(name string, h *hypervisor.Host) {
	if name != "host-2" {
		return
	}
	h.Traits = []string{"HW_CPU_HYPERTHREADING"}
	for c := range 2 {
		cell := driver.NUMACell{ID: c, CPUs: []int{10 * c}, MemoryMiB: 32 << 10, Pages: map[int64]int64{2048: 2048}, Cores: map[int]int{}}
		for i := range 4 {
			cpu := 10*c + 1 + i
			cell.Dedicated = append(cell.Dedicated, cpu)
			cell.Cores[cpu] = 10*c + i%2
		}
		h.NUMA = append(h.NUMA, cell)
	}
	far := 1
	for i := range 2 {
		h.PCI = append(h.PCI, driver.PCIDevice{Address: fmt.Sprintf("0000:8%d:00.0", i), VendorID: "10de", ProductID: "1eb8", NUMANode: &far})
	}
	h.VCPUs = 10
}

func newPieces(t *testing.T) *hardware {
	gpu := scheduler.PCIAlias{Name: "gpu", Specs: []scheduler.PCISpec{{VendorID: "10de"}}}
	c := cloudtest.New(t, cloudtest.Options{Describe: pieces, Hosts: 2, Compose: func(cfg *cloud.Config) {
		s, err := scheduler.New(scheduler.Config{Filters: append([]scheduler.Filter{scheduler.PciPassthroughFilter{Aliases: []scheduler.PCIAlias{gpu}}},
			slices.DeleteFunc(scheduler.DefaultFilters(), func(f scheduler.Filter) bool { return f.Name() == "PciPassthroughFilter" })...)})
		require.NoError(t, err)
		cfg.Scheduler = s
	}})
	return &hardware{t: t, cloud: c, p: c.Project(), admin: c.Clients()}
}

// spec is what the server's host was told of the guest.
func (h *hardware) spec(id string) hypervisor.Spec {
	h.t.Helper()
	host := h.cloud.HostOf(id)
	require.NotNil(h.t, host)
	spec, ok := host.Hypervisor.Spec(id)
	require.True(h.t, ok)
	return spec
}

func (h *hardware) last() string { return h.servers[len(h.servers)-1] }

// topology is what the Compute API tells of a server's cells.
type topology struct {
	Nodes []topologyNode `json:"nodes"`
	Page  int            `json:"pagesize_kb"`
}

type topologyNode struct {
	VCPUs    []int          `json:"vcpu_set"`
	Siblings [][]int        `json:"siblings"`
	Memory   int            `json:"memory_mb"`
	Host     *int           `json:"host_node"`
	Pins     map[string]int `json:"cpu_pinning"`
}

func (h *hardware) topology(c *gophercloud.ServiceClient, id string) (out topology) {
	h.t.Helper()
	newer := *c
	newer.Microversion = "2.78"
	_, err := newer.Get(h.t.Context(), newer.ServiceURL("servers", id, "topology"), &out, nil)
	require.NoError(h.t, err)
	return out
}

// A server gets what its flavor says of its host: these and no others, also after
// a restart, and another server gets them when it has gone.
func TestAServerHasItsPiecesOfTheHost(t *testing.T) {
	h := newPieces(t)
	h.member = h.p.Member()
	flavor := h.flavor(map[string]string{
		"hw:cpu_policy": "dedicated", "hw:cpu_thread_policy": "require", "hw:mem_page_size": "2MB", "pci_passthrough:alias": "gpu:1",
	})
	host, fault := h.boot(flavor)
	require.Equal(t, "host-2", host, fault)
	one := h.last()
	spec := h.spec(one)
	require.Equal(t, []hypervisor.Cell{{Host: 1, MemoryMiB: 2048, PageKiB: 2048, Pins: []hypervisor.Pin{{VCPU: 0, CPUs: []int{11}}, {VCPU: 1, CPUs: []int{13}}}}}, spec.NUMA)
	require.Equal(t, []string{"0000:80:00.0"}, spec.PCI)
	require.Equal(t, hypervisor.Topology{Sockets: 1, Cores: 1, Threads: 2}, spec.Topology)

	_, fault = h.boot(flavor)
	require.Empty(t, fault)
	two := h.spec(h.last())
	require.Equal(t, []hypervisor.Pin{{VCPU: 0, CPUs: []int{12}}, {VCPU: 1, CPUs: []int{14}}}, two.NUMA[0].Pins)
	require.Equal(t, []string{"0000:81:00.0"}, two.PCI)
	_, fault = h.boot(flavor)
	require.Contains(t, fault, "lack PCI devices")

	cell := 1
	require.Equal(t, topology{Nodes: []topologyNode{{
		VCPUs: []int{0, 1}, Siblings: [][]int{{0, 1}}, Memory: 2048, Host: &cell, Pins: map[string]int{"0": 11, "1": 13},
	}}, Page: 2048}, h.topology(h.admin.Compute, one))
	require.Equal(t, topology{Nodes: []topologyNode{{VCPUs: []int{0, 1}, Siblings: [][]int{{0, 1}}, Memory: 2048}}, Page: 2048}, h.topology(h.member.Compute, one),
		"where that is on the host is for operators")

	h.cloud.Restart()
	require.NoError(t, servers.Reboot(t.Context(), h.member.Compute, one, servers.RebootOpts{Type: servers.HardReboot}).ExtractErr())
	h.cloud.Settle()
	again := h.spec(one)
	require.Equal(t, spec.NUMA, again.NUMA)
	require.Equal(t, spec.PCI, again.PCI)

	require.NoError(t, servers.Delete(t.Context(), h.member.Compute, one).ExtractErr())
	h.cloud.Settle()
	_, fault = h.boot(flavor)
	require.Empty(t, fault)
	require.Equal(t, spec.NUMA, h.spec(h.last()).NUMA)
	require.Equal(t, spec.PCI, h.spec(h.last()).PCI)
}

// Servers of one request have each its own; a guest's cells are the host's, and the
// emulator has what its policy says.
func TestServersOfOneRequestShareNoPiece(t *testing.T) {
	h := newPieces(t)
	h.member = h.p.Member()
	flavor := h.flavor(map[string]string{"hw:cpu_policy": "dedicated", "hw:numa_nodes": "2", "hw:emulator_threads_policy": "share"})
	_, err := servers.Create(t.Context(), h.member.Compute, servers.CreateOpts{
		Name: "many", ImageRef: h.p.ImageID, FlavorRef: flavor, Networks: []servers.Network{{UUID: h.p.NetworkID}}, Min: 4, Max: 4,
	}, nil).Extract()
	require.NoError(t, err)
	h.cloud.Settle()
	pages, err := servers.List(h.member.Compute, nil).AllPages(t.Context())
	require.NoError(t, err)
	all, err := servers.ExtractServers(pages)
	require.NoError(t, err)
	require.Len(t, all, 4)
	owner := map[int]string{}
	for _, s := range all {
		require.Equal(t, "ACTIVE", s.Status, s.Fault.Message)
		spec := h.spec(s.ID)
		require.Len(t, spec.NUMA, 2)
		require.Equal(t, []int{0, 10}, spec.EmulatorCPUs)
		for _, c := range spec.NUMA {
			require.Equal(t, 1024, c.MemoryMiB)
			require.Len(t, c.Pins, 1)
			require.Len(t, c.Pins[0].CPUs, 1)
			cpu := c.Pins[0].CPUs[0]
			require.Equal(t, c.Host, cpu/10, "a processor of the cell")
			require.Empty(t, owner[cpu])
			owner[cpu] = s.ID
		}
	}
	require.Len(t, owner, 8)
}

// What cannot be kept is not given: not on a host without pieces, not by an
// operator's word, and not what no driver can do.
func TestWhatCannotBeKeptIsNotPromised(t *testing.T) {
	h := newPieces(t)
	h.member = h.p.Member()
	_, fault := h.boot(h.flavor(map[string]string{"hw:cpu_realtime": "yes", "hw:cpu_policy": "dedicated", "hw:cpu_realtime_mask": "^0"}))
	require.Contains(t, fault, "do not offer hw:cpu_realtime")
	force := func(flavor string) string {
		s, err := servers.Create(t.Context(), h.admin.Compute, servers.CreateOpts{
			Name: "forced", ImageRef: h.p.ImageID, FlavorRef: flavor, AvailabilityZone: "nova:host-1",
		}, nil).Extract()
		require.NoError(t, err)
		h.cloud.Settle()
		got, err := h.cloud.Compute.Server(h.cloud.AsAdmin(), s.ID)
		require.NoError(t, err)
		require.NotNil(t, got.Fault)
		return got.Fault.Message
	}
	require.Contains(t, force(h.flavor(map[string]string{"hw:numa_nodes": "1"})), "without NUMA cells")
	require.Contains(t, force(h.flavor(map[string]string{"pci_passthrough:alias": "gpu:1"})), "lack PCI devices")
	host, fault := h.boot(h.flavor(map[string]string{"hw:cpu_cores": "2"}))
	require.NotEmpty(t, host, fault)
	require.Equal(t, topology{Nodes: []topologyNode{}}, h.topology(h.member.Compute, h.last()))
	require.Equal(t, hypervisor.Topology{Sockets: 1, Cores: 2, Threads: 1}, h.spec(h.last()).Topology)
	_, err := servers.Create(t.Context(), h.member.Compute, servers.CreateOpts{
		Name: "s", ImageRef: h.p.ImageID, FlavorRef: h.flavor(map[string]string{"hw:cpu_max_sockets": "1", "hw:cpu_max_cores": "1", "hw:cpu_max_threads": "1"}), Networks: []servers.Network{{UUID: h.p.NetworkID}},
	}, nil).Extract()
	require.True(t, gophercloud.ResponseCodeIs(err, http.StatusBadRequest), err)
}
