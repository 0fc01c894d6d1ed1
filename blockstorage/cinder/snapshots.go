package cinder

import (
	"regexp"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) snapshotRoutes() []httpapi.Route {
	list := []string{"volume:get_all_snapshots"}
	return []httpapi.Route{
		{Pattern: at("POST", "/snapshots"), Rules: []string{"volume:create_snapshot"}, Handler: a.createSnapshot},
		{Pattern: at("GET", "/snapshots"), Rules: list, Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return a.listSnapshots(r, false) }},
		{Pattern: at("GET", "/snapshots/detail"), Rules: list, Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return a.listSnapshots(r, true) }},
		{Pattern: at("GET", "/snapshots/{id}"), Rules: []string{"volume:get_snapshot"}, Wait: waitForSnapshot, Handler: a.showSnapshot},
		{Pattern: at("PUT", "/snapshots/{id}"), Rules: []string{"volume:update_snapshot"}, Handler: a.updateSnapshot},
		{Pattern: at("DELETE", "/snapshots/{id}"), Rules: []string{"volume:delete_snapshot"}, Handler: a.deleteSnapshot},
		{
			Pattern: at("POST", "/snapshots/{id}/action"),
			Rules: []string{
				"volume_extension:snapshot_admin_actions:reset_status", "volume_extension:snapshot_admin_actions:force_delete",
				"volume_extension:snapshot_actions:update_snapshot_status",
			},
			Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return act(r, a.snapshotActions()) },
		},
	}
}

func (a *api) createSnapshot(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("snapshot", strict(map[string]schema.Schema{
		"name": pNullText, "display_name": pNullText, "description": pNullText, "volume_id": pNullUUID, "force": pBool, "metadata": pNullMeta,
	}, "volume_id")))
	if err != nil {
		return nil, err
	}
	in := member(o, "snapshot")
	inUse := boolOf(in["force"])
	if since(r, "3.66") {
		if _, given := in["force"]; given && !inUse {
			return nil, badRequest("Since microversion 3.66 the 'force' flag is invalid for this request.  For backward compatability, however, " +
				"when the 'force' flag is passed with a value evaluating to True, it is silently ignored.")
		}
		inUse = true
	}
	id := textOf(in, "volume_id")
	if id == "" {
		return nil, nephos.NotFound("Volume", "None")
	}
	s, err := a.Snapshots.CreateSnapshot(r.Context(), blockstorage.SnapshotSpec{
		VolumeID: dashed(id), Name: nullText(in, "name", "display_name"), Description: nullText(in, "description"),
		Metadata: pairsOf(in, "metadata"), InUse: inUse,
	})
	if err != nil {
		return nil, err
	}
	view, err := snapshotView(r, s)
	if err != nil {
		return nil, err
	}
	return httpapi.Accepted(object{"snapshot": view}), nil
}

// snapshotView is a snapshot's details.
func snapshotView(r *httpapi.Request, s blockstorage.Snapshot) (object, error) {
	o := snapshotSummary(s)
	o["group_snapshot_id"], o["user_id"], o["consumes_quota"] = nil, s.UserID, true
	return o, snapshotEdits().Down(r.Version, &o)
}

func snapshotSummary(s blockstorage.Snapshot) object {
	return object{
		"id": s.ID, "created_at": stamp(s.CreatedAt), "updated_at": nullStamp(s.UpdatedAt), "name": s.Name, "description": s.Description,
		"volume_id": s.VolumeID, "status": s.Status, "size": s.SizeGiB, "metadata": s.Metadata,
	}
}

// detailedSnapshot is snapshotView with what an extension adds to it.
func (a *api) detailedSnapshot(r *httpapi.Request, s blockstorage.Snapshot) (object, error) {
	o, err := snapshotView(r, s)
	if err == nil && a.Backends.Allowed(r.Context(), "volume_extension:extended_snapshot_attributes", s.ProjectID) {
		o["os-extended-snapshot-attributes:project_id"], o["os-extended-snapshot-attributes:progress"] = s.ProjectID, s.Progress
	}
	return o, err
}

