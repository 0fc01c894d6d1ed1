package nova

import (
	"slices"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

// ignoredSortKeys are taken and not heeded before 2.75.
var ignoredSortKeys = []string{
	"architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted", "deleted_at",
	"disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data", "launched_on", "memory_mb", "os_type",
	"reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus", "vm_mode",
}

// serverSortKeys are those that servers can be sorted by.
var serverSortKeys = []string{
	"access_ip_v4", "access_ip_v6", "auto_disk_config", "availability_zone", "config_drive", "created_at", "display_description",
	"display_name", "host", "hostname", "image_ref", "instance_type_id", "kernel_id", "key_name", "launch_index", "launched_at",
	"locked_by", "node", "power_state", "progress", "project_id", "ramdisk_id", "root_device_name", "task_state", "terminated_at",
	"updated_at", "user_id", "uuid", "vm_state",
}

// constantSortKeys have the same value for all servers, or none that orders them.
var constantSortKeys = []string{"kernel_id", "ramdisk_id", "progress", "locked_by"}

// joinedParams are the names of tables that Nova refuses to be filtered by.
var joinedParams = []string{"block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups", "pci_devices"}

// allParams are the query parameters that a list of servers takes.
var allParams = append([]string{
	"user_id", "project_id", "tenant_id", "launch_index", "image_ref", "image", "kernel_id", "ramdisk_id", "hostname", "key_name",
	"power_state", "vm_state", "task_state", "host", "node", "flavor", "reservation_id", "launched_at", "terminated_at",
	"availability_zone", "name", "display_name", "description", "display_description", "locked_by", "uuid", "root_device_name",
	"config_drive", "access_ip_v4", "access_ip_v6", "auto_disk_config", "progress", "sort_key", "sort_dir", "all_tenants",
	"soft_deleted", "deleted", "status", "changes-since", "changes-before", "ip", "ip6", "created_at", "limit", "marker", "tags",
	"tags-any", "not-tags", "not-tags-any", "locked",
}, joinedParams...)

// notBoolean is what Nova says of a filter that is not a truth value.
const notBoolean = "Unrecognized value '%s', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'"

// userParams are the filters that everybody may use, with the minor version
// from which.
var userParams = map[string]int{
	"reservation_id": 1, "name": 1, "status": 1, "image": 1, "flavor": 1, "ip": 1, "changes-since": 1, "all_tenants": 1,
	"ip6": 5, "tags": 26, "tags-any": 26, "not-tags": 26, "not-tags-any": 26, "changes-before": 66, "locked": 73,
	"availability_zone": 83, "config_drive": 83, "key_name": 83, "created_at": 83, "launched_at": 83, "terminated_at": 83,
	"power_state": 83, "task_state": 83, "vm_state": 83, "progress": 83, "user_id": 83, "hostname": 90,
}

func (a *api) serverPage(r *httpapi.Request) (nephos.Page, error) {
	o := httpapi.PageOptions{Style: httpapi.Nova, SortKeys: serverSortKeys, DefaultSort: []nephos.SortKey{{Key: "created_at", Desc: true}}}
	if atLeast(r, 73) {
		o.SortKeys = append(slices.Clone(o.SortKeys), "locked")
	}
	if !atLeast(r, 75) {
		o.SortKeys = append(slices.Clone(o.SortKeys), ignoredSortKeys...)
		o.SortKeys = append(o.SortKeys, "locked")
	}
	for _, dir := range r.Query()["sort_dir"] {
		if dir != "asc" && dir != "desc" && dir != "" {
			return nephos.Page{}, invalid("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'").WithField("sort_dir")
		}
	}
	p, err := r.Page(o)
	if err != nil {
		return p, err
	}
	for _, k := range p.Sort {
		if (k.Key == "host" || k.Key == "node") && !a.Policy.Allowed(r.Context(), "context_is_admin", nil) {
			return p, nephos.Errorf(nephos.ErrForbidden, "Only administrators can sort servers by %s", k.Key)
		}
	}
	p.Sort = slices.DeleteFunc(p.Sort, func(k nephos.SortKey) bool {
		return slices.Contains(ignoredSortKeys, k.Key) || slices.Contains(constantSortKeys, k.Key) || k.Key == "locked" && !atLeast(r, 73)
	})
	return p, nil
}

// serverFilter reads the filters of a list. It reports false when nothing can
// match.
func (a *api) serverFilter(r *httpapi.Request) (f compute.ServerFilter, any bool, err error) {
	q := r.Query()
	admin := a.Policy.Allowed(r.Context(), "os_compute_api:servers:allow_all_filters", nil)
	given := map[string]string{}
	for _, name := range sortedKeys(q) {
		if atLeast(r, 75) && !slices.Contains(allParams, name) && !strings.HasPrefix(name, "_") {
			return f, false, invalid("%s does not match any of the regexes: '^_'", quote(name)).WithField(clip(name))
		}
		since, ok := userParams[name]
		if admin || ok && atLeast(r, since) {
			given[name] = q[name][len(q[name])-1]
		}
	}
	for name := range given {
		if slices.Contains(joinedParams, name) || strings.HasPrefix(name, "_") {
			return f, false, invalid("Invalid filter field: %s.", clip(name)).WithField(clip(name))
		}
	}
	if any, err = a.statusFilter(r, q["status"], &f); err != nil || !any {
		return f, any, err
	}
	if err := timeFilters(r, given, &f); err != nil {
		return f, false, err
	}
	if err := a.scopeFilters(given, admin, &f); err != nil {
		return f, false, err
	}
	if slices.Equal(f.VMStates, []string{compute.Deleted}) {
		if !admin {
			return f, false, nephos.Errorf(nephos.ErrForbidden, "Only administrators may list deleted instances")
		}
		f.Deleted = ptr(true)
	}
	f.Exact = map[string]string{}
	for name, v := range given {
		if strings.ContainsRune(v, 0) {
			return f, false, nil // no database has it
		}
		switch name {
		case "name", "display_name":
			f.Name = v
		case "ip":
			f.IP = v
		case "ip6":
			f.IP6 = v
		case "uuid":
			f.IDs = []string{v}
		case "image", "image_ref":
			f.Exact["image"] = v
		case "display_description", "description":
			f.Exact["description"] = v
		case "created_at", "launched_at", "terminated_at":
			t, err := parseTime(v)
			if err != nil {
				return f, false, nil
			}
			if f.At == nil {
				f.At = map[string]time.Time{}
			}
			f.At[name] = t
		case "progress":
			if v != "0" { // nothing here tells how far it is
				return f, false, nil
			}
		case "kernel_id", "ramdisk_id":
			if v != "" { // no image here has another one beside it
				return f, false, nil
			}
		case "auto_disk_config":
			f.Exact["disk_config"] = diskConfig(v)
		case "flavor", "host", "node", "hostname", "key_name", "availability_zone", "reservation_id", "root_device_name",
			"launch_index", "power_state", "access_ip_v4", "access_ip_v6", "locked_by":
			f.Exact[name] = v
		case "config_drive":
			b, known := httpapi.ParseBool(v)
			if !known && v != "" {
				return f, false, nil
			}
			f.Exact[name] = ""
			if b {
				f.Exact[name] = "True"
			}
		case "task_state", "vm_state":
			if f.Exact[name] = strings.ToLower(v); v == "None" {
				f.Exact[name] = ""
			}
		case "user_id":
			f.UserID = v
		case "tags", "tags-any", "not-tags", "not-tags-any":
			list := strings.Split(v, ",")
			switch name {
			case "tags":
				f.Tags = list
			case "tags-any":
				f.TagsAny = list
			case "not-tags":
				f.NotTags = list
			default:
				f.NotTagsAny = list
			}
		case "locked":
			b, ok := httpapi.ParseBool(v)
			if !ok {
				return f, false, invalid(notBoolean, clip(v)).WithField("locked")
			}
			f.Locked = &b
		}
	}
	return f, true, nil
}

// diskConfig reads the filter for how disks are laid out, which Nova keeps as a
// truth value.
func diskConfig(v string) string {
	switch auto, known := httpapi.ParseBool(v); {
	case !known:
		return v
	case auto:
		return "AUTO"
	}
	return "MANUAL"
}

// statusFilter turns statuses into states and tasks.
func (a *api) statusFilter(r *httpapi.Request, list []string, f *compute.ServerFilter) (bool, error) {
	if len(list) == 0 {
		return true, nil
	}
	anyTask := false
	for _, status := range list {
		switch status := strings.ToUpper(status); status {
		case "REBOOT":
			f.VMStates, f.TaskStates = append(f.VMStates, compute.Active), append(f.TaskStates, compute.TaskRebooting)
		case "HARD_REBOOT":
			f.VMStates, f.TaskStates = append(f.VMStates, compute.Active), append(f.TaskStates, compute.TaskRebootingHard)
		default:
			for state, name := range foreignStatuses {
				if name == status {
					f.VMStates, anyTask = append(f.VMStates, state), true
				}
			}
			for state, name := range statuses {
				if name == status {
					f.VMStates, anyTask = append(f.VMStates, state), true
				}
			}
		}
	}
	if len(f.VMStates) == 0 {
		if atLeast(r, 38) {
			return false, invalid("Invalid status value").WithField("status")
		}
		return false, nil
	}
	if anyTask {
		f.TaskStates = nil
	}
	return true, nil
}

// foreignStatuses are Nova's that no server here ever has.
var foreignStatuses = map[string]string{
	"resized": "VERIFY_RESIZE", "suspended": "SUSPENDED", "rescued": "RESCUE", "soft-delete": "SOFT_DELETED", "shelved": "SHELVED",
	"shelved_offloaded": "SHELVED_OFFLOADED",
}

func timeFilters(r *httpapi.Request, given map[string]string, f *compute.ServerFilter) error {
	for name, to := range map[string]**time.Time{"changes-since": &f.Since, "changes-before": &f.Before} {
		v, ok := given[name]
		if !ok || name == "changes-before" && !atLeast(r, 66) {
			continue
		}
		t, err := parseTime(v)
		if err != nil {
			return invalid("Invalid input for query parameters %s. Value: %s. %s is not a 'date-time'", name, clip(v), quote(v)).WithField(name)
		}
		*to = &t
	}
	if f.Since != nil && f.Before != nil && f.Before.Before(*f.Since) {
		return invalid("The value of changes-since must be less than or equal to changes-before.").WithField("changes-since")
	}
	return nil
}

// parseTime reads an ISO 8601 time; one without a zone is in UTC.
func parseTime(s string) (t time.Time, err error) {
	s = strings.ReplaceAll(s, " ", "+") // a plus that was not escaped
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02+15:04:05", "2006-01-02",
	} {
		if t, err = time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return t, err
}

// scopeFilters reads whose servers are listed, and whether deleted ones are.
func (a *api) scopeFilters(given map[string]string, admin bool, f *compute.ServerFilter) error {
	if v, ok := given["all_tenants"]; ok {
		b, good := httpapi.ParseBool(v)
		switch {
		case v == "" || good && b:
			f.AllProjects = true
		case !good:
			return invalid(notBoolean, clip(v)).WithField("all_tenants")
		}
	}
	if f.AllProjects {
		if f.ProjectID = given["tenant_id"]; f.ProjectID == "" {
			f.ProjectID = given["project_id"]
		}
	}
	v, ok := given["deleted"]
	switch {
	case ok && admin:
		b, _ := httpapi.ParseBool(v)
		f.Deleted = &b
	case f.Since == nil && f.Before == nil:
		f.Deleted = ptr(false)
	}
	return nil
}
