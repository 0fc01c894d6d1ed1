package nova

import (
	"github.com/nephos-cloud/nephos/httpapi"
)

func (a *api) zoneRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET " + root + "/os-availability-zone", Rules: rules("os-availability-zone:list"), Handler: a.listZones(false)},
		{Pattern: "GET " + root + "/os-availability-zone/detail", Rules: rules("os-availability-zone:detail"), Handler: a.listZones(true)},
	}
}

type zoneBody struct {
	Name  string    `json:"zoneName"`
	State zoneState `json:"zoneState"`
	// Hosts is null in the short list; in the other, services by host.
	Hosts map[string]map[string]zoneService `json:"hosts"`
}

type zoneState struct {
	Available bool `json:"available"`
}

type zoneService struct {
	Available bool   `json:"available"`
	Active    bool   `json:"active"`
	UpdatedAt string `json:"updated_at"`
}

func (a *api) listZones(detailed bool) httpapi.Handler {
	return func(r *httpapi.Request) (*httpapi.Response, error) {
		zones, err := a.Catalog.ListZones(r.Context(), detailed)
		if err != nil {
			return nil, err
		}
		list := make([]zoneBody, len(zones))
		for i, z := range zones {
			list[i] = zoneBody{Name: z.Name, State: zoneState{z.Available}}
			if !detailed || !z.Available {
				continue
			}
			list[i].Hosts = map[string]map[string]zoneService{}
			for _, s := range z.Services {
				if list[i].Hosts[s.Host] == nil {
					list[i].Hosts[s.Host] = map[string]zoneService{}
				}
				list[i].Hosts[s.Host][s.Binary] = zoneService{s.Up, !s.Disabled, dateTime(s.SeenAt)}
			}
		}
		return httpapi.OK(map[string]any{"availabilityZoneInfo": list}), nil
	}
}
