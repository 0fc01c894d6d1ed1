package cinder

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// action is one of the actions of a resource.
type action struct {
	schema func(r *httpapi.Request) schema.Schema // of the value; nil: it is not looked at
	min    string
	run    func(r *httpapi.Request, id string, in object) (*httpapi.Response, error)
}

func (a *api) actionRoutes() []httpapi.Route {
	const base, admin = "volume_extension:volume_actions:", "volume_extension:volume_admin_actions:"
	return []httpapi.Route{{
		Pattern: at("POST", "/volumes/{id}/action"),
		Rules: []string{
			"volume:extend", "volume:extend_attached_volume", "volume:revert_to_snapshot", "volume:retype", "volume:update",
			"volume:update_readonly_flag", base + "attach", base + "detach", base + "reserve", base + "unreserve", base + "begin_detaching",
			base + "roll_detaching", base + "initialize_connection", base + "terminate_connection", base + "upload_image", base + "upload_public",
			admin + "reset_status", admin + "force_delete", admin + "force_detach", admin + "migrate_volume", admin + "migrate_volume_completion",
			"volume_extension:volume_unmanage", "volume_extension:volume_image_metadata:set", "volume_extension:volume_image_metadata:remove", "volume:get",
		},
		Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return act(r, a.volumeActions()) },
	}}
}

// act finds the action that a body names, checks its value and runs it.
func act(r *httpapi.Request, actions map[string]action) (*httpapi.Response, error) {
	name, raw, err := r.Action()
	if err != nil {
		return nil, err
	}
	do, ok := actions[name]
	if ok && do.min != "" && !since(r, do.min) {
		return nil, nephos.Errorf(nephos.ErrNotFound, "The resource could not be found.")
	}
	if !ok {
		return nil, badRequest("There is no such action: %s. Verify the request body and Content-Type header and try again.", clip(name))
	}
	v, err := parse(raw)
	if err != nil {
		return nil, err
	}
	if do.schema != nil {
		if err := checkSent(do.schema(r), name, v, raw); err != nil {
			return nil, err
		}
	}
	in, _ := v.(object)
	return do.run(r, r.PathValue("id"), in)
}

// always is a schema that is the same in all microversions.
func always(p schema.Schema) func(r *httpapi.Request) schema.Schema {
	return func(*httpapi.Request) schema.Schema { return p }
}

// accepted answers 202 unless there is an error.
func accepted(err error) (*httpapi.Response, error) {
	if err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}

func (a *api) volumeActions() map[string]action {
	all := a.stateActions()
	maps.Copy(all, a.attachActions())
	maps.Copy(all, a.moveActions())
	all["os-unmanage"] = action{run: func(r *httpapi.Request, id string, _ object) (*httpapi.Response, error) {
		return accepted(a.Manage.UnmanageVolume(r.Context(), id))
	}}
	all["os-volume_upload_image"] = action{schema: uploadSchema, run: a.uploadVolume}
	all["os-set_image_metadata"] = action{schema: always(strict(map[string]schema.Schema{"metadata": pMetadata}, "metadata")), run: a.setImageMetadata}
	all["os-unset_image_metadata"] = action{
		schema: always(strict(map[string]schema.Schema{"key": {Types: typeText, MinLength: 1, MaxLength: 255}}, "key")), run: a.unsetImageMetadata,
	}
	all["os-reimage"] = action{min: "3.68"} // newer than what is spoken
	all["os-show_image_metadata"] = action{run: a.showImageMetadata}
	return all
}

