package nova

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity/policy"
)

// nullable is a field that is there and may be null.
type nullable[T any] *T

// textOrNull is null for an empty text.
func textOrNull(s string) *nullable[string] {
	if s == "" {
		return new(nullable[string])
	}
	return ptr(nullable[string](&s))
}

// serverBody is a server of the newest microversion. Fields that an older one, or
// a caller without the right to them, does not see are left out when nil.
type serverBody struct {
	ID         string               `json:"id"`
	Name       string               `json:"name"`
	Status     string               `json:"status"`
	TenantID   string               `json:"tenant_id"`
	UserID     string               `json:"user_id"`
	Metadata   map[string]string    `json:"metadata"`
	HostID     string               `json:"hostId"`
	Image      any                  `json:"image"`
	Flavor     any                  `json:"flavor"`
	Created    string               `json:"created"`
	Updated    string               `json:"updated"`
	Addresses  map[string][]address `json:"addresses"`
	AccessIPv4 string               `json:"accessIPv4"`
	AccessIPv6 string               `json:"accessIPv6"`
	Links      []httpapi.Link       `json:"links"`
	DiskConfig string               `json:"OS-DCF:diskConfig"`
	Fault      *faultBody           `json:"fault,omitempty"`
	Progress   *int                 `json:"progress,omitempty"`

	Zone            *string             `json:"OS-EXT-AZ:availability_zone,omitempty"`
	PinnedZone      *nullable[string]   `json:"pinned_availability_zone,omitempty"`
	ConfigDrive     *string             `json:"config_drive,omitempty"`
	KeyName         *nullable[string]   `json:"key_name,omitempty"`
	LaunchedAt      *nullable[string]   `json:"OS-SRV-USG:launched_at,omitempty"`
	TerminatedAt    *nullable[string]   `json:"OS-SRV-USG:terminated_at,omitempty"`
	SecurityGroups  []nameBody          `json:"security_groups,omitempty"`
	TaskState       *nullable[string]   `json:"OS-EXT-STS:task_state,omitempty"`
	VMState         *string             `json:"OS-EXT-STS:vm_state,omitempty"`
	PowerState      *int                `json:"OS-EXT-STS:power_state,omitempty"`
	Volumes         *[]volumeBody       `json:"os-extended-volumes:volumes_attached,omitempty"`
	HostStatus      *string             `json:"host_status,omitempty"`
	Locked          *bool               `json:"locked,omitempty"`
	LockedReason    *nullable[string]   `json:"locked_reason,omitempty"`
	Description     *nullable[string]   `json:"description,omitempty"`
	Tags            *[]string           `json:"tags,omitempty"`
	TrustedCerts    *nullable[[]string] `json:"trusted_image_certificates,omitempty"`
	ServerGroups    *[]string           `json:"server_groups,omitempty"`
	Host            *nullable[string]   `json:"OS-EXT-SRV-ATTR:host,omitempty"`
	InstanceName    *string             `json:"OS-EXT-SRV-ATTR:instance_name,omitempty"`
	Hypervisor      *nullable[string]   `json:"OS-EXT-SRV-ATTR:hypervisor_hostname,omitempty"`
	ReservationID   *string             `json:"OS-EXT-SRV-ATTR:reservation_id,omitempty"`
	LaunchIndex     *int                `json:"OS-EXT-SRV-ATTR:launch_index,omitempty"`
	Hostname        *string             `json:"OS-EXT-SRV-ATTR:hostname,omitempty"`
	KernelID        *string             `json:"OS-EXT-SRV-ATTR:kernel_id,omitempty"`
	RamdiskID       *string             `json:"OS-EXT-SRV-ATTR:ramdisk_id,omitempty"`
	RootDevice      *nullable[string]   `json:"OS-EXT-SRV-ATTR:root_device_name,omitempty"`
	UserData        *nullable[string]   `json:"OS-EXT-SRV-ATTR:user_data,omitempty"`
	hostnameOfOwner bool                // the hostname is there for want of the other attributes
}

type nameBody struct {
	Name string `json:"name"`
}

type volumeBody struct {
	ID                  string `json:"id"`
	DeleteOnTermination *bool  `json:"delete_on_termination,omitempty"`
}

