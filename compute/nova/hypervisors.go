package nova

import (
	"encoding/json"
	"regexp"
	"strconv"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) hypervisorRoutes() []httpapi.Route {
	const all, one = root + "/os-hypervisors", root + "/os-hypervisors/{id}"
	return []httpapi.Route{
		{Pattern: "GET " + all, Rules: rules("os-hypervisors:list"), Handler: a.listHypervisors(false)},
		{Pattern: "GET " + all + "/detail", Rules: rules("os-hypervisors:list-detail"), Handler: a.listHypervisors(true)},
		{Pattern: "GET " + all + "/statistics", Rules: rules("os-hypervisors:statistics"), Max: "2.87", Handler: a.hypervisorStatistics},
		{Pattern: "GET " + one, Rules: rules("os-hypervisors:show"), Handler: a.showHypervisor},
		{Pattern: "GET " + one + "/uptime", Rules: rules("os-hypervisors:uptime"), Max: "2.87", Handler: a.hypervisorUptime},
		{Pattern: "GET " + one + "/search", Rules: rules("os-hypervisors:search"), Max: "2.52", Handler: a.searchHypervisors(false)},
		{Pattern: "GET " + one + "/servers", Rules: rules("os-hypervisors:servers"), Max: "2.52", Handler: a.searchHypervisors(true)},
	}
}

type hypervisorBody struct {
	ID       any                 `json:"id"`
	Hostname string              `json:"hypervisor_hostname"`
	State    string              `json:"state"`
	Status   string              `json:"status"`
	Servers  *[]hypervisorServer `json:"servers,omitempty"`
	*hypervisorDetail
	*hypervisorResources
}

type hypervisorServer struct {
	Name string `json:"name"`
	UUID string `json:"uuid"`
}

type hypervisorDetail struct {
	Type    string            `json:"hypervisor_type"`
	Version int               `json:"hypervisor_version"`
	HostIP  string            `json:"host_ip"`
	Service hypervisorService `json:"service"`
	Uptime  *nullable[string] `json:"uptime,omitempty"` // since 2.88
}

type hypervisorService struct {
	ID             any               `json:"id"`
	Host           string            `json:"host"`
	DisabledReason *nullable[string] `json:"disabled_reason"`
}

// hypervisorResources went with 2.88.
type hypervisorResources struct {
	VCPUs         int `json:"vcpus"`
	MemoryMB      int `json:"memory_mb"`
	LocalGB       int `json:"local_gb"`
	VCPUsUsed     int `json:"vcpus_used"`
	MemoryMBUsed  int `json:"memory_mb_used"`
	LocalGBUsed   int `json:"local_gb_used"`
	FreeRAM       int `json:"free_ram_mb"`
	FreeDisk      int `json:"free_disk_gb"`
	Workload      int `json:"current_workload"`
	RunningVMs    int `json:"running_vms"`
	DiskAvailable int `json:"disk_available_least"`
	CPUInfo       any `json:"cpu_info"`
}

type cpuInfo struct {
	Arch     string      `json:"arch"`
	Model    string      `json:"model"`
	Vendor   string      `json:"vendor"`
	Topology cpuTopology `json:"topology"`
	Features []string    `json:"features"`
}

type cpuTopology struct {
	Cells   int `json:"cells"`
	Sockets int `json:"sockets"`
	Cores   int `json:"cores"`
	Threads int `json:"threads"`
}

