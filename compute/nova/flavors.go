package nova

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) flavorRoutes() []httpapi.Route {
	const see = "flavors"
	return []httpapi.Route{
		{Pattern: "GET " + root + "/flavors", Rules: rules(see), Handler: a.listFlavors},
		{Pattern: "GET " + root + "/flavors/detail", Rules: rules(see, "os-flavor-extra-specs:index"), Handler: a.listFlavorsDetail},
		{Pattern: "POST " + root + "/flavors", Rules: rules("os-flavor-manage:create"), Handler: a.createFlavor},
		{Pattern: "GET " + root + "/flavors/{id}", Rules: rules(see, "os-flavor-extra-specs:index"), Handler: a.showFlavor},
		{Pattern: "PUT " + root + "/flavors/{id}", Rules: rules("os-flavor-manage:update"), Min: "2.55", Handler: a.updateFlavor},
		{Pattern: "DELETE " + root + "/flavors/{id}", Rules: rules("os-flavor-manage:delete"), Handler: a.deleteFlavor},
	}
}

// flavorSummary is a flavor in a short list.
type flavorSummary struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	Links       []httpapi.Link    `json:"links"`
	Description *nullable[string] `json:"description,omitempty"`
}

type flavorBody struct {
	flavorSummary
	RAM        int                `json:"ram"`
	Disk       int                `json:"disk"`
	Swap       any                `json:"swap"`
	Ephemeral  int                `json:"OS-FLV-EXT-DATA:ephemeral"`
	Disabled   bool               `json:"OS-FLV-DISABLED:disabled"`
	VCPUs      int                `json:"vcpus"`
	Public     bool               `json:"os-flavor-access:is_public"`
	RxTxFactor json.RawMessage    `json:"rxtx_factor"`
	ExtraSpecs *map[string]string `json:"extra_specs,omitempty"`
}

var flavorEdits = httpapi.Edits[flavorBody]{
	{Version: httpapi.V(2, 75), Apply: func(f *flavorBody) error {
		if f.Swap == 0 {
			f.Swap = ""
		}
		return nil
	}},
	{Version: httpapi.V(2, 61), Apply: func(f *flavorBody) error { f.ExtraSpecs = nil; return nil }},
	{Version: httpapi.V(2, 55), Apply: func(f *flavorBody) error { f.Description = nil; return nil }},
}

// decimals writes a number that is a fraction in Nova, even when it is whole.
func decimals(f float64) json.RawMessage {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return json.RawMessage(s)
}

func flavorView(r *httpapi.Request, f compute.Flavor) (*flavorBody, error) {
	b := &flavorBody{
		flavorSummary: flavorSummary{f.ID, f.Name, resourceLinks(r, "flavors", f.ID), ptr(nullable[string](f.Description))},
		RAM:           f.MemoryMiB, Disk: f.DiskGiB, Swap: f.SwapMiB, Ephemeral: f.EphemeralGB, Disabled: f.Disabled, VCPUs: f.VCPUs,
		Public: f.Public, RxTxFactor: decimals(f.RxTxFactor),
	}
	if f.ExtraSpecs != nil {
		b.ExtraSpecs = &f.ExtraSpecs
	}
	return b, flavorEdits.Down(r.Version, b)
}

func flavorAnswer(r *httpapi.Request, f compute.Flavor, err error) (*httpapi.Response, error) {
	if err != nil {
		return nil, err
	}
	b, err := flavorView(r, f)
	return httpapi.OK(map[string]any{"flavor": b}), err
}

var flavorSortKeys = []string{
	"created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id", "is_public", "memory_mb", "name", "root_gb",
	"rxtx_factor", "swap", "updated_at", "vcpu_weight", "vcpus",
}

// flavorPage reads what a list of flavors asks for.
func (a *api) flavorPage(r *httpapi.Request, detail bool) ([]compute.Flavor, nephos.Page, error) {
	f := compute.FlavorFilter{Public: new(bool), ExtraSpecs: detail && atLeast(r, 61)}
	*f.Public = true
	if err := onlyParams(r, 75, "limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir"); err != nil {
		return nil, nephos.Page{}, err
	}
	p, err := r.Page(httpapi.PageOptions{
		Style: httpapi.Nova, SortKeys: flavorSortKeys, DefaultSort: []nephos.SortKey{{Key: "flavorid"}},
	})
	if err != nil {
		return nil, p, err
	}
	if _, ok := r.Param("sort_dir"); !ok { // flavors alone ascend
		for i := range p.Sort {
			p.Sort[i].Desc = false
		}
	}
	if s, ok := r.Param("is_public"); ok && a.Policy.Allowed(r.Context(), "context_is_admin", nil) {
		v, isBool := httpapi.ParseBool(s)
		switch {
		case strings.EqualFold(s, "none"):
			f.Public = nil
		case isBool:
			f.Public = &v
		default:
			return nil, p, invalid("Invalid is_public filter [%s]", clip(s)).WithField("is_public")
		}
	}
	for name, to := range map[string]*int{"minRam": &f.MinRAM, "minDisk": &f.MinDisk} {
		if s, ok := r.Param(name); ok {
			n, err := strconv.Atoi(strings.TrimSpace(s))
			if err != nil {
				return nil, p, invalid("Invalid %s filter [%s]", name, clip(s)).WithField(name)
			}
			*to = n
		}
	}
	if r.NoItems() {
		return nil, p, nil
	}
	flavors, _, err := a.Catalog.ListFlavors(r.Context(), f, p)
	return flavors, p, err
}