type address struct {
	Version int    `json:"version"`
	Addr    string `json:"addr"`
	Type    string `json:"OS-EXT-IPS:type,omitempty"`
	MAC     string `json:"OS-EXT-IPS-MAC:mac_addr,omitempty"`
}

type faultBody struct {
	Code    int    `json:"code"`
	Created string `json:"created"`
	Message string `json:"message"`
	Details string `json:"details,omitempty"`
}

type refBody struct {
	ID    string         `json:"id"`
	Links []httpapi.Link `json:"links"`
}

type flavorCopy struct {
	VCPUs        int                `json:"vcpus"`
	RAM          int                `json:"ram"`
	Disk         int                `json:"disk"`
	Ephemeral    int                `json:"ephemeral"`
	Swap         int                `json:"swap"`
	OriginalName string             `json:"original_name"`
	ExtraSpecs   *map[string]string `json:"extra_specs,omitempty"`
	id           string
}

// sight is what the caller may see of servers besides what everybody does.
type sight struct {
	extended, extraSpecs, hostStatus, details bool
	unknownOnly                               bool // of the host status
}

func (a *api) sight(ctx context.Context, projectID string) sight {
	can := func(rule string) bool { return a.Policy.Allowed(ctx, rule, policy.Target{"project_id": projectID}) }
	v := sight{
		extended:   can("os_compute_api:os-extended-server-attributes"),
		extraSpecs: can("os_compute_api:servers:show:flavor-extra-specs"),
		hostStatus: can("os_compute_api:servers:show:host_status"),
		details:    a.Policy.Allowed(ctx, "context_is_admin", nil),
	}
	if !v.hostStatus && can("os_compute_api:servers:show:host_status:unknown-only") {
		v.hostStatus, v.unknownOnly = true, true
	}
	return v
}

const isoTime = "2006-01-02T15:04:05Z"

