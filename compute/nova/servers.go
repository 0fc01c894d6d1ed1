package nova

import (
	"net/http"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

func (a *api) serverRoutes() []httpapi.Route {
	return []httpapi.Route{
		{
			Pattern: "POST " + root + "/servers", Rules: rules("servers:create", "servers:create:forced_host", "servers:create:attach_volume",
				"servers:create:attach_network", "servers:create:zero_disk_flavor", "servers:create:trusted_certs"), Handler: a.createServer,
		},
		// A hint in the body came with a path of its own in the first version.
		{Pattern: "POST " + root + "/os-volumes_boot", Max: "2.35", Rules: rules("servers:create"), Handler: a.createServer},
		{Pattern: "GET " + root + "/servers", Rules: rules("servers:index", "servers:index:get_all_tenants"), Handler: a.listServers},
		{Pattern: "GET " + root + "/servers/detail", Rules: rules("servers:detail", "servers:detail:get_all_tenants"), Handler: a.detailServers},
		{Pattern: "GET " + root + "/servers/{id}", Rules: rules("servers:show"), Wait: waitForServer, Handler: a.showServer},
		{Pattern: "PUT " + root + "/servers/{id}", Rules: rules("servers:update"), Handler: a.updateServer},
		{Pattern: "DELETE " + root + "/servers/{id}", Rules: rules("servers:delete"), Handler: a.deleteServer},
	}
}

type serverBrief struct {
	ID    string         `json:"id"`
	Name  string         `json:"name"`
	Links []httpapi.Link `json:"links"`
}

type serverList struct {
	Servers any            `json:"servers"`
	Links   []httpapi.Link `json:"servers_links,omitempty"`
}

func (a *api) listServers(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := a.serverPage(r)
	if err != nil {
		return nil, err
	}
	f, any, err := a.serverFilter(r)
	if err != nil {
		return nil, err
	}
	out := serverList{Servers: []serverBrief{}}
	if !any || r.NoItems() {
		return httpapi.OK(out), nil
	}
	servers, _, err := a.Servers.ListServers(r.Context(), f, p)
	if err != nil {
		return nil, err
	}
	briefs := make([]serverBrief, len(servers))
	for i := range servers {
		briefs[i] = serverBrief{servers[i].ID, servers[i].Name, serverLinks(r, servers[i].ID)}
	}
	out.Servers = briefs
	if n := len(servers); n > 0 {
		out.Links = httpapi.PageLinks(r, httpapi.Nova, p, n, servers[0].ID, servers[n-1].ID)
	}
	return httpapi.OK(out), nil
}

func (a *api) detailServers(r *httpapi.Request) (*httpapi.Response, error) {
	p, err := a.serverPage(r)
	if err != nil {
		return nil, err
	}
	f, some, err := a.serverFilter(r)
	if err != nil {
		return nil, err
	}
	see := a.sight(r.Context(), r.Caller().ProjectID)
	f.Disks, f.HostStatus, f.UserData = true, see.hostStatus && atLeast(r, 16), see.extended && atLeast(r, 3)
	if !some || r.NoItems() {
		return httpapi.OK(serverList{Servers: []*serverBody{}}), nil
	}
	servers, _, err := a.Servers.ListServers(r.Context(), f, p)
	if err != nil {
		return nil, err
	}
	var links []httpapi.Link
	if n := len(servers); n > 0 {
		links = httpapi.PageLinks(r, httpapi.Nova, p, n, servers[0].ID, servers[n-1].ID)
	}
	edits := serverEdits(r).Since(r.Version)
	return httpapi.Collection("servers", len(servers), func(i int) (any, error) {
		b, err := a.render(r, &servers[i], see, edits)
		if err != nil {
			return nil, err
		}
		b.ServerGroups = nil // only a single server shows its groups
		return b, nil
	}, links)
}

func (a *api) showServer(r *httpapi.Request) (*httpapi.Response, error) {
	s, err := a.Servers.Server(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return a.oneServer(r, &s)
}

func (a *api) oneServer(r *httpapi.Request, s *compute.Server) (*httpapi.Response, error) {
	b, err := a.render(r, s, a.sight(r.Context(), s.ProjectID), serverEdits(r).Since(r.Version))
	if err != nil {
		return nil, err
	}
	if r.Method == http.MethodPut {
		trim(r, b)
	}
	return httpapi.OK(map[string]*serverBody{"server": b}), nil
}

type serverChange struct {
	Name        *string  `json:"name"`
	DiskConfig  *string  `json:"OS-DCF:diskConfig"`
	AccessIPv4  *string  `json:"accessIPv4"`
	AccessIPv6  *string  `json:"accessIPv6"`
	Description **string `json:"description"`
	Hostname    *string  `json:"hostname"`
}

func (a *api) updateServer(r *httpapi.Request) (*httpapi.Response, error) {
	if err := obey(r, serverChangeSchema(r)); err != nil {
		return nil, err
	}
	in, body, err := member[serverChange](r, "server")
	if err != nil {
		return nil, err
	}
	raw := body["server"]
	u := compute.ServerUpdate{Name: in.Name, DiskConfig: in.DiskConfig, AccessIPv4: in.AccessIPv4, AccessIPv6: in.AccessIPv6, Hostname: in.Hostname}
	if has(raw, "description") {
		var d *string
		if in.Description != nil {
			d = *in.Description
		}
		u.Description = &d
	}
	s, err := a.Servers.UpdateServer(r.Context(), r.PathValue("id"), u)
	if err != nil {
		return nil, err
	}
	return a.oneServer(r, &s)
}

func (a *api) deleteServer(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.Servers.DeleteServer(r.Context(), r.PathValue("id"), false)
}
