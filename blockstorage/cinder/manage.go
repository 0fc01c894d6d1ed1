package cinder

import (
	"cmp"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) manageRoutes() []httpapi.Route {
	const first = "3.8"
	list, manage := []string{"volume_extension:list_manageable"}, []string{"volume_extension:volume_manage"}
	summary := func(r *httpapi.Request) (*httpapi.Response, error) { return a.listManageable(r, false) }
	detail := func(r *httpapi.Request) (*httpapi.Response, error) { return a.listManageable(r, true) }
	return []httpapi.Route{
		{Pattern: at("GET", "/manageable_volumes"), Min: first, Rules: list, Handler: summary},
		{Pattern: at("GET", "/manageable_volumes/detail"), Min: first, Rules: list, Handler: detail},
		{Pattern: at("POST", "/manageable_volumes"), Min: first, Rules: manage, Handler: a.manageVolume},
		// By these names it is older.
		{Pattern: at("GET", "/os-volume-manage"), Rules: list, Handler: summary},
		{Pattern: at("GET", "/os-volume-manage/detail"), Rules: list, Handler: detail},
		{Pattern: at("POST", "/os-volume-manage"), Rules: manage, Handler: a.manageVolume},
	}
}

// manageSchema is the body of a manage in the request's microversion.
func manageSchema(r *httpapi.Request) schema.Schema {
	props := map[string]schema.Schema{
		"description": pDescr, "availability_zone": pNullText, "bootable": pBool, "volume_type": pNullText, "name": pNullText,
		"host": {Types: typeNullText, MaxLength: 255}, "ref": {Types: []string{"object", "string"}, Open: true}, "metadata": pNullMeta,
	}
	if since(r, "3.16") {
		props["cluster"] = pNullText
	}
	return body("volume", strict(props, "ref"))
}

func (a *api) manageVolume(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, manageSchema(r))
	if err != nil {
		return nil, err
	}
	in := member(o, "volume")
	host, cluster, err := hostOrCluster(r, "3.16", textOf(in, "host"), textOf(in, "cluster"))
	if err != nil {
		return nil, err
	}
	ref := textOf(in, "ref")
	for _, name := range []string{"source-id", "source-name"} {
		ref = cmp.Or(textOf(member(in, "ref"), name), ref)
	}
	v, err := a.Manage.ManageVolume(r.Context(), blockstorage.ManageSpec{
		Host: host, Cluster: cluster, Reference: ref, Name: nullText(in, "name"), Description: nullText(in, "description"),
		Type: textOf(in, "volume_type"), Zone: textOf(in, "availability_zone"), Bootable: boolOf(in["bootable"]), Metadata: pairsOf(in, "metadata"),
	})
	if err != nil {
		return nil, err
	}
	view, err := a.volumeView(r, v)
	if err != nil {
		return nil, err
	}
	return httpapi.Accepted(object{"volume": view}), nil
}

func (a *api) listManageable(r *httpapi.Request, detail bool) (*httpapi.Response, error) {
	const rule = "volume_extension:list_manageable"
	if !a.Backends.Allowed(r.Context(), rule, r.Caller().ProjectID) {
		return nil, denied(rule)
	}
	host, _ := r.Param("host")
	cluster, _ := r.Param("cluster")
	host, cluster, err := hostOrCluster(r, "3.17", host, cluster)
	if err != nil {
		return nil, err
	}
	page, err := r.Page(httpapi.PageOptions{
		Style: httpapi.Cinder, SortKeys: []string{"reference", "size"}, DefaultSort: []nephos.SortKey{{Key: "reference", Desc: true}},
	})
	if err != nil {
		return nil, err
	}
	offset, err := r.Int("offset", 0, 0, maxInt)
	if err != nil {
		return nil, badRequest("offset must be an integer")
	}
	list, err := a.Manage.ListManageable(r.Context(), host, cluster)
	if err != nil {
		return nil, err
	}
	if list, err = pageManageable(list, page, offset); err != nil {
		return nil, err
	}
	if r.NoItems() {
		list = nil
	}
	out := make([]object, len(list))
	for i, m := range list {
		out[i] = object{"reference": object{"source-name": m.Reference}, "size": m.SizeGiB, "safe_to_manage": m.Reason == "" && m.VolumeID == ""}
		if detail {
			out[i]["reason_not_safe"], out[i]["cinder_id"], out[i]["extra_info"] = orNull(m.Reason), orNull(m.VolumeID), nil
		}
	}
	return httpapi.OK(object{"manageable-volumes": out}), nil
}

// pageManageable sorts and cuts a list that no database keeps.
func pageManageable(list []blockstorage.Manageable, p nephos.Page, offset int) ([]blockstorage.Manageable, error) {
	slices.SortFunc(list, func(x, y blockstorage.Manageable) int {
		for _, k := range append(p.Sort, nephos.SortKey{Key: "reference"}) {
			order := strings.Compare(x.Reference, y.Reference)
			if k.Key == "size" {
				order = cmp.Compare(x.SizeGiB, y.SizeGiB)
			}
			if k.Desc {
				order = -order
			}
			if order != 0 {
				return order
			}
		}
		return 0
	})
	if p.Marker != "" {
		// The marker is a reference: the text, or an object as JSON or Python write it.
		i := slices.IndexFunc(list, func(m blockstorage.Manageable) bool {
			return p.Marker == m.Reference || strings.Contains(p.Marker, `"`+m.Reference+`"`) || strings.Contains(p.Marker, "'"+m.Reference+"'")
		})
		if i < 0 {
			return nil, badRequest("Invalid input received: marker not found: %s", clip(p.Marker))
		}
		list = list[i+1:]
	}
	list = list[min(offset, len(list)):]
	if p.Limit > 0 {
		list = list[:min(p.Limit, len(list))]
	}
	return list, nil
}