// stateActions change a volume itself.
func (a *api) stateActions() map[string]action {
	return map[string]action{
		"os-extend": {
			schema: always(strict(map[string]schema.Schema{"new_size": pSize}, "new_size")),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				attached := false
				if since(r, "3.42") {
					v, err := a.Volumes.Volume(r.Context(), id)
					if err != nil {
						return nil, err
					}
					attached = v.Status == blockstorage.InUse
				}
				return accepted(a.Actions.ExtendVolume(r.Context(), id, intOf(in["new_size"]), attached))
			},
		},
		"revert": {
			min: "3.40", schema: always(pObject),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				if s, ok := in["snapshot_id"].(string); !ok || s == "" {
					if _, err := a.Volumes.Volume(r.Context(), id); err != nil {
						return nil, err
					}
					said := s
					if !ok {
						said = quoting.Repr(in["snapshot_id"])
					}
					return nil, badRequest("Specified snapshot %s is None or not the latest one of volume %s.", said, id)
				}
				return accepted(a.Actions.RevertVolume(r.Context(), id, textOf(in, "snapshot_id")))
			},
		},
		"os-reset_status": {
			schema: always(schema.Schema{Types: typeObject, Props: props(map[string]schema.Schema{"status": pStatus, "attach_status": pAttachStatus, "migration_status": pMigration})}),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				if err := needStatus(in); err != nil {
					return nil, err
				}
				return accepted(a.Actions.ResetVolume(r.Context(), id, blockstorage.VolumeReset{
					Status: textOf(in, "status"), AttachStatus: textOf(in, "attach_status"), MigrationStatus: textOf(in, "migration_status"),
				}))
			},
		},
		"os-set_bootable": {
			schema: always(strict(map[string]schema.Schema{"bootable": pBool}, "bootable")),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				bootable := boolOf(in["bootable"])
				if _, err := a.Volumes.UpdateVolume(r.Context(), id, blockstorage.VolumeUpdate{Bootable: &bootable}); err != nil {
					return nil, err
				}
				return httpapi.Status(200, nil), nil
			},
		},
		"os-update_readonly_flag": {
			schema: always(strict(map[string]schema.Schema{"readonly": pBool}, "readonly")),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				return accepted(a.Actions.SetReadOnly(r.Context(), id, boolOf(in["readonly"])))
			},
		},
		"os-force_delete": {run: func(r *httpapi.Request, id string, _ object) (*httpapi.Response, error) {
			v, err := a.Volumes.Volume(r.Context(), id)
			if err != nil {
				return nil, err
			}
			if !a.Backends.Allowed(r.Context(), "volume_extension:volume_admin_actions:force_delete", v.ProjectID) {
				return nil, denied("volume_extension:volume_admin_actions:force_delete")
			}
			return accepted(a.Volumes.PurgeVolume(r.Context(), id, blockstorage.DeleteOptions{Force: true}))
		}},
	}
}

func denied(rule string) error {
	return nephos.Errorf(nephos.ErrForbidden, "Policy doesn't allow %s to be performed.", rule)
}

// attachActions are the older way to attach volumes.
func (a *api) attachActions() map[string]action {
	mark := func(f func(r *httpapi.Request, id string) error) action {
		return action{run: func(r *httpapi.Request, id string, _ object) (*httpapi.Response, error) { return accepted(f(r, id)) }}
	}
	return map[string]action{
		"os-reserve":         mark(func(r *httpapi.Request, id string) error { return a.Legacy.MarkReserved(r.Context(), id) }),
		"os-unreserve":       mark(func(r *httpapi.Request, id string) error { return a.Legacy.UnmarkReserved(r.Context(), id) }),
		"os-begin_detaching": mark(func(r *httpapi.Request, id string) error { return a.Legacy.MarkDetaching(r.Context(), id) }),
		"os-roll_detaching":  mark(func(r *httpapi.Request, id string) error { return a.Legacy.UnmarkDetaching(r.Context(), id) }),
		"os-attach": {
			schema: always(schema.Schema{
				Types: typeObject, Required: []string{"mountpoint"}, AnyOf: []string{"instance_uuid", "host_name"},
				Props: props(map[string]schema.Schema{
					"instance_uuid": pUUID, "mountpoint": {Types: typeText, MinLength: 1, MaxLength: 255}, "host_name": {Types: typeText, MaxLength: 255},
					"mode": {Types: typeText, Enum: []any{"rw", "ro"}},
				}),
			}),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				rec := blockstorage.AttachRecord{
					ServerID: textOf(in, "instance_uuid"), Host: textOf(in, "host_name"), Mountpoint: textOf(in, "mountpoint"), Mode: textOf(in, "mode"),
				}
				if rec.Mode == "" {
					rec.Mode = "rw"
				}
				return accepted(a.Legacy.RecordAttach(r.Context(), id, rec))
			},
		},
		"os-detach": {
			schema: always(schema.Schema{Types: typeNullObj, Props: props(map[string]schema.Schema{"attachment_id": pNullUUID})}),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				return accepted(a.Legacy.RecordDetach(r.Context(), id, textOf(in, "attachment_id")))
			},
		},
		"os-force_detach": {
			schema: always(schema.Schema{Types: typeObject, Props: props(map[string]schema.Schema{
				"connector": {Types: []string{"string", "object", "null"}, Open: true}, "attachment_id": {Types: typeNullText},
			})}),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				return accepted(a.Legacy.ForceDetach(r.Context(), id, textOf(in, "attachment_id")))
			},
		},
		"os-initialize_connection": {
			schema: always(strict(map[string]schema.Schema{"connector": {Types: []string{"object", "string"}, Open: true}}, "connector")),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				at, err := a.Legacy.InitializeConnection(r.Context(), id, member(in, "connector"))
				if err != nil {
					return nil, err
				}
				data := connectionInfo(at)
				delete(data, "driver_volume_type")
				kind := ""
				if at.Connection != nil {
					kind = at.Connection.Type
				}
				return httpapi.OK(object{"connection_info": object{"driver_volume_type": kind, "data": data}}), nil
			},
		},
		"os-terminate_connection": {
			schema: always(strict(map[string]schema.Schema{"connector": {Types: []string{"string", "object", "null"}, Open: true}}, "connector")),
			run: func(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
				return accepted(a.Legacy.TerminateConnection(r.Context(), id, member(in, "connector")))
			},
		},
	}
}

