package compute

import "github.com/nephos-cloud/nephos/identity/policy"

func serversRule(name string) string { return "os_compute_api:servers:" + name }

func lockRule(name string) string { return "os_compute_api:os-lock-server:" + name }

// rule is a short way to write one down.
func rule(name, check string, operations ...string) policy.Rule {
	return policy.Rule{Name: name, Check: check, Operations: operations, ScopeTypes: []string{"project"}}
}

// serverRules are the rules about servers, by Nova's names and with its
// defaults.
func serverRules() []policy.Rule {
	const (
		reader = policy.RuleProjectReaderOrAdmin
		member = policy.RuleProjectMemberOrAdmin
		admin  = policy.RuleAdmin
		action = "POST /servers/{server_id}/action"
	)
	server := func(name, check string, ops ...string) policy.Rule { return rule(serversRule(name), check, ops...) }
	rules := []policy.Rule{
		server("index", reader, "GET /servers"),
		server("detail", reader, "GET /servers/detail"),
		server("index:get_all_tenants", admin, "GET /servers"),
		server("detail:get_all_tenants", admin, "GET /servers/detail"),
		server("allow_all_filters", admin, "GET /servers", "GET /servers/detail"),
		server("show", reader, "GET /servers/{server_id}"),
		server("show:flavor-extra-specs", reader, "GET /servers/{server_id}", "GET /servers/detail"),
		server("show:host_status", admin, "GET /servers/{server_id}", "GET /servers/detail"),
		server("show:host_status:unknown-only", admin, "GET /servers/{server_id}", "GET /servers/detail"),
		server("create", member, "POST /servers"),
		server("create:forced_host", admin, "POST /servers"),
		server("create:attach_volume", member, "POST /servers"),
		server("create:attach_network", member, "POST /servers"),
		server("create:trusted_certs", member, "POST /servers"),
		server("create:zero_disk_flavor", admin, "POST /servers"),
		rule("compute:servers:create:requested_destination", admin, "POST /servers"),
		server("delete", member, "DELETE /servers/{server_id}"),
		server("update", member, "PUT /servers/{server_id}"),
		rule("os_compute_api:os-extended-server-attributes", admin, "GET /servers/{server_id}", "GET /servers/detail"),
		rule("os_compute_api:os-deferred-delete:force", member, action+" (forceDelete)"),
		rule("os_compute_api:os-deferred-delete:restore", member, action+" (restore)"),
		rule("os_compute_api:os-pause-server:pause", member, action+" (pause)"),
		rule("os_compute_api:os-pause-server:unpause", member, action+" (unpause)"),
		rule(lockRule("lock"), member, action+" (lock)"),
		rule(lockRule("unlock"), member, action+" (unlock)"),
		rule(lockRule("unlock:unlock_override"), admin, action+" (unlock)"),
		rule("os_compute_api:os-admin-actions:reset_state", admin, action+" (os-resetState)"),
		rule("os_compute_api:os-console-output", member, action+" (os-getConsoleOutput)"),
		rule("os_compute_api:os-remote-consoles", member, "POST /servers/{server_id}/remote-consoles"),
		rule("os_compute_api:os-server-password:show", reader, "GET /servers/{server_id}/os-server-password"),
		rule("os_compute_api:os-server-password:clear", member, "DELETE /servers/{server_id}/os-server-password"),
		rule("os_compute_api:os-server-diagnostics", admin, "GET /servers/{server_id}/diagnostics"),
		rule("compute:server:topology:index", reader, "GET /servers/{server_id}/topology"),
		rule("compute:server:topology:host:index", admin, "GET /servers/{server_id}/topology"),
		rule("os_compute_api:servers:migrations:index", admin, "GET /servers/{server_id}/migrations"),
		rule("os_compute_api:servers:migrations:show", admin, "GET /servers/{server_id}/migrations/{migration_id}"),
		rule("os_compute_api:servers:migrations:delete", admin, "DELETE /servers/{server_id}/migrations/{migration_id}"),
		rule("os_compute_api:servers:migrations:force_complete", admin, "POST /servers/{server_id}/migrations/{migration_id}/action (force_complete)"),
		rule("os_compute_api:os-security-groups:list", reader, "GET /servers/{server_id}/os-security-groups"),
		rule("os_compute_api:os-security-groups:get", reader, "GET /os-security-groups"),
		rule("os_compute_api:os-security-groups:show", reader, "GET /os-security-groups/{security_group_id}"),
		rule("os_compute_api:os-security-groups:create", member, "POST /os-security-groups"),
		rule("os_compute_api:os-security-groups:update", member, "PUT /os-security-groups/{security_group_id}"),
		rule("os_compute_api:os-security-groups:delete", member, "DELETE /os-security-groups/{security_group_id}"),
		rule("os_compute_api:os-security-groups:rule:create", member, "POST /os-security-group-rules"),
		rule("os_compute_api:os-security-groups:rule:delete", member, "DELETE /os-security-group-rules/{security_group_id}"),
		rule("os_compute_api:os-security-groups:add", member, action+" (addSecurityGroup)"),
		rule("os_compute_api:os-security-groups:remove", member, action+" (removeSecurityGroup)"),
		rule("os_compute_api:ips:index", reader, "GET /servers/{server_id}/ips"),
		rule("os_compute_api:ips:show", reader, "GET /servers/{server_id}/ips/{network_label}"),
	}
	for _, name := range []string{"reboot", "start", "stop", "resize", "confirm_resize", "revert_resize", "rebuild", "create_image", "trigger_crash_dump"} {
		rules = append(rules, server(name, member, action+" ("+name+")"))
	}
	for name, check := range map[string]string{
		"rescue": member, "unrescue": member, "suspend-server:suspend": member, "suspend-server:resume": member,
		"shelve:shelve": member, "shelve:unshelve": member, "shelve:shelve_offload": admin, "create-backup": member,
		"evacuate": admin, "migrate-server:migrate": admin, "migrate-server:migrate_live": admin, "admin-password": member,
		"multinic:add": member, "multinic:remove": member, "floating-ips:add": member, "floating-ips:remove": member,
	} {
		rules = append(rules, rule("os_compute_api:os-"+name, check, action))
	}
	for name, check := range map[string]string{
		"index": reader, "show": reader, "create": member, "update_all": member, "update": member, "delete": member,
	} {
		rules = append(rules, rule(metadataRule+name, check, "/servers/{server_id}/metadata"))
	}
	for name, check := range map[string]string{
		"index": reader, "show": reader, "update_all": member, "update": member, "delete": member, "delete_all": member,
	} {
		rules = append(rules, rule(tagsRule+name, check, "/servers/{server_id}/tags"))
	}
	for name, check := range map[string]string{"list": reader, "show": reader, "events": admin, "events:details": admin} {
		rules = append(rules, rule("os_compute_api:os-instance-actions:"+name, check, "GET /servers/{server_id}/os-instance-actions"))
	}
	for name, check := range map[string]string{"list": reader, "show": reader, "create": member, "delete": member} {
		rules = append(rules, rule("os_compute_api:os-attach-interfaces:"+name, check, "/servers/{server_id}/os-interface"))
	}
	for name, check := range map[string]string{
		"index": reader, "show": reader, "create": member, "update": member, "delete": member, "swap": policy.RuleAdminOrService,
	} {
		rules = append(rules, rule("os_compute_api:os-volumes-attachments:"+name, check, "/servers/{server_id}/os-volume_attachments"))
	}
	return rules
}
