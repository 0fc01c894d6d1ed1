package cinder

import (
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) volumeRoutes() []httpapi.Route {
	list := []string{"volume:get_all"}
	create := []string{"volume:create", "volume:create_from_image"}
	return []httpapi.Route{
		{Pattern: at("POST", "/volumes"), Rules: create, Handler: a.createVolume},
		{Pattern: at("GET", "/volumes"), Rules: list, Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return a.listVolumes(r, false) }},
		{Pattern: at("GET", "/volumes/detail"), Rules: list, Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return a.listVolumes(r, true) }},
		{Pattern: at("GET", "/volumes/summary"), Rules: list, Min: "3.12", Handler: a.summarizeVolumes},
		{Pattern: at("GET", "/volumes/{id}"), Rules: []string{"volume:get"}, Wait: waitForVolume, Handler: a.showVolume},
		{Pattern: at("PUT", "/volumes/{id}"), Rules: []string{"volume:update"}, Handler: a.updateVolume},
		{Pattern: at("DELETE", "/volumes/{id}"), Rules: []string{"volume:delete", "volume:force_delete"}, Handler: a.deleteVolume},
		{Pattern: at("GET", "/volumes/{id}/encryption"), Rules: []string{"volume_extension:volume_encryption_metadata"}, Handler: a.showEncryption},
		{Pattern: at("GET", "/volumes/{id}/encryption/{key}"), Rules: []string{"volume_extension:volume_encryption_metadata"}, Handler: a.showEncryptionKey},
	}
}

// The bodies of creates, by the microversions that changed them.
var (
	createVolume30  = newVolume(true)
	createVolume313 = newVolume(true, schema.Named("group_id", pNullText))
	createVolume347 = newVolume(true, schema.Named("group_id", pNullText), schema.Named("backup_id", pNullUUID))
	createVolume353 = newVolume(false, schema.Named("group_id", pNullText), schema.Named("backup_id", pNullUUID))
)

func newVolume(open bool, more ...schema.Prop) schema.Schema {
	of := append(props(map[string]schema.Schema{
		"name": pName, "description": pDescr, "display_name": pName, "display_description": pDescr,
		"volume_type": pNullText, "metadata": pNullMeta, "snapshot_id": pNullUUID, "source_volid": pNullUUID,
		"consistencygroup_id": pNullUUID, "size": pNullSize, "availability_zone": {Types: typeNullText, MinLength: 1, MaxLength: 255},
		"multiattach": pNullBool, "image_id": pNullText, "imageRef": pNullText,
	}), more...)
	return strict(map[string]schema.Schema{
		"volume":                     {Types: typeObject, Props: of, Open: open},
		"OS-SCH-HNT:scheduler_hints": {Types: typeNullObj, Open: true},
	}, "volume")
}

// createSchema is the body of a create in the request's microversion.
func createSchema(r *httpapi.Request) schema.Schema {
	switch {
	case since(r, "3.53"):
		return createVolume353
	case since(r, "3.47"):
		return createVolume347
	case since(r, "3.13"):
		return createVolume313
	}
	return createVolume30
}