// usageTime is how Nova writes the times of a server's use: without a zone.
func usageTime(t *time.Time) *nullable[string] {
	if t == nil {
		return new(nullable[string])
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000000")
	return ptr(nullable[string](&s))
}

func ptr[T any](v T) *T { return &v }

// render makes the body of a server for the request's microversion.
func (a *api) render(r *httpapi.Request, s *compute.Server, see sight, edits httpapi.Edits[serverBody]) (*serverBody, error) {
	status := statusOf(s)
	b := &serverBody{
		ID: s.ID, Name: s.Name, Status: status, TenantID: s.ProjectID, UserID: s.UserID, Metadata: s.Metadata, HostID: hostID(s),
		Image: "", Created: s.CreatedAt.UTC().Format(isoTime), Updated: s.UpdatedAt.UTC().Format(isoTime), Addresses: addresses(s),
		AccessIPv4: s.AccessIPv4, AccessIPv6: s.AccessIPv6, Links: serverLinks(r, s.ID), DiskConfig: s.DiskConfig,
		Zone: ptr(s.Zone), PinnedZone: textOrNull(s.PinnedZone), ConfigDrive: ptr(s.ConfigDrive), KeyName: textOrNull(s.KeyName),
		LaunchedAt: usageTime(s.LaunchedAt), TerminatedAt: usageTime(s.DeletedAt), TaskState: textOrNull(s.TaskState),
		VMState: ptr(s.VMState), PowerState: ptr(s.PowerState), Locked: ptr(s.Locked()), LockedReason: textOrNull(s.LockedReason),
		Description: ptr(nullable[string](s.Description)), Tags: &s.Tags, TrustedCerts: new(nullable[[]string]), ServerGroups: &[]string{},
		Hostname: ptr(s.Hostname), hostnameOfOwner: !see.extended,
	}
	if b.Metadata == nil {
		b.Metadata = map[string]string{}
	}
	if s.ImageID != "" {
		b.Image = refBody{s.ImageID, []httpapi.Link{{Rel: "bookmark", Href: bookmark(r, "images/"+s.ImageID)}}}
	}
	flavor := flavorCopy{
		VCPUs: s.Flavor.VCPUs, RAM: s.Flavor.MemoryMiB, Disk: s.Flavor.DiskGiB, Ephemeral: s.Flavor.EphemeralGB,
		Swap: s.Flavor.SwapMiB, OriginalName: s.Flavor.Name, id: s.FlavorID,
	}
	if see.extraSpecs {
		specs := s.Flavor.ExtraSpecs
		if specs == nil {
			specs = map[string]string{}
		}
		flavor.ExtraSpecs = &specs
	}
	b.Flavor = flavor
	if s.Fault != nil && (status == "ERROR" || status == "DELETED") {
		b.Fault = &faultBody{Code: s.Fault.Code, Created: s.Fault.At.UTC().Format(isoTime), Message: s.Fault.Message}
		if see.details || s.Fault.Code != 500 {
			b.Fault.Details = s.Fault.Details
		}
	}
	switch status {
	case "ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING":
		b.Progress = ptr(0)
	}
	for _, n := range s.NICs {
		for _, g := range n.Groups {
			b.SecurityGroups = append(b.SecurityGroups, nameBody{g})
		}
	}
	volumes := make([]volumeBody, len(s.Disks))
	for i, d := range s.Disks {
		volumes[i] = volumeBody{d.VolumeID, ptr(d.DeleteOnTermination)}
	}
	b.Volumes = &volumes
	if s.GroupID != "" {
		b.ServerGroups = &[]string{s.GroupID}
	}
	if see.hostStatus && (!see.unknownOnly || s.HostStatus == "UNKNOWN") {
		b.HostStatus = ptr(s.HostStatus)
	}
	if see.extended {
		b.Host, b.Hypervisor = textOrNull(s.Host), textOrNull(s.Node)
		b.InstanceName, b.ReservationID, b.LaunchIndex = ptr("instance-"+s.ID[:8]), ptr(s.ReservationID), ptr(s.LaunchIndex)
		b.KernelID, b.RamdiskID, b.RootDevice, b.UserData = ptr(""), ptr(""), textOrNull(s.RootDevice), textOrNull(s.UserData)
	}
	return b, edits.Apply(b)
}

// hostID is a name for the server's host that differs from project to project.
func hostID(s *compute.Server) string {
	if s.Host == "" {
		return ""
	}
	sum := sha256.Sum224([]byte(s.ProjectID + s.Host))
	return hex.EncodeToString(sum[:])
}

// addresses are the server's by network. A server that is being built shows none.
func addresses(s *compute.Server) map[string][]address {
	out := map[string][]address{}
	if s.VMState == compute.Building {
		return out
	}
	for _, n := range s.NICs {
		for _, a := range n.Addresses {
			out[n.Network] = append(out[n.Network], address{ipVersion(a.IP), a.IP, "fixed", n.MAC})
			for _, f := range a.Floating {
				out[n.Network] = append(out[n.Network], address{ipVersion(f), f, "floating", n.MAC})
			}
		}
	}
	return out
}

func ipVersion(ip string) int {
	if strings.Contains(ip, ":") {
		return 6
	}
	return 4
}

// bookmark is the URL of a resource without a version.
func bookmark(r *httpapi.Request, path string) string { return r.Link("/"+path, nil) }

func serverLinks(r *httpapi.Request, id string) []httpapi.Link {
	return []httpapi.Link{{Rel: "self", Href: r.Link("/v2.1/servers/"+id, nil)}, {Rel: "bookmark", Href: bookmark(r, "servers/"+id)}}
}

// statusOf is the server's status, made of its state and task.
func statusOf(s *compute.Server) string {
	switch {
	case s.Deleted:
		return "DELETED"
	case s.VMState == compute.Active && s.TaskState == compute.TaskRebooting:
		return "REBOOT"
	case s.VMState == compute.Active && s.TaskState == compute.TaskRebootingHard:
		return "HARD_REBOOT"
	}
	return statuses[s.VMState]
}

var statuses = map[string]string{
	compute.Active: "ACTIVE", compute.Building: "BUILD", compute.Stopped: "SHUTOFF", compute.Paused: "PAUSED", compute.Suspended: "SUSPENDED",
	compute.Errored: "ERROR", compute.Deleted: "DELETED",
}
