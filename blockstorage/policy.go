package blockstorage

import "github.com/nephos-cloud/nephos/identity/policy"

const (
	checkReader = "rule:xena_system_admin_or_project_reader"
	checkMember = "rule:xena_system_admin_or_project_member"

	// ruleService stands in for every other rule when a service is calling.
	ruleService = "blockstorage:service"
)

// Rules returns every rule that this package enforces, by Cinder's names and
// with the defaults of its secure RBAC: a reader sees the project's volumes, a
// member changes them, an admin may do anything. One rule is our own: by it the
// cloud's other services attach volumes and make them for servers.
func Rules() []policy.Rule {
	rules := []policy.Rule{
		{
			Name: "xena_system_admin_or_project_reader", Check: "(role:admin) or (role:reader and project_id:%(project_id)s)",
			Description: "Admins, and readers of the resource's project.",
		},
		{
			Name: "xena_system_admin_or_project_member", Check: "(role:admin) or (role:member and project_id:%(project_id)s)",
			Description: "Admins, and members of the resource's project.",
		},
		{Name: ruleService, Check: policy.RuleService, Description: "What the cloud's other services do with volumes."},
	}
	add := func(check string, pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			rules = append(rules, policy.Rule{Name: pairs[i], Check: check, Description: pairs[i+1]})
		}
	}
	add(checkReader,
		"volume:get", "See a volume.",
		"volume:get_all", "List volumes.",
		"volume:get_volume_metadata", "See a volume's metadata.",
		"volume:get_transfer", "See the offer of a volume.",
		"volume:get_all_transfers", "List the offers of volumes.",
		"volume:get_snapshot", "See a snapshot.",
		"volume:get_all_snapshots", "List snapshots.",
		"volume:get_snapshot_metadata", "See a snapshot's metadata.",
		"volume_extension:extended_snapshot_attributes", "See a snapshot's project and progress.",
		"volume_extension:volume_tenant_attribute", "See a volume's project.",
		"volume_extension:volume_encryption_metadata", "See how a volume is encrypted.",
		"volume_extension:volume_image_metadata:show", "See the metadata of the image a volume was made of.",
		"volume_extension:type_get", "See a volume type.",
		"volume_extension:type_get_all", "List volume types.",
		"volume_extension:access_types_extra_specs", "See a volume type's extra specs beside it.",
		"volume_extension:types_extra_specs:index", "List a volume type's extra specs.",
		"volume_extension:types_extra_specs:show", "See an extra spec.",
		"volume_extension:quotas:show", "See a project's quotas.",
		"limits_extension:used_limits", "See what of the limits is used.",
	)
	add(checkMember,
		"volume:create", "Create a volume.",
		"volume:create_from_image", "Create a volume of an image.",
		"volume:update", "Change a volume.",
		"volume:delete", "Delete a volume.",
		"volume:create_volume_metadata", "Add metadata to a volume.",
		"volume:update_volume_metadata", "Change a volume's metadata.",
		"volume:delete_volume_metadata", "Remove metadata from a volume.",
		"volume_extension:volume_image_metadata:set", "Set the image metadata of a volume.",
		"volume_extension:volume_image_metadata:remove", "Remove image metadata from a volume.",
		"volume:extend", "Grow a volume.",
		"volume:extend_attached_volume", "Grow a volume that is attached.",
		"volume:revert_to_snapshot", "Take a volume back to its newest snapshot.",
		"volume:retype", "Change a volume's type.",
		"volume:reimage", "Write an image over a volume.",
		"volume:reimage_reserved", "Write an image over a volume that is reserved.",
		"volume:update_readonly_flag", "Make a volume read-only or writable.",
		"volume_extension:volume_actions:upload_image", "Make an image of a volume.",
		"volume_extension:volume_actions:attach", "Record that a volume is attached.",
		"volume_extension:volume_actions:detach", "Record that a volume is detached.",
		"volume_extension:volume_actions:reserve", "Reserve a volume.",
		"volume_extension:volume_actions:unreserve", "Give a reserved volume back.",
		"volume_extension:volume_actions:begin_detaching", "Mark a volume as being detached.",
		"volume_extension:volume_actions:roll_detaching", "Take that back.",
		"volume_extension:volume_actions:initialize_connection", "Connect a volume to a host.",
		"volume_extension:volume_actions:terminate_connection", "Disconnect a volume from a host.",
		"volume:attachment_create", "Create an attachment.",
		"volume:attachment_update", "Give an attachment its connector.",
		"volume:attachment_delete", "Delete an attachment.",
		"volume:attachment_complete", "Complete an attachment.",
		"volume:multiattach", "Create a volume that several servers may attach.",
		"volume:multiattach_bootable_volume", "Attach a bootable volume to several servers.",
		"volume:create_transfer", "Offer a volume to another project.",
		"volume:accept_transfer", "Accept a volume that is on offer.",
		"volume:delete_transfer", "Take an offer back.",
		"volume:create_snapshot", "Create a snapshot.",
		"volume:update_snapshot", "Change a snapshot.",
		"volume:delete_snapshot", "Delete a snapshot.",
		"volume:update_snapshot_metadata", "Change a snapshot's metadata.",
		"volume:delete_snapshot_metadata", "Remove metadata from a snapshot.",
		"volume_extension:snapshot_actions:update_snapshot_status", "Report how far a snapshot has come.",
		"volume_extension:volume_type_access", "See whether a volume type is public.",
	)
	add(policy.RuleAdminAPI,
		"volume:force_delete", "Delete a volume whatever its state.",
		"volume_extension:volume_host_attribute", "See where a volume lives.",
		"volume_extension:volume_mig_status_attribute", "See how far a volume's migration has come.",
		"volume:update_volume_admin_metadata", "Change a volume's admin metadata.",
		"volume_extension:volume_admin_actions:reset_status", "Set a volume's state by hand.",
		"volume_extension:volume_admin_actions:force_delete", "Delete a volume whatever its state, by an action.",
		"volume_extension:volume_admin_actions:force_detach", "Detach a volume whatever its state.",
		"volume_extension:volume_admin_actions:migrate_volume", "Move a volume to another host.",
		"volume_extension:volume_admin_actions:migrate_volume_completion", "Complete that.",
		"volume_extension:volume_actions:upload_public", "Make a public image of a volume.",
		"volume_extension:snapshot_admin_actions:reset_status", "Set a snapshot's state by hand.",
		"volume_extension:snapshot_admin_actions:force_delete", "Delete a snapshot whatever its state.",
		"volume_extension:volume_type_encryption:create", "Say how volumes of a type are to be encrypted.",
		"volume_extension:volume_type_encryption:get", "See how volumes of a type are to be encrypted.",
		"volume_extension:volume_type_encryption:update", "Change how volumes of a type are to be encrypted.",
		"volume_extension:volume_type_encryption:delete", "Take it back that volumes of a type are to be encrypted.",
		"volume_extension:qos_specs_manage:get_all", "List QoS specs, and the volume types that are associated with them.",
		"volume_extension:qos_specs_manage:get", "See QoS specs.",
		"volume_extension:qos_specs_manage:create", "Create QoS specs.",
		"volume_extension:qos_specs_manage:update", "Change QoS specs, and which volume types are associated with them.",
		"volume_extension:qos_specs_manage:delete", "Delete QoS specs, or keys of them.",
		"volume_extension:list_manageable", "See what in the pools could be managed.",
		"volume_extension:volume_manage", "Take in a volume that lies in a pool.",
		"volume_extension:volume_unmanage", "Forget a volume and leave its bytes.",
		"volume_extension:type_create", "Create a volume type.",
		"volume_extension:type_update", "Change a volume type.",
		"volume_extension:type_delete", "Delete a volume type.",
		"volume_extension:access_types_qos_specs_id", "See a volume type's QoS specs.",
		"volume_extension:types_extra_specs:create", "Add extra specs to a volume type.",
		"volume_extension:types_extra_specs:update", "Change an extra spec.",
		"volume_extension:types_extra_specs:delete", "Remove an extra spec.",
		"volume_extension:types_extra_specs:read_sensitive", "See all extra specs, not just those for users.",
		"volume_extension:volume_type_access:addProjectAccess", "Give a project access to a volume type.",
		"volume_extension:volume_type_access:removeProjectAccess", "Take it away.",
		"volume_extension:volume_type_access:get_all_for_type", "See which projects have access to a volume type.",
		"volume_extension:default_set_or_update", "Set a project's default volume type.",
		"volume_extension:default_get", "See a project's default volume type.",
		"volume_extension:default_get_all", "List the projects' default volume types.",
		"volume_extension:default_unset", "Unset a project's default volume type.",
		"volume_extension:quotas:update", "Change a project's quotas.",
		"volume_extension:quotas:delete", "Reset a project's quotas.",
		"volume_extension:quota_classes:get", "See the default quotas.",
		"volume_extension:quota_classes:update", "Change the default quotas.",
		"volume_extension:services:index", "List the services.",
		"volume_extension:services:update", "Enable and disable services.",
		"volume:freeze_host", "Freeze a backend.",
		"volume:thaw_host", "Thaw a backend.",
		"volume:failover_host", "Have a backend's replica take over.",
		"volume_extension:hosts", "List the hosts.",
		"scheduler_extension:scheduler_stats:get_pools", "List the pools.",
	)
	return rules
}