func (a *api) createVolume(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, createSchema(r))
	if err != nil {
		return nil, err
	}
	in := member(o, "volume")
	if boolOf(in["multiattach"]) {
		return nil, badRequest("multiattach parameter has been removed. The default behavior is to use multiattach enabled volume types. " +
			"Contact your administrator to create a multiattach enabled volume type and use it to create multiattach volumes.")
	}
	if v, given := in["multiattach"]; given && v == nil {
		return nil, badRequest("Value 'None' for 'multiattach' is not a boolean.")
	}
	for name, what := range map[string]string{"consistencygroup_id": "Group", "group_id": "Group", "backup_id": "Backup"} {
		if id := textOf(in, name); id != "" {
			return nil, nephos.NotFound(what, clip(id)) // there are none
		}
	}
	ref := textOf(in, "imageRef")
	if _, ok := in["image_id"]; ok {
		ref = textOf(in, "image_id")
	}
	if v, given := in["imageRef"].(string); given && v == "" {
		return nil, badRequest("Invalid image identifier or unable to access requested image.")
	}
	ref = ref[strings.LastIndexByte(ref, '/')+1:] // it may be the image's URL
	v, err := a.Volumes.CreateVolume(r.Context(), blockstorage.VolumeSpec{
		Name: nullText(in, "name", "display_name"), Description: nullText(in, "description", "display_description"),
		SizeGiB: intOf(in["size"]), Zone: textOf(in, "availability_zone"), Type: textOf(in, "volume_type"),
		SnapshotID: dashed(textOf(in, "snapshot_id")), SourceVolumeID: dashed(textOf(in, "source_volid")), ImageID: ref, Metadata: pairsOf(in, "metadata"),
		Hints: hintsOf(o),
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

// hintsOf reads what the scheduler is told: texts, alone or in lists.
func hintsOf(o object) map[string][]string {
	out := map[string][]string{}
	for name, v := range member(o, "OS-SCH-HNT:scheduler_hints") {
		switch v := v.(type) {
		case string:
			out[name] = []string{v}
		case []any:
			for _, one := range v {
				if text, ok := one.(string); ok {
					out[name] = append(out[name], text)
				}
			}
		}
	}
	return out
}

// dashed writes an ID that was given without dashes with them.
func dashed(id string) string {
	if len(id) != 32 || strings.Contains(id, "-") {
		return id
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

// volumeView is a volume's details.
func (a *api) volumeView(r *httpapi.Request, v blockstorage.Volume) (object, error) {
	admin := a.Backends.IsAdmin(r.Context())
	metadata := map[string]string{}
	for k, val := range v.Metadata {
		metadata[k] = val
	}
	if v.ReadOnly != nil {
		metadata["readonly"] = map[bool]string{true: "True", false: "False"}[*v.ReadOnly]
	}
	attachments := []object{}
	for _, at := range v.Attachments {
		if at.Status != blockstorage.Attached {
			continue
		}
		e := object{
			"id": v.ID, "attachment_id": at.ID, "volume_id": v.ID, "server_id": orNull(at.ServerID), "host_name": nil,
			"device": orNull(at.Mountpoint), "attached_at": nullStamp(at.AttachedAt),
		}
		if admin {
			e["host_name"] = orNull(at.Host)
		}
		attachments = append(attachments, e)
	}
	o := object{
		"id": v.ID, "status": v.Status, "size": v.SizeGiB, "availability_zone": v.Zone, "created_at": stamp(v.CreatedAt),
		"updated_at": nullStamp(v.UpdatedAt), "name": v.Name, "description": v.Description, "volume_type": orNull(v.TypeName),
		"snapshot_id": orNull(v.SnapshotID), "source_volid": orNull(v.SourceVolumeID), "metadata": metadata, "links": links(r, "volumes", v.ID),
		"user_id": v.UserID, "bootable": map[bool]string{true: "true", false: "false"}[v.Bootable], "encrypted": false,
		"replication_status": nil, "consistencygroup_id": nil, "multiattach": v.MultiAttach, "attachments": attachments,
		"group_id": nil, "shared_targets": false, "service_uuid": nil, "volume_type_id": v.TypeID, "consumes_quota": true,
	}
	if admin {
		o["migration_status"], o["provider_id"], o["cluster_name"] = orNull(v.MigrationStatus), nil, nil
	}
	return o, volumeEdits().Down(r.Version, &o)
}

// detailedVolume is volumeView with what extensions add to it where a volume
// is shown.
func (a *api) detailedVolume(r *httpapi.Request, v blockstorage.Volume) (object, error) {
	o, err := a.volumeView(r, v)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	if a.Backends.Allowed(ctx, "volume_extension:volume_tenant_attribute", v.ProjectID) {
		o["os-vol-tenant-attr:tenant_id"] = v.ProjectID
	}
	if a.Backends.Allowed(ctx, "volume_extension:volume_host_attribute", v.ProjectID) {
		o["os-vol-host-attr:host"] = a.Backends.HostOf(v)
	}
	if a.Backends.Allowed(ctx, "volume_extension:volume_mig_status_attribute", v.ProjectID) {
		o["os-vol-mig-status-attr:migstat"], o["os-vol-mig-status-attr:name_id"] = orNull(v.MigrationStatus), nil
	}
	if len(v.ImageMetadata) > 0 && a.Backends.Allowed(ctx, "volume_extension:volume_image_metadata:show", v.ProjectID) {
		o["volume_image_metadata"] = v.ImageMetadata
	}
	return o, nil
}

func volumeSummary(r *httpapi.Request, v blockstorage.Volume) object {
	return object{"id": v.ID, "name": v.Name, "links": links(r, "volumes", v.ID)}
}

// volumeFilter reads the filters of a list of volumes. none says that nothing
// can match.
func volumeFilter(r *httpapi.Request, l *listing) (f blockstorage.VolumeFilter, none bool, err error) {
	if v, ok := l.match["bootable"]; ok {
		b, known := httpapi.ParseBool(v)
		if !known && since(r, "3.2") {
			return f, false, badRequest("Invalid input received: 'bootable = %s'", clip(v))
		}
		l.match["bootable"] = map[bool]string{true: "true", false: "false"}[b || !known]
	}
	var t []blockstorage.TimeMatch
	for _, field := range []string{"created_at", "updated_at"} {
		if v, ok := l.take(field); ok && since(r, "3.60") {
			if t, err = times(field, v); err != nil {
				return f, false, err
			}
			f.Times = append(f.Times, t...)
		}
	}
	if f.Metadata, err = l.takePairs("metadata"); err != nil {
		return f, false, err
	}
	if f.ImageMetadata, err = l.takePairs("glance_metadata"); err != nil {
		return f, false, err
	}
	counted, err := l.takeQuota(r)
	f.AllProjects, f.Offset, f.Match = l.all, l.offset, l.match
	return f, !counted || r.NoItems(), err
}

func (a *api) listVolumes(r *httpapi.Request, detail bool) (*httpapi.Response, error) {
	l, err := a.readList(r, "volume", "volume")
	if err != nil {
		return nil, err
	}
	f, none, err := volumeFilter(r, &l)
	if err != nil {
		return nil, err
	}
	vs, _, err := a.Volumes.ListVolumes(r.Context(), f, l.page)
	if err != nil {
		return nil, err
	}
	var count *int
	if l.count {
		n, err := a.Volumes.CountVolumes(r.Context(), f)
		if err != nil {
			return nil, err
		}
		count = &n
	}
	if none {
		vs = nil
	}
	return pageOf(r, l, "volumes", "volumes_links", vs, func(v blockstorage.Volume) string { return v.ID },
		func(v blockstorage.Volume) (object, error) {
			if detail {
				return a.detailedVolume(r, v)
			}
			return volumeSummary(r, v), nil
		}, count)
}

func (a *api) summarizeVolumes(r *httpapi.Request) (*httpapi.Response, error) {
	all := false
	if a.Backends.IsAdmin(r.Context()) {
		var err error
		if all, err = boolParam(r, "all_tenants"); err != nil {
			return nil, err
		}
	}
	sum, err := a.Volumes.SummarizeVolumes(r.Context(), blockstorage.VolumeFilter{AllProjects: all})
	if err != nil {
		return nil, err
	}
	o := object{"total_count": sum.Count, "total_size": sum.SizeGiB, "metadata": sum.Metadata}
	if err := summaryEdits().Down(r.Version, &o); err != nil {
		return nil, err
	}
	return httpapi.OK(object{"volume-summary": o}), nil
}

func (a *api) showVolume(r *httpapi.Request) (*httpapi.Response, error) {
	v, err := a.Volumes.Volume(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	view, err := a.detailedVolume(r, v)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"volume": view}), nil
}

func (a *api) updateVolume(r *httpapi.Request) (*httpapi.Response, error) {
	p := schema.Schema{Types: typeObject, Props: props(map[string]schema.Schema{
		"name": pName, "description": pDescr, "display_name": pName, "display_description": pDescr, "metadata": pMetadata,
	})}
	if since(r, "3.53") {
		p.AnyOf = []string{"name", "description", "display_name", "display_description", "metadata"}
	}
	o, err := decode(r, body("volume", p))
	if err != nil {
		return nil, err
	}
	in := member(o, "volume")
	u := blockstorage.VolumeUpdate{Name: changedText(in, "name", "display_name"), Description: changedText(in, "description", "display_description")}
	if m := pairsOf(in, "metadata"); m != nil {
		u.Metadata = &m
	}
	v, err := a.Volumes.UpdateVolume(r.Context(), r.PathValue("id"), u)
	if err != nil {
		return nil, err
	}
	view, err := a.volumeView(r, v)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"volume": view}), nil
}

func (a *api) deleteVolume(r *httpapi.Request) (*httpapi.Response, error) {
	var opts blockstorage.DeleteOptions
	var err error
	if opts.Cascade, err = boolParam(r, "cascade"); err != nil {
		return nil, err
	}
	if since(r, "3.23") {
		if opts.Force, err = boolParam(r, "force"); err != nil {
			return nil, err
		}
	}
	if err := a.Volumes.PurgeVolume(r.Context(), r.PathValue("id"), opts); err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}

// encryption is what there is to tell of a volume that is not encrypted.
func (a *api) encryption(r *httpapi.Request) (object, error) {
	v, err := a.Volumes.Volume(r.Context(), r.PathValue("id"))
	if err == nil && !a.Backends.Allowed(r.Context(), "volume_extension:volume_encryption_metadata", v.ProjectID) {
		err = nephos.Errorf(nephos.ErrForbidden, "Policy doesn't allow volume_extension:volume_encryption_metadata to be performed.")
	}
	return object{"encryption_key_id": nil}, err
}

func (a *api) showEncryption(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := a.encryption(r)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(o), nil
}

func (a *api) showEncryptionKey(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := a.encryption(r)
	if err != nil {
		return nil, err
	}
	v, ok := o[r.PathValue("key")]
	if !ok {
		v = nil
	}
	return httpapi.OK(object{r.PathValue("key"): v}), nil
}
