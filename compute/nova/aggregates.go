package nova

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) aggregateRoutes() []httpapi.Route {
	const one = root + "/os-aggregates/{id}"
	return []httpapi.Route{
		{Pattern: "GET " + root + "/os-aggregates", Rules: rules("os-aggregates:index"), Handler: a.listAggregates},
		{Pattern: "POST " + root + "/os-aggregates", Rules: rules("os-aggregates:create"), Handler: a.createAggregate},
		{Pattern: "GET " + one, Rules: rules("os-aggregates:show"), Handler: a.showAggregate},
		{Pattern: "PUT " + one, Rules: rules("os-aggregates:update"), Handler: a.updateAggregate},
		{Pattern: "DELETE " + one, Rules: rules("os-aggregates:delete"), Handler: a.deleteAggregate},
		{Pattern: "POST " + one + "/action", Rules: rules("os-aggregates:add_host", "os-aggregates:remove_host", "os-aggregates:set_metadata"), Handler: a.aggregateAction},
		{Pattern: "POST " + one + "/images", Min: "2.81", Rules: []string{"compute:aggregates:images"}, Handler: a.cacheImages},
	}
}

// cacheImages would have images fetched by the hosts of an aggregate before a
// server needs them, which is not built.
func (a *api) cacheImages(r *httpapi.Request) (*httpapi.Response, error) {
	image := strictObject([]string{"id"}, prop("id", uuidText()))
	if err := obey(r, only("cache", schema.Schema{Types: []string{"array"}, Items: &image, MinItems: 1})); err != nil {
		return nil, err
	}
	if err := a.Policy.Enforce(r.Context(), "compute:aggregates:images", nil); err != nil {
		return nil, err
	}
	return nil, unsupported("Fetching images to hosts before they are needed is not built here.")
}

type aggregateBody struct {
	ID        int64              `json:"id"`
	UUID      string             `json:"uuid,omitempty"`
	Name      string             `json:"name"`
	Zone      *nullable[string]  `json:"availability_zone"`
	Hosts     *[]string          `json:"hosts,omitempty"`
	Metadata  *map[string]string `json:"metadata,omitempty"`
	CreatedAt string             `json:"created_at"`
	UpdatedAt *nullable[string]  `json:"updated_at"`
	DeletedAt *nullable[string]  `json:"deleted_at"`
	Deleted   bool               `json:"deleted"`
}

var aggregateEdits = httpapi.Edits[aggregateBody]{
	{Version: httpapi.V(2, 41), Apply: func(b *aggregateBody) error { b.UUID = ""; return nil }},
}

func aggregateView(r *httpapi.Request, g compute.Aggregate) (*aggregateBody, error) {
	hosts := append([]string{}, g.Hosts...)
	b := &aggregateBody{
		ID: g.ID, UUID: g.UUID, Name: g.Name, Zone: textOrNull(g.Zone()), Hosts: &hosts, Metadata: &g.Metadata,
		CreatedAt: dateTime(g.CreatedAt), UpdatedAt: usageTime(g.UpdatedAt), DeletedAt: new(nullable[string]),
	}
	return b, aggregateEdits.Down(r.Version, b)
}

func aggregateAnswer(r *httpapi.Request, g compute.Aggregate, err error) (*httpapi.Response, error) {
	if err != nil {
		return nil, err
	}
	b, err := aggregateView(r, g)
	return httpapi.OK(map[string]any{"aggregate": b}), err
}

// aggregateID reads the id in the path.
func aggregateID(r *httpapi.Request) (int64, error) {
	s := r.PathValue("id")
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 0, invalid("Invalid input received: id must be an integer").WithField("id")
	}
	return n, nil
}

func (a *api) listAggregates(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.Catalog.ListAggregates(r.Context())
	if err != nil {
		return nil, err
	}
	list := make([]*aggregateBody, len(all))
	for i, g := range all {
		if list[i], err = aggregateView(r, g); err != nil {
			return nil, err
		}
	}
	return httpapi.OK(map[string]any{"aggregates": list}), nil
}

func (a *api) createAggregate(r *httpapi.Request) (*httpapi.Response, error) {
	body, err := parse(r, only("aggregate", schema.Schema{
		Types: []string{"object"}, Props: []schema.Prop{prop("name", name255()), prop("availability_zone", zoneName())}, Required: []string{"name"},
	}))
	if err != nil {
		return nil, err
	}
	o := body.at("aggregate")
	g, err := a.Catalog.CreateAggregate(r.Context(), o.str("name"), o.str("availability_zone"))
	if err != nil {
		return nil, err
	}
	b, err := aggregateView(r, g)
	b.Hosts, b.Metadata = nil, nil
	return httpapi.OK(map[string]any{"aggregate": b}), err
}

func (a *api) showAggregate(r *httpapi.Request) (*httpapi.Response, error) {
	id, err := aggregateID(r)
	if err != nil {
		return nil, err
	}
	g, err := a.Catalog.Aggregate(r.Context(), id)
	return aggregateAnswer(r, g, err)
}

func (a *api) updateAggregate(r *httpapi.Request) (*httpapi.Response, error) {
	name := name255()
	name.Format = isLooseName
	body, err := parse(r, only("aggregate", schema.Schema{
		Types: []string{"object"}, Props: []schema.Prop{prop("name", name), prop("availability_zone", zoneName())}, AnyOf: []string{"name", "availability_zone"},
	}))
	if err != nil {
		return nil, err
	}
	id, err := aggregateID(r)
	if err != nil {
		return nil, err
	}
	o := body.at("aggregate")
	newName, zone := o.ptr("name"), o.ptr("availability_zone")
	if newName != nil {
		*newName = strings.TrimSpace(*newName)
	}
	if o.has("availability_zone") && zone == nil {
		zone = new(string)
	}
	g, err := a.Catalog.UpdateAggregate(r.Context(), id, newName, zone)
	return aggregateAnswer(r, g, err)
}

func (a *api) deleteAggregate(r *httpapi.Request) (*httpapi.Response, error) {
	id, err := aggregateID(r)
	if err != nil {
		return nil, err
	}
	return emptyAnswer(http.StatusOK), a.Catalog.DeleteAggregate(r.Context(), id)
}

func (a *api) aggregateAction(r *httpapi.Request) (*httpapi.Response, error) {
	name, _, err := r.Action()
	if err != nil {
		return nil, err
	}
	member, value := "host", hostName()
	switch name {
	case "add_host", "remove_host":
	case "set_metadata":
		member, value = "metadata", metadata("string", "null")
	default:
		return nil, noSuchAction(name)
	}
	body, err := parse(r, only(name, schema.Schema{Types: []string{"object"}, Props: []schema.Prop{prop(member, value)}, Required: []string{member}}))
	if err != nil {
		return nil, err
	}
	id, err := aggregateID(r)
	if err != nil {
		return nil, err
	}
	o := body.at(name)
	var g compute.Aggregate
	switch name {
	case "add_host":
		g, err = a.Catalog.AddAggregateHost(r.Context(), id, o.str("host"))
	case "remove_host":
		g, err = a.Catalog.RemoveAggregateHost(r.Context(), id, o.str("host"))
	case "set_metadata":
		meta, given := map[string]*string{}, o.at("metadata")
		for k, v := range given.All() {
			if meta[k] = nil; v != nil {
				text := textOf(v)
				meta[k] = &text
			}
		}
		g, err = a.Catalog.SetAggregateMetadata(r.Context(), id, meta)
	}
	return aggregateAnswer(r, g, err)
}