func flavorLinks(r *httpapi.Request, body map[string]any, flavors []compute.Flavor, p nephos.Page) *httpapi.Response {
	if n := len(flavors); n > 0 {
		if links := httpapi.PageLinks(r, httpapi.Nova, p, n, flavors[0].ID, flavors[n-1].ID); links != nil {
			body["flavors_links"] = links
		}
	}
	return httpapi.OK(body)
}

func (a *api) listFlavors(r *httpapi.Request) (*httpapi.Response, error) {
	flavors, p, err := a.flavorPage(r, false)
	if err != nil {
		return nil, err
	}
	list := make([]flavorSummary, len(flavors))
	for i, f := range flavors {
		b, err := flavorView(r, f)
		if err != nil {
			return nil, err
		}
		list[i] = b.flavorSummary
	}
	return flavorLinks(r, map[string]any{"flavors": list}, flavors, p), nil
}

func (a *api) listFlavorsDetail(r *httpapi.Request) (*httpapi.Response, error) {
	flavors, p, err := a.flavorPage(r, true)
	if err != nil {
		return nil, err
	}
	list := make([]*flavorBody, len(flavors))
	for i, f := range flavors {
		if list[i], err = flavorView(r, f); err != nil {
			return nil, err
		}
	}
	return flavorLinks(r, map[string]any{"flavors": list}, flavors, p), nil
}

func (a *api) showFlavor(r *httpapi.Request) (*httpapi.Response, error) {
	f, err := a.Catalog.Flavor(r.Context(), r.PathValue("id"))
	return flavorAnswer(r, f, err)
}

var (
	flavorID = schema.MatchAs(`^[a-zA-Z0-9._-]([a-zA-Z0-9. _-]*[a-zA-Z0-9._-])?$`, "^(?! )[a-zA-Z0-9. _-]+(?<! )$")
	decimal  = schema.Match(`^[0-9]+(\.[0-9]+)?$`)
)

func flavorSchema(r *httpapi.Request) *schema.Schema {
	s := schema.Schema{Types: []string{"object"}, Required: []string{"name", "ram", "vcpus", "disk"}, Props: []schema.Prop{
		prop("name", name255()),
		prop("id", schema.Schema{
			Types: []string{"string", "number", "null"}, MinLength: 1, MaxLength: 255,
			Pattern: flavorID,
		}),
		prop("ram", wholeNumber(1)),
		prop("vcpus", wholeNumber(1)),
		prop("disk", wholeNumber(0)),
		prop("OS-FLV-EXT-DATA:ephemeral", wholeNumber(0)),
		prop("swap", wholeNumber(0)),
		prop("rxtx_factor", schema.Schema{Types: []string{"number", "string"}, Pattern: decimal}),
		prop("os-flavor-access:is_public", boolean()),
	}}
	if atLeast(r, 55) {
		s.Props = append(s.Props, prop("description", description(65535)))
	}
	return only("flavor", s)
}

func (a *api) createFlavor(r *httpapi.Request) (*httpapi.Response, error) {
	body, err := parse(r, flavorSchema(r))
	if err != nil {
		return nil, err
	}
	o := body.at("flavor")
	spec := compute.FlavorSpec{
		ID: o.str("id"), Name: o.str("name"), Description: o.ptr("description"), VCPUs: o.int("vcpus", 0), MemoryMiB: o.int("ram", 0),
		DiskGiB: o.int("disk", 0), EphemeralGB: o.int("OS-FLV-EXT-DATA:ephemeral", 0), SwapMiB: o.int("swap", 0),
		Private: !o.bool("os-flavor-access:is_public", true), RxTxFactor: 1,
	}
	if o.has("rxtx_factor") {
		v := o.str("rxtx_factor")
		if spec.RxTxFactor, err = strconv.ParseFloat(v, 64); err != nil || spec.RxTxFactor <= 0 {
			return nil, badField("rxtx_factor", v, v+" is less than or equal to the minimum of 0")
		}
		if spec.RxTxFactor > 3.40282e+38 {
			return nil, badField("rxtx_factor", v, v+" is greater than the maximum of 3.40282e+38")
		}
	}
	f, err := a.Catalog.CreateFlavor(r.Context(), spec)
	return flavorAnswer(r, f, err)
}

func (a *api) updateFlavor(r *httpapi.Request) (*httpapi.Response, error) {
	body, err := parse(r, only("flavor", schema.Schema{
		Types: []string{"object"}, Props: []schema.Prop{prop("description", description(65535))}, Required: []string{"description"},
	}))
	if err != nil {
		return nil, err
	}
	f, err := a.Catalog.UpdateFlavor(r.Context(), r.PathValue("id"), body.at("flavor").ptr("description"))
	return flavorAnswer(r, f, err)
}

func (a *api) deleteFlavor(r *httpapi.Request) (*httpapi.Response, error) {
	return emptyAnswer(http.StatusAccepted), a.Catalog.DeleteFlavor(r.Context(), r.PathValue("id"))
}