// hostState is a host's state in words.
func hostState(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func enabledWord(disabled bool) string {
	if disabled {
		return "disabled"
	}
	return "enabled"
}

func hypervisorView(r *httpapi.Request, h compute.Hypervisor, detail, servers bool) hypervisorBody {
	b := hypervisorBody{ID: h.ID, Hostname: h.Name, State: hostState(h.Up && !h.ForcedDown), Status: enabledWord(h.Disabled)}
	var service any = h.ServiceID
	if !atLeast(r, 53) {
		b.ID, service = h.Number, h.Number
	}
	if servers && (len(h.HostedServers) > 0 || atLeast(r, 75)) {
		list := make([]hypervisorServer, len(h.HostedServers))
		for i, s := range h.HostedServers {
			list[i] = hypervisorServer{s.Name, s.ID}
		}
		b.Servers = &list
	}
	if !detail {
		return b
	}
	beat := h.Beat
	b.hypervisorDetail = &hypervisorDetail{
		Type: beat.Type, Version: beat.Version, HostIP: beat.HostIP,
		Service: hypervisorService{service, h.Name, textOrNull(h.DisabledReason)},
	}
	if atLeast(r, 88) {
		b.Uptime = new(nullable[string]) // hosts do not tell
		return b
	}
	b.hypervisorResources = &hypervisorResources{
		VCPUs: beat.VCPUs, MemoryMB: beat.MemoryMiB, LocalGB: beat.DiskGiB, VCPUsUsed: h.VCPUsUsed, MemoryMBUsed: h.MemoryMiBUsed,
		LocalGBUsed: beat.DiskGiB - beat.FreeDiskGiB, FreeRAM: beat.MemoryMiB - h.MemoryMiBUsed, FreeDisk: beat.FreeDiskGiB,
		Workload: h.Workload, RunningVMs: h.ServerCount, DiskAvailable: beat.FreeDiskGiB,
		CPUInfo: cpuInfo{
			Arch: beat.Arch, Model: beat.CPUModel, Vendor: beat.CPUVendor, Features: append([]string{}, beat.CPUFeatures...),
			Topology: cpuTopology{Cells: max(len(beat.NUMA), 1), Sockets: 1, Cores: beat.VCPUs, Threads: 1},
		},
	}
	if !atLeast(r, 28) {
		text, _ := json.Marshal(b.CPUInfo) // plain data
		b.CPUInfo = string(text)
	}
	return b
}

// hypervisorID checks the id in the path: a UUID since 2.53, a number before.
func hypervisorID(r *httpapi.Request) (string, error) {
	id := r.PathValue("id")
	if atLeast(r, 53) {
		return id, uuidInPath(id)
	}
	if _, err := strconv.ParseInt(id, 10, 64); err != nil {
		return "", nephos.Errorf(nephos.ErrNotFound, "Hypervisor with ID '%s' could not be found.", clip(id))
	}
	return id, nil
}

func uuidInPath(id string) error {
	if !uuidForm.MatchString(id) {
		return invalid("Invalid uuid %s", clip(id)).WithField("id")
	}
	return nil
}

// withServers reads the parameter that asks for servers too, since 2.53.
func withServers(r *httpapi.Request) (bool, error) {
	s, ok := r.Param("with_servers")
	if !ok || !atLeast(r, 53) {
		return false, nil
	}
	q := map[string]any{}
	for _, k := range []string{"with_servers"} {
		list := []any{}
		for _, v := range r.Query()[k] {
			list = append(list, clip(v))
		}
		q[k] = list
	}
	value := boolean()
	params := &schema.Schema{Types: []string{"object"}, Props: []schema.Prop{prop("with_servers", schema.Schema{Types: []string{"array"}, Items: &value, MaxItems: 1})}}
	v, _ := httpapi.ParseBool(s)
	return v, checkQuery(params, q)
}

var hostPattern = regexp.MustCompile(`^[a-zA-Z0-9-._]*$`)

func (a *api) listHypervisors(detail bool) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		if err := onlyParams(r, 53, "limit", "marker", "hypervisor_hostname_pattern", "with_servers"); err != nil {
			return nil, err
		}
		f := compute.HypervisorFilter{Detail: detail}
		var p nephos.Page
		var err error
		if atLeast(r, 33) {
			if p, err = r.Page(httpapi.PageOptions{Style: httpapi.Nova}); err != nil {
				return nil, err
			}
		}
		if f.Servers, err = withServers(r); err != nil {
			return nil, err
		}
		name, named := r.Param("hypervisor_hostname_pattern")
		if named = named && atLeast(r, 53); named {
			if len(name) == 0 || len(name) > 255 || !hostPattern.MatchString(name) {
				q := clip(name)
				return nil, invalid("Invalid input for query parameters hypervisor_hostname_pattern. Value: %s. '%s' does not match '%s'", q, q, hostPattern).
					WithField("hypervisor_hostname_pattern")
			}
			if _, limited := r.Param("limit"); limited || p.Marker != "" {
				return nil, invalid("Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.")
			}
			f.Name = name
		}
		if atLeast(r, 33) && r.NoItems() {
			return httpapi.OK(map[string]any{"hypervisors": []any{}}), nil
		}
		hosts, _, err := a.Catalog.ListHypervisors(r.Context(), f, p)
		if err != nil {
			return nil, err
		}
		body := map[string]any{"hypervisors": hypervisorViews(r, hosts, detail, f.Servers)}
		if n := len(hosts); atLeast(r, 33) && !named && n > 0 {
			last := hosts[n-1].ID
			if !atLeast(r, 53) {
				last = strconv.FormatInt(hosts[n-1].Number, 10)
			}
			if links := httpapi.PageLinks(r, httpapi.Nova, p, n, last, last); links != nil {
				body["hypervisors_links"] = links
			}
		}
		return httpapi.OK(body), nil
	}
}