func (a *api) listSnapshots(r *httpapi.Request, detail bool) (*httpapi.Response, error) {
	l, err := a.readList(r, "snapshot", "snapshot")
	if err == nil && !since(r, "3.30") {
		err = l.notBy("name") // snapshots were not sorted by that yet
	}
	if err != nil {
		return nil, err
	}
	f := blockstorage.SnapshotFilter{AllProjects: l.all, Offset: l.offset, Match: l.match}
	if f.Metadata, err = l.takePairs("metadata"); err != nil {
		return nil, err
	}
	if !since(r, "3.22") {
		f.Metadata = nil
	}
	counted, err := l.takeQuota(r)
	if err != nil {
		return nil, err
	}
	ss, _, err := a.Snapshots.ListSnapshots(r.Context(), f, l.page)
	if err != nil {
		return nil, err
	}
	var count *int
	if l.count {
		n, err := a.Snapshots.CountSnapshots(r.Context(), f)
		if err != nil {
			return nil, err
		}
		count = &n
	}
	if !counted || r.NoItems() {
		ss = nil
	}
	return pageOf(r, l, "snapshots", "snapshots_links", ss, func(s blockstorage.Snapshot) string { return s.ID },
		func(s blockstorage.Snapshot) (object, error) {
			if detail {
				return a.detailedSnapshot(r, s)
			}
			return snapshotSummary(s), nil
		}, count)
}

func (a *api) showSnapshot(r *httpapi.Request) (*httpapi.Response, error) {
	s, err := a.Snapshots.Snapshot(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	view, err := a.detailedSnapshot(r, s)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"snapshot": view}), nil
}

func (a *api) updateSnapshot(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("snapshot", schema.Schema{
		Types: typeObject, AnyOf: []string{"name", "description", "display_name", "display_description"},
		Props: props(map[string]schema.Schema{"name": pNullText, "description": pNullText, "display_name": pNullText, "display_description": pNullText}),
	}))
	if err != nil {
		return nil, err
	}
	in := member(o, "snapshot")
	s, err := a.Snapshots.UpdateSnapshot(r.Context(), r.PathValue("id"), blockstorage.SnapshotUpdate{
		Name: changedText(in, "name", "display_name"), Description: changedText(in, "description", "display_description"),
	})
	if err != nil {
		return nil, err
	}
	view, err := snapshotView(r, s)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"snapshot": view}), nil
}

func (a *api) deleteSnapshot(r *httpapi.Request) (*httpapi.Response, error) {
	return accepted(a.Snapshots.DeleteSnapshot(r.Context(), r.PathValue("id"), false))
}

var percent = regexp.MustCompile(`^(100|[0-9]{1,2})%$`)

func (a *api) snapshotActions() map[string]action {
	return map[string]action{
		"os-reset_status": {
			schema: always(strict(map[string]schema.Schema{"status": pSnapStatus}, "status")),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				return accepted(a.Snapshots.ResetSnapshot(r.Context(), id, textOf(in, "status")))
			},
		},
		"os-force_delete": {run: func(r *httpapi.Request, id string, _ object) (*httpapi.Response, error) {
			return accepted(a.Snapshots.DeleteSnapshot(r.Context(), id, true))
		}},
		"os-update_snapshot_status": {
			schema: always(strict(map[string]schema.Schema{"status": pText, "progress": pAny}, "status")),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				progress := textOf(in, "progress")
				if in["progress"] != nil && in["progress"] != "" && !percent.MatchString(progress) {
					return nil, badRequest("Invalid input received: progress must be an integer percentage between 0 and 100")
				}
				return accepted(a.Snapshots.ReportSnapshot(r.Context(), id, textOf(in, "status"), progress))
			},
		},
	}
}