var (
	pStatus       = schema.Schema{Types: typeNullText, Format: oneOf("Volume status", volumeStates)}
	pAttachStatus = schema.Schema{Types: typeNullText, Format: oneOf("Volume attach status", []string{"attached", "detached"})}
	pMigration    = schema.Schema{Types: typeNullText, Format: oneOf("Volume migration status", []string{"migrating", "error", "success", "completing", "none", "starting"})}
	pSnapStatus   = schema.Schema{Types: typeText, Format: oneOf("Snapshot status", snapshotStates)}

	volumeStates = []string{
		"creating", "available", "deleting", "error", "error_deleting", "error_managing", "managing", "attaching", "in-use", "detaching",
		"maintenance", "restoring-backup", "error_restoring", "reserved", "awaiting-transfer", "backing-up", "error_backing-up",
		"error_extending", "downloading", "uploading", "retyping", "extending",
	}
	snapshotStates = []string{
		"error", "available", "creating", "deleting", "deleted", "updating", "error_deleting", "unmanaging", "backing-up", "restoring",
	}
)

// oneOf is the format of states that an operator may set.
func oneOf(what string, states []string) func(s string) error {
	return func(s string) error {
		if s == "" && what != "Snapshot status" || slices.Contains(states, strings.ToLower(s)) {
			return nil
		}
		list := "('" + strings.Join(states, "', '") + "')"
		if what == "Volume attach status" { // a list where the others are tuples
			list = "['" + strings.Join(states, "', '") + "']"
		}
		return schema.Alone(fmt.Sprintf("%s: %s is invalid, valid statuses are: %s.", what, clip(s), list))
	}
}

// needStatus refuses a reset that resets nothing.
func needStatus(in object) error {
	if textOf(in, "status")+textOf(in, "attach_status")+textOf(in, "migration_status") == "" {
		return badRequest("Must specify 'status', 'attach_status' or 'migration_status' for update.")
	}
	return nil
}

func uploadSchema(r *httpapi.Request) schema.Schema {
	props := map[string]schema.Schema{
		"image_name": {Types: typeText, MinLength: 1, MaxLength: 255}, "force": pBool, "container_format": pNullText,
		"disk_format": {Types: typeText, Enum: []any{"raw", "vmdk", "vdi", "qcow2", "vhd", "vhdx", "ploop"}},
	}
	if since(r, "3.1") {
		props["visibility"] = schema.Schema{Types: typeText, Enum: []any{"community", "public", "private", "shared"}}
		props["protected"] = pBool
	}
	return strict(props, "image_name")
}

func (a *api) uploadVolume(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
	up, err := a.Actions.UploadVolume(r.Context(), id, blockstorage.UploadSpec{
		Name: textOf(in, "image_name"), DiskFormat: textOf(in, "disk_format"), ContainerFormat: textOf(in, "container_format"),
		Visibility: textOf(in, "visibility"), Protected: boolOf(in["protected"]),
	})
	if err != nil {
		return nil, err
	}
	v := up.Volume
	o := object{
		"id": v.ID, "updated_at": nullStamp(v.UpdatedAt), "status": "uploading", "display_description": v.Description, "size": v.SizeGiB,
		"volume_type": object{"id": v.TypeID, "name": v.TypeName}, "image_id": up.Image.ID, "container_format": up.Image.ContainerFormat,
		"disk_format": up.Image.DiskFormat, "image_name": up.Image.Name,
	}
	if since(r, "3.1") {
		o["visibility"], o["protected"] = up.Image.Visibility, up.Image.Protected
	}
	return httpapi.Accepted(object{"os-volume_upload_image": o}), nil
}

func (a *api) setImageMetadata(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
	m, err := a.Metadata.SetImageMetadata(r.Context(), id, pairsOf(in, "metadata"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"metadata": m}), nil
}

func (a *api) unsetImageMetadata(r *httpapi.Request, id string, in object) (*httpapi.Response, error) {
	if err := a.Metadata.UnsetImageMetadata(r.Context(), id, textOf(in, "key")); err != nil {
		return nil, err
	}
	return httpapi.Status(200, nil), nil
}

func (a *api) showImageMetadata(r *httpapi.Request, id string, _ object) (*httpapi.Response, error) {
	v, err := a.Volumes.Volume(r.Context(), id)
	if err != nil {
		return nil, err
	}
	if len(v.ImageMetadata) == 0 {
		return nil, nephos.Errorf(nephos.ErrNotFound, "Glance metadata for volume/snapshot %s cannot be found.", v.ID)
	}
	return httpapi.OK(object{"metadata": v.ImageMetadata}), nil
}
