package nova

import (
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

func (a *api) usageRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET " + root + "/os-simple-tenant-usage", Rules: rules("os-simple-tenant-usage:list"), Handler: a.listUsage},
		{Pattern: "GET " + root + "/os-simple-tenant-usage/{id}", Rules: rules("os-simple-tenant-usage:show"), Handler: a.showUsage},
	}
}

type tenantUsage struct {
	TenantID string         `json:"tenant_id"`
	Start    string         `json:"start"`
	Stop     string         `json:"stop"`
	Hours    float64        `json:"total_hours"`
	VCPUs    float64        `json:"total_vcpus_usage"`
	MemoryMB float64        `json:"total_memory_mb_usage"`
	LocalGB  float64        `json:"total_local_gb_usage"`
	Servers  *[]serverUsage `json:"server_usages,omitempty"`
}

type serverUsage struct {
	ID        string            `json:"instance_id"`
	Name      string            `json:"name"`
	TenantID  string            `json:"tenant_id"`
	Flavor    string            `json:"flavor"`
	Hours     float64           `json:"hours"`
	VCPUs     int               `json:"vcpus"`
	MemoryMB  int               `json:"memory_mb"`
	LocalGB   int               `json:"local_gb"`
	StartedAt string            `json:"started_at"`
	EndedAt   *nullable[string] `json:"ended_at"`
	State     string            `json:"state"`
	Uptime    int64             `json:"uptime"`
}

// usageMoment reads a time as the API writes it; the present when there is none.
func usageMoment(r *httpapi.Request, name string, now time.Time) (time.Time, error) {
	s, _ := r.Param(name)
	if s == "" {
		return now, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return now, invalid("Invalid datetime string: Datetime is in invalid format").WithField(name)
}

// usagePeriod reads the period and the page.
func (a *api) usagePeriod(r *httpapi.Request, known ...string) (f compute.UsageFilter, p nephos.Page, err error) {
	if err = onlyParams(r, 75, append(known, "start", "end", "limit", "marker")...); err != nil {
		return f, p, err
	}
	now := a.now()
	if f.Start, err = usageMoment(r, "start", now); err != nil {
		return f, p, err
	}
	if f.Stop, err = usageMoment(r, "end", now.Add(time.Microsecond)); err != nil {
		return f, p, err
	}
	if !f.Start.Before(f.Stop) {
		return f, p, invalid("Invalid start time. The start time cannot occur after the end time.").WithField("start")
	}
	if f.Stop.After(now) {
		f.Stop = now
	}
	p.Limit = 1000
	if atLeast(r, 40) {
		p, err = r.Page(httpapi.PageOptions{Style: httpapi.Nova})
	}
	return f, p, err
}

// now is the time of the API's clock.
func (a *api) now() time.Time {
	if a.HTTP.Clock != nil {
		return a.HTTP.Clock.Now()
	}
	return nephos.WallClock{}.Now()
}

// usages adds servers' use up by project.
func usages(servers []compute.ServerUsage, f compute.UsageFilter, detailed bool) []*tenantUsage {
	list := []*tenantUsage{}
	by := map[string]*tenantUsage{}
	for _, s := range servers {
		t := by[s.ProjectID]
		if t == nil {
			t = &tenantUsage{TenantID: s.ProjectID, Start: dateTime(f.Start), Stop: dateTime(f.Stop)}
			if detailed {
				t.Servers = &[]serverUsage{}
			}
			by[s.ProjectID] = t
			list = append(list, t)
		}
		t.Hours += s.Hours
		t.VCPUs += float64(s.VCPUs) * s.Hours
		t.MemoryMB += float64(s.MemoryMiB) * s.Hours
		t.LocalGB += float64(s.DiskGiB) * s.Hours
		if detailed {
			*t.Servers = append(*t.Servers, serverUsage{
				ID: s.ServerID, Name: s.Name, TenantID: s.ProjectID, Flavor: s.Flavor, Hours: s.Hours, VCPUs: s.VCPUs, MemoryMB: s.MemoryMiB,
				LocalGB: s.DiskGiB, StartedAt: dateTime(s.StartedAt), EndedAt: usageTime(s.EndedAt), State: s.State,
				Uptime: int64(s.Uptime / time.Second),
			})
		}
	}
	return list
}

// usageList asks for the page, and makes the links to the next.
func (a *api) usageList(r *httpapi.Request, f compute.UsageFilter, p nephos.Page) ([]compute.ServerUsage, []httpapi.Link, error) {
	if p.Limit == 0 {
		return nil, nil, nil
	}
	servers, _, err := a.Catalog.ListUsage(r.Context(), f, p)
	if n := len(servers); err == nil && n > 0 && atLeast(r, 40) {
		return servers, httpapi.PageLinks(r, httpapi.Nova, p, n, servers[0].ServerID, servers[n-1].ServerID), nil
	}
	return servers, nil, err
}

func (a *api) listUsage(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Policy.Enforce(r.Context(), "os_compute_api:os-simple-tenant-usage:list", nil); err != nil {
		return nil, err
	}
	f, p, err := a.usagePeriod(r, "detailed")
	if err != nil {
		return nil, err
	}
	servers, links, err := a.usageList(r, f, p)
	if err != nil {
		return nil, err
	}
	detailed, _ := r.Param("detailed")
	body := map[string]any{"tenant_usages": usages(servers, f, detailed == "1")}
	if links != nil {
		body["tenant_usages_links"] = links
	}
	return httpapi.OK(body), nil
}

func (a *api) showUsage(r *httpapi.Request) (*httpapi.Response, error) {
	f, p, err := a.usagePeriod(r)
	if err != nil {
		return nil, err
	}
	f.ProjectID = r.PathValue("id")
	servers, links, err := a.usageList(r, f, p)
	if err != nil {
		return nil, err
	}
	body := map[string]any{"tenant_usage": struct{}{}}
	if list := usages(servers, f, true); len(list) > 0 {
		body["tenant_usage"] = list[0]
	}
	if links != nil {
		body["tenant_usage_links"] = links
	}
	return httpapi.OK(body), nil
}
