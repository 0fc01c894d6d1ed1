package nova

import (
	"errors"
	"regexp"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

func (a *api) attachmentRoutes() []httpapi.Route {
	const server = root + "/servers/{id}"
	nic := func(name string) []string { return rules("os-attach-interfaces:" + name) }
	vol := func(name string) []string { return rules("os-volumes-attachments:" + name) }
	return []httpapi.Route{
		{Pattern: "GET " + server + "/os-interface", Rules: nic("list"), Handler: a.listInterfaces},
		{Pattern: "GET " + server + "/os-interface/{port}", Rules: nic("show"), Handler: a.showInterface},
		{Pattern: "POST " + server + "/os-interface", Rules: nic("create"), Handler: a.attachInterface},
		{Pattern: "DELETE " + server + "/os-interface/{port}", Rules: nic("delete"), Handler: a.detachInterface},
		{Pattern: "GET " + server + "/os-volume_attachments", Rules: vol("index"), Handler: a.listVolumes},
		{Pattern: "GET " + server + "/os-volume_attachments/{volume}", Rules: vol("show"), Handler: a.showVolume},
		{Pattern: "POST " + server + "/os-volume_attachments", Rules: vol("create"), Handler: a.attachVolume},
		{Pattern: "PUT " + server + "/os-volume_attachments/{volume}", Rules: append(vol("update"), vol("swap")...), Handler: a.updateVolume},
		{Pattern: "DELETE " + server + "/os-volume_attachments/{volume}", Rules: vol("delete"), Handler: a.detachVolume},
	}
}

// volumeAttachment is an attachment of the newest microversion.
type volumeAttachment struct {
	ID                  *string           `json:"id,omitempty"`
	VolumeID            string            `json:"volumeId"`
	ServerID            string            `json:"serverId"`
	Device              string            `json:"device,omitempty"`
	Tag                 *nullable[string] `json:"tag,omitempty"`
	DeleteOnTermination *bool             `json:"delete_on_termination,omitempty"`
	AttachmentID        *nullable[string] `json:"attachment_id,omitempty"`
	BDM                 *string           `json:"bdm_uuid,omitempty"`
}

var volumeEdits = httpapi.Edits[volumeAttachment]{
	{Version: httpapi.V(2, 89), Apply: func(b *volumeAttachment) error {
		b.ID, b.AttachmentID, b.BDM = &b.VolumeID, nil, nil
		return nil
	}},
	{Version: httpapi.V(2, 79), Apply: func(b *volumeAttachment) error { b.DeleteOnTermination = nil; return nil }},
	{Version: httpapi.V(2, 70), Apply: func(b *volumeAttachment) error { b.Tag = nil; return nil }},
}

func renderVolume(r *httpapi.Request, d *compute.Disk) (*volumeAttachment, error) {
	b := &volumeAttachment{
		VolumeID: d.VolumeID, ServerID: d.ServerID, Device: d.Device, Tag: textOrNull(d.Tag),
		DeleteOnTermination: ptr(d.DeleteOnTermination), AttachmentID: textOrNull(d.AttachmentID), BDM: ptr(d.ID),
	}
	return b, volumeEdits.Down(r.Version, b)
}

func (a *api) listVolumes(r *httpapi.Request) (*httpapi.Response, error) {
	if err := onlyParams(r, 75, "limit", "offset"); err != nil {
		return nil, err
	}
	if err := pageNumbers(r); err != nil {
		return nil, err
	}
	limit, err := r.Int("limit", 0, 0, 1<<30)
	if err != nil {
		return nil, err
	}
	offset, err := r.Int("offset", 0, 0, 1<<30)
	if err != nil {
		return nil, err
	}
	disks, err := a.Attachments.ListVolumeAttachments(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	disks = disks[min(offset, len(disks)):]
	if limit > 0 {
		disks = disks[:min(limit, len(disks))]
	}
	out := make([]*volumeAttachment, len(disks))
	for i := range disks {
		if out[i], err = renderVolume(r, &disks[i]); err != nil {
			return nil, err
		}
	}
	return httpapi.OK(map[string]any{"volumeAttachments": out}), nil
}

func (a *api) showVolume(r *httpapi.Request) (*httpapi.Response, error) {
	d, err := a.Attachments.VolumeAttachment(r.Context(), r.PathValue("id"), r.PathValue("volume"))
	if err != nil {
		return nil, err
	}
	return oneVolume(r, &d)
}

func oneVolume(r *httpapi.Request, d *compute.Disk) (*httpapi.Response, error) {
	b, err := renderVolume(r, d)
	if err != nil {
		return nil, err
	}
	return httpapi.OK(map[string]any{"volumeAttachment": b}), nil
}

var deviceForm = regexp.MustCompile(`(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$`)

type volumeSpec struct {
	VolumeID            *string       `json:"volumeId"`
	Device              *string       `json:"device"`
	Tag                 *string       `json:"tag"`
	DeleteOnTermination *httpapi.Bool `json:"delete_on_termination"`
	ServerID            *string       `json:"serverId"`
	ID                  *string       `json:"id"`
}

func (a *api) attachVolume(r *httpapi.Request) (*httpapi.Response, error) {
	if err := obey(r, attachSchema(r, false)); err != nil {
		return nil, err
	}
	in, _, err := member[volumeSpec](r, "volumeAttachment")
	if err != nil {
		return nil, err
	}
	req := compute.AttachRequest{VolumeID: *in.VolumeID, Device: orEmpty(in.Device), Tag: orEmpty(in.Tag), SharedToo: atLeast(r, 60)}
	if in.DeleteOnTermination != nil {
		req.DeleteOnTermination = bool(*in.DeleteOnTermination)
	}
	d, err := a.Attachments.AttachVolume(r.Context(), r.PathValue("id"), req)
	if err != nil {
		return nil, err
	}
	b, err := renderVolume(r, &d)
	if err != nil {
		return nil, err
	}
	b.ID, b.AttachmentID, b.BDM = &b.VolumeID, nil, nil // as it has always been in this answer
	return httpapi.OK(map[string]any{"volumeAttachment": b}), nil
}

// updateVolume changes whether the volume goes with the server. Another volume
// in its place (a swap) is not built.
func (a *api) updateVolume(r *httpapi.Request) (*httpapi.Response, error) {
	if err := obey(r, attachSchema(r, true)); err != nil {
		return nil, err
	}
	in, _, err := member[volumeSpec](r, "volumeAttachment")
	if err != nil {
		return nil, err
	}
	serverID, volumeID := r.PathValue("id"), r.PathValue("volume")
	if *in.VolumeID != volumeID || !atLeast(r, 85) {
		return nil, a.refuseSwap(r, serverID, volumeID)
	}
	d, err := a.Attachments.VolumeAttachment(r.Context(), serverID, volumeID)
	if err != nil {
		return nil, noDevice(err, volumeID)
	}
	for field, ok := range map[string]bool{
		"id": in.ID == nil || *in.ID == volumeID || *in.ID == d.AttachmentID, "serverId": in.ServerID == nil || *in.ServerID == serverID,
		"device": in.Device == nil || *in.Device == d.Device, "tag": in.Tag == nil || *in.Tag == d.Tag,
	} {
		if !ok {
			return nil, invalid("The %s property is not mutable", field).WithField(field)
		}
	}
	goes := d.DeleteOnTermination
	if in.DeleteOnTermination != nil {
		goes = bool(*in.DeleteOnTermination)
	}
	err = a.Attachments.UpdateVolumeAttachment(r.Context(), serverID, volumeID, goes)
	if err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}

// noDevice says of a volume that is not attached what updates say.
func noDevice(err error, volumeID string) error {
	if errors.Is(err, nephos.ErrNotFound) && strings.Contains(err.Error(), "is not attached to volume") {
		return nephos.Errorf(nephos.ErrNotFound, "No volume Block Device Mapping with id %s.", clip(volumeID))
	}
	return err
}

func (a *api) refuseSwap(r *httpapi.Request, serverID, volumeID string) error {
	if _, err := a.Servers.Server(r.Context(), serverID); err != nil {
		return err
	}
	if err := a.Policy.Enforce(r.Context(), "os_compute_api:os-volumes-attachments:swap", nil); err != nil {
		return err
	}
	if _, err := a.Attachments.VolumeAttachment(r.Context(), serverID, volumeID); err != nil {
		return err
	}
	return unsupported("Putting another volume in an attached one's place is not built here.")
}

func (a *api) detachVolume(r *httpapi.Request) (*httpapi.Response, error) {
	if err := a.Attachments.DetachVolume(r.Context(), r.PathValue("id"), r.PathValue("volume")); err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}
