package cinder

import (
	"encoding/json"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) transferRoutes() []httpapi.Route {
	rule := func(verb string) []string { return []string{"volume:" + verb} }
	var routes []httpapi.Route
	// By the second name it is older, without snapshots and pages.
	for _, path := range []string{"/volume-transfers", "/os-volume-transfer"} {
		newer := path == "/volume-transfers"
		list := func(detail bool) func(r *httpapi.Request) (*httpapi.Response, error) {
			return func(r *httpapi.Request) (*httpapi.Response, error) { return a.listTransfers(r, newer, detail) }
		}
		routes = append(routes,
			httpapi.Route{Pattern: at("GET", path), Rules: rule("get_all_transfers"), Handler: list(false)},
			httpapi.Route{Pattern: at("GET", path+"/detail"), Rules: rule("get_all_transfers"), Handler: list(true)},
			httpapi.Route{Pattern: at("POST", path), Rules: rule("create_transfer"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
				return a.createTransfer(r, newer)
			}},
			httpapi.Route{Pattern: at("GET", path+"/{id}"), Rules: rule("get_transfer"), Handler: a.showTransfer},
			httpapi.Route{Pattern: at("DELETE", path+"/{id}"), Rules: rule("delete_transfer"), Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
				return accepted(a.Transfers.DeleteTransfer(r.Context(), r.PathValue("id")))
			}},
			httpapi.Route{Pattern: at("POST", path+"/{id}/accept"), Rules: rule("accept_transfer"), Handler: a.acceptTransfer},
		)
	}
	return routes
}

func transferSummary(r *httpapi.Request, t blockstorage.Transfer) object {
	return object{"id": t.ID, "volume_id": t.VolumeID, "name": t.Name, "links": links(r, "os-volume-transfer", t.ID)}
}

// transferView is a transfer's details.
func transferView(r *httpapi.Request, t blockstorage.Transfer) (object, error) {
	o := transferSummary(r, t)
	o["created_at"], o["no_snapshots"] = stamp(t.CreatedAt), t.NoSnapshots
	o["source_project_id"], o["destination_project_id"], o["accepted"] = t.ProjectID, nil, false
	if t.AuthKey != "" {
		o["auth_key"] = t.AuthKey
	}
	return o, transferEdits().Down(r.Version, &o)
}

// transferName is the format of a transfer's name, whose outer spaces do not count.
func transferName(s string) error {
	if err := isName(s); err != nil {
		return err
	}
	return trimmedLength("name")(s)
}

func (a *api) createTransfer(r *httpapi.Request, newer bool) (*httpapi.Response, error) {
	props := map[string]schema.Schema{"volume_id": pUUID, "name": orNullOf(schema.Schema{Types: typeText, Format: transferName})}
	if newer && since(r, "3.55") {
		props["no_snapshots"] = pBool
	}
	o, err := decode(r, body("transfer", strict(props, "volume_id")))
	if err != nil {
		return nil, err
	}
	in := member(o, "transfer")
	t, err := a.Transfers.CreateTransfer(r.Context(), blockstorage.TransferSpec{
		VolumeID: dashed(textOf(in, "volume_id")), Name: nullText(in, "name"), NoSnapshots: boolOf(in["no_snapshots"]),
	})
	if err != nil {
		return nil, err
	}
	view, err := transferView(r, t)
	if err != nil {
		return nil, err
	}
	return httpapi.Accepted(object{"transfer": view}), nil
}

func (a *api) listTransfers(r *httpapi.Request, newer, detail bool) (*httpapi.Response, error) {
	l, err := a.readList(r, "transfer", "transfer")
	if err == nil && newer && since(r, "3.59") {
		err = l.notBy("name") // but by display_name
	}
	if err != nil {
		return nil, err
	}
	if !newer || !since(r, "3.59") {
		l.page.Sort, l.page.Marker = []nephos.SortKey{{Key: "created_at"}, {Key: "id"}}, ""
	}
	list, _, err := a.Transfers.ListTransfers(r.Context(), blockstorage.TransferFilter{AllProjects: l.all, Offset: l.offset, Match: l.match}, l.page)
	if err != nil {
		return nil, err
	}
	if r.NoItems() {
		list = nil
	}
	return pageOf(r, l, "transfers", "transfers_links", list, func(t blockstorage.Transfer) string { return t.ID },
		func(t blockstorage.Transfer) (object, error) {
			if detail {
				return transferView(r, t)
			}
			return transferSummary(r, t), nil
		}, nil)
}

func (a *api) showTransfer(r *httpapi.Request) (*httpapi.Response, error) {
	t, err := a.Transfers.Transfer(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	view, err := transferView(r, t)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"transfer": view}), nil
}

func (a *api) acceptTransfer(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("accept", strict(map[string]schema.Schema{"auth_key": {Types: []string{"string", "integer"}}}, "auth_key")))
	if err != nil {
		return nil, err
	}
	in := member(o, "accept")
	key := textOf(in, "auth_key")
	if n, ok := in["auth_key"].(json.Number); ok {
		key = n.String()
	}
	t, err := a.Transfers.AcceptTransfer(r.Context(), r.PathValue("id"), key)
	if err != nil {
		return nil, err
	}
	return httpapi.Accepted(object{"transfer": transferSummary(r, t)}), nil
}
