package cinder

import (
	"maps"

	"github.com/nephos-cloud/nephos/blockstorage"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

func (a *api) attachmentRoutes() []httpapi.Route {
	list := []string{"volume:get_all"}
	const first = "3.27"
	return []httpapi.Route{
		{Pattern: at("POST", "/attachments"), Min: first, Rules: []string{"volume:attachment_create"}, Handler: a.createAttachment},
		{Pattern: at("GET", "/attachments"), Min: first, Rules: list, Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return a.listAttachments(r, false) }},
		{Pattern: at("GET", "/attachments/detail"), Min: first, Rules: list, Handler: func(r *httpapi.Request) (*httpapi.Response, error) { return a.listAttachments(r, true) }},
		{Pattern: at("GET", "/attachments/{id}"), Min: first, Rules: []string{"volume:get"}, Wait: waitForAttachment, Handler: a.showAttachment},
		{Pattern: at("PUT", "/attachments/{id}"), Min: first, Rules: []string{"volume:attachment_update"}, Handler: a.connectAttachment},
		{Pattern: at("DELETE", "/attachments/{id}"), Min: first, Rules: []string{"volume:attachment_delete"}, Handler: a.deleteAttachment},
		{
			Pattern: at("POST", "/attachments/{id}/action"), Min: "3.44", Rules: []string{"volume:attachment_complete"},
			Handler: func(r *httpapi.Request) (*httpapi.Response, error) {
				return act(r, map[string]action{"os-complete": {run: a.completeAttachment}})
			},
		},
	}
}

func (a *api) createAttachment(r *httpapi.Request) (*httpapi.Response, error) {
	props := map[string]schema.Schema{"instance_uuid": pUUID, "connector": {Types: typeNullObj, Open: true}, "volume_uuid": pUUID}
	if since(r, "3.54") {
		props["mode"] = schema.Schema{Types: typeText, Enum: []any{"rw", "ro"}}
	}
	o, err := decode(r, body("attachment", strict(props, "volume_uuid")))
	if err != nil {
		return nil, err
	}
	in := member(o, "attachment")
	spec := blockstorage.AttachmentSpec{VolumeID: dashed(textOf(in, "volume_uuid")), ServerID: textOf(in, "instance_uuid"), Mode: textOf(in, "mode")}
	if c := member(in, "connector"); len(c) > 0 {
		spec.Connector = c
	}
	at, err := a.Attachments.CreateAttachment(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"attachment": attachmentView(at)}), nil
}

func attachmentSummary(at blockstorage.Attachment) object {
	return object{"id": at.ID, "status": at.Status, "instance": orNull(at.ServerID), "volume_id": at.VolumeID}
}

// attachmentView is an attachment's details.
func attachmentView(at blockstorage.Attachment) object {
	o := attachmentSummary(at)
	o["attached_at"], o["detached_at"] = "", ""
	if at.AttachedAt != nil {
		o["attached_at"] = stamp(*at.AttachedAt)
	}
	o["attach_mode"], o["connection_info"] = at.Mode, connectionInfo(at)
	return o
}

// connectionInfo is how the host reaches the volume. Secrets stay here: the
// cloud's own hosts are told them another way.
func connectionInfo(at blockstorage.Attachment) object {
	if at.Connection == nil {
		return object{}
	}
	o := object{}
	for k, v := range at.Connection.Options {
		o[k] = v
	}
	mode := "rw"
	if at.Mode == "ro" {
		mode = "ro"
	}
	maps.Copy(o, object{
		"driver_volume_type": at.Connection.Type, "attachment_id": at.ID, "volume_id": at.VolumeID, "access_mode": mode,
		"encrypted": false, "qos_specs": nil,
	})
	if qos := at.QoS(); len(qos) > 0 {
		o["qos_specs"] = qos
	}
	if at.Connection.Path != "" {
		o["device_path"] = at.Connection.Path
	}
	return o
}

func (a *api) listAttachments(r *httpapi.Request, detail bool) (*httpapi.Response, error) {
	l, err := a.readList(r, "attachment", "attachment")
	if err != nil {
		return nil, err
	}
	list, _, err := a.Attachments.ListAttachments(r.Context(), blockstorage.AttachmentFilter{AllProjects: l.all, Offset: l.offset, Match: l.match}, l.page)
	if err != nil {
		return nil, err
	}
	if r.NoItems() {
		list = nil
	}
	return httpapi.OK(object{"attachments": attachmentList(list, detail)}), nil
}

func attachmentList(list []blockstorage.Attachment, detail bool) []object {
	out := make([]object, len(list))
	for i, at := range list {
		if out[i] = attachmentSummary(at); detail {
			out[i] = attachmentView(at)
		}
	}
	return out
}

func (a *api) showAttachment(r *httpapi.Request) (*httpapi.Response, error) {
	at, err := a.Attachments.Attachment(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"attachment": attachmentView(at)}), nil
}

func (a *api) connectAttachment(r *httpapi.Request) (*httpapi.Response, error) {
	o, err := decode(r, body("attachment", strict(map[string]schema.Schema{"connector": {Types: typeObject, Open: true, MinProps: 1}}, "connector")))
	if err != nil {
		return nil, err
	}
	at, err := a.Attachments.ConnectAttachment(r.Context(), r.PathValue("id"), member(member(o, "attachment"), "connector"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"attachment": attachmentView(at)}), nil
}

func (a *api) deleteAttachment(r *httpapi.Request) (*httpapi.Response, error) {
	left, err := a.Attachments.DeleteAttachment(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return httpapi.OK(object{"attachments": attachmentList(left, false)}), nil
}

func (a *api) completeAttachment(r *httpapi.Request, id string, _ object) (*httpapi.Response, error) {
	if err := a.Attachments.FinishAttachment(r.Context(), id); err != nil {
		return nil, err
	}
	return httpapi.NoContent(), nil
}
