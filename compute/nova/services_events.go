package nova

import (
	"net/http"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) externalEventRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST " + root + "/os-server-external-events", Rules: rules("os-server-external-events:create"), Handler: a.externalEvents},
		{Pattern: "GET " + root + "/os-migrations", Rules: rules("os-migrations:index"), Handler: a.listMigrations},
	}
}

func externalEventSchema(r *httpapi.Request) *schema.Schema {
	names := []string{"network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted"}
	for _, later := range []struct {
		minor int
		name  string
	}{{51, "volume-extended"}, {76, "power-update"}, {82, "accelerator-request-bound"}, {93, "volume-reimaged"}} {
		if atLeast(r, later.minor) {
			names = append(names, later.name)
		}
	}
	event := schema.Schema{Types: []string{"object"}, Required: []string{"server_uuid", "name"}, Props: []schema.Prop{
		prop("server_uuid", schema.Schema{Types: []string{"string"}, Format: isUUID}),
		prop("name", oneOfNames(names...)),
		prop("status", oneOfNames("failed", "completed", "in-progress")),
		prop("tag", text(0, 255)),
	}}
	return only("events", schema.Schema{Types: []string{"array"}, Items: &event, MinItems: 1})
}

type externalEventBody struct {
	ServerID string  `json:"server_uuid"`
	Name     string  `json:"name"`
	Status   string  `json:"status"`
	Tag      *string `json:"tag,omitempty"`
	Code     int     `json:"code"`
}

func (a *api) externalEvents(r *httpapi.Request) (*httpapi.Response, error) {
	body, err := parse(r, externalEventSchema(r))
	if err != nil {
		return nil, err
	}
	list, _ := body.of("events").([]any)
	events := make([]compute.ExternalEvent, len(list))
	for i, v := range list {
		one, _ := v.(schema.Object)
		o := object{one}
		events[i] = compute.ExternalEvent{ServerID: o.str("server_uuid"), Name: o.str("name"), Status: o.str("status"), Tag: o.ptr("tag")}
		if events[i].Status == "" {
			events[i].Status = "completed"
		}
	}
	codes, err := a.Catalog.ExternalEvents(r.Context(), events)
	if err != nil {
		return nil, err
	}
	status, out := http.StatusOK, make([]externalEventBody, len(events))
	for i, e := range events {
		out[i] = externalEventBody{e.ServerID, e.Name, "completed", e.Tag, codes[i]}
		if codes[i] != http.StatusOK {
			status, out[i].Status = http.StatusMultiStatus, "failed"
		}
	}
	return httpapi.Status(status, map[string]any{"events": out}), nil
}

func (a *api) listMigrations(r *httpapi.Request) (*httpapi.Response, error) {
	if err := onlyParams(r, 59, "hidden", "host", "instance_uuid", "source_compute", "status", "migration_type", "limit", "marker",
		"changes-since", "changes-before", "user_id", "project_id"); err != nil {
		return nil, err
	}
	_, err := a.Catalog.ListMigrations(r.Context())
	return httpapi.OK(map[string]any{"migrations": []any{}}), err
}