func hypervisorViews(r *httpapi.Request, hosts []compute.Hypervisor, detail, servers bool) []hypervisorBody {
	list := make([]hypervisorBody, len(hosts))
	for i, h := range hosts {
		list[i] = hypervisorView(r, h, detail, servers)
	}
	return list
}

func (a *api) searchHypervisors(servers bool) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		hosts, err := a.Catalog.SearchHypervisors(r.Context(), compute.HypervisorFilter{Name: r.PathValue("id"), Servers: servers})
		return httpapi.OK(map[string]any{"hypervisors": hypervisorViews(r, hosts, false, servers)}), err
	}
}

func (a *api) showHypervisor(r *httpapi.Request) (*httpapi.Response, error) {
	if err := onlyParams(r, 53, "with_servers"); err != nil {
		return nil, err
	}
	servers, err := withServers(r)
	if err != nil {
		return nil, err
	}
	if err := a.Policy.Enforce(r.Context(), "os_compute_api:os-hypervisors:show", nil); err != nil {
		return nil, err
	}
	id, err := hypervisorID(r)
	if err != nil {
		return nil, err
	}
	h, err := a.Catalog.Hypervisor(r.Context(), id, servers)
	return httpapi.OK(map[string]any{"hypervisor": hypervisorView(r, h, true, servers)}), err
}

func (a *api) hypervisorUptime(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Policy.Enforce(r.Context(), "os_compute_api:os-hypervisors:uptime", nil); err != nil {
		return nil, err
	}
	id, err := hypervisorID(r)
	if err != nil {
		return nil, err
	}
	h, err := a.Catalog.Hypervisor(r.Context(), id, false)
	if err != nil {
		return nil, err
	}
	uptime, err := a.Catalog.HypervisorUptime(r.Context(), id)
	return httpapi.OK(map[string]any{"hypervisor": struct {
		hypervisorBody
		Uptime string `json:"uptime"`
	}{hypervisorView(r, h, false, false), uptime}}), err
}

func (a *api) hypervisorStatistics(r *httpapi.Request) (*httpapi.Response, error) {
	s, err := a.Catalog.HypervisorStatistics(r.Context())
	return httpapi.OK(map[string]any{"hypervisor_statistics": map[string]int{
		"count": s.Count, "vcpus": s.VCPUs, "vcpus_used": s.VCPUsUsed, "memory_mb": s.MemoryMiB, "memory_mb_used": s.MemoryMiBUsed,
		"local_gb": s.DiskGiB, "local_gb_used": s.DiskGiB - s.FreeDiskGiB, "free_ram_mb": s.MemoryMiB - s.MemoryMiBUsed,
		"free_disk_gb": s.FreeDiskGiB, "disk_available_least": s.FreeDiskGiB, "running_vms": s.Servers, "current_workload": s.Workload,
	}}), err
}
