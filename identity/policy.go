package identity

import (
	"strings"

	"github.com/nephos-cloud/nephos/identity/policy"
)

const (
	admin               = "rule:admin_required"
	adminOrSystemReader = admin + " or (role:reader and system_scope:all)"
	// roleInDomain holds for a role of the caller's domain and for global ones.
	roleInDomain = "(domain_id:%(target.role.domain_id)s or None:%(target.role.domain_id)s)"
)

var (
	projectScope = []string{"project"}
	cloudScopes  = []string{"system", "project"}
	allScopes    = []string{"system", "domain", "project"}
)

// grantsInDomain is the check that the caller has a role in the domain of both
// ends of a grant: the user or group, and the project or domain.
func grantsInDomain(role string) string {
	var ways []string
	for _, actor := range []string{"user", "group"} {
		for _, target := range []string{"project.domain_id", "domain.id"} {
			ways = append(ways, "("+role+" and domain_id:%(target."+actor+".domain_id)s and domain_id:%(target."+target+")s)")
		}
	}
	return "(" + strings.Join(ways, " or ") + ")"
}

func ops(operations ...string) []string { return operations }

// Rules returns every rule that this package enforces, by OpenStack's names and
// with the defaults of its secure RBAC: an admin may do anything, a reader of
// the system sees anything, a manager of a domain manages its users, groups,
// projects and their lesser roles, a reader of a domain sees them, and users see
// themselves.
func Rules() []policy.Rule {
	return []policy.Rule{
		{Name: "admin_required", Check: "role:admin"},
		{Name: "service_role", Check: "role:service"},
		{Name: "service_or_admin", Check: "rule:admin_required or rule:service_role"},
		{Name: "token_subject", Check: "user_id:%(target.token.user_id)s"},
		{
			Name:  "domain_managed_target_role",
			Check: "'manager':%(target.role.name)s or 'member':%(target.role.name)s or 'reader':%(target.role.name)s",
		},

		{Name: "identity:get_application_credential", Check: adminOrSystemReader + " or user_id:%(user_id)s", ScopeTypes: cloudScopes, Operations: ops("GET /v3/users/{user_id}/application_credentials/{application_credential_id}")},
		{Name: "identity:list_application_credentials", Check: adminOrSystemReader + " or user_id:%(user_id)s", ScopeTypes: cloudScopes, Operations: ops("GET /v3/users/{user_id}/application_credentials")},
		{Name: "identity:create_application_credential", Check: "user_id:%(user_id)s", ScopeTypes: projectScope, Operations: ops("POST /v3/users/{user_id}/application_credentials")},
		{Name: "identity:delete_application_credential", Check: admin + " or user_id:%(user_id)s", ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/users/{user_id}/application_credentials/{application_credential_id}")},
		{Name: "identity:get_auth_catalog", Check: policy.RuleAny, Operations: ops("GET /v3/auth/catalog")},
		{Name: "identity:get_auth_projects", Check: policy.RuleAny, Operations: ops("GET /v3/auth/projects")},
		{Name: "identity:get_auth_domains", Check: policy.RuleAny, Operations: ops("GET /v3/auth/domains")},
		{Name: "identity:get_auth_system", Check: policy.RuleAny, Operations: ops("GET /v3/auth/system")},
		{Name: "identity:get_domain", Check: adminOrSystemReader + " or token.domain.id:%(target.domain.id)s or token.project.domain.id:%(target.domain.id)s", ScopeTypes: allScopes, Operations: ops("GET /v3/domains/{domain_id}")},
		{Name: "identity:list_domains", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/domains")},
		{Name: "identity:create_domain", Check: admin, ScopeTypes: cloudScopes, Operations: ops("POST /v3/domains")},
		{Name: "identity:update_domain", Check: admin, ScopeTypes: cloudScopes, Operations: ops("PATCH /v3/domains/{domain_id}")},
		{Name: "identity:delete_domain", Check: admin, ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/domains/{domain_id}")},
		{Name: "identity:get_endpoint", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/endpoints/{endpoint_id}")},
		{Name: "identity:list_endpoints", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/endpoints")},
		{Name: "identity:create_endpoint", Check: admin, ScopeTypes: cloudScopes, Operations: ops("POST /v3/endpoints")},
		{Name: "identity:update_endpoint", Check: admin, ScopeTypes: cloudScopes, Operations: ops("PATCH /v3/endpoints/{endpoint_id}")},
		{Name: "identity:delete_endpoint", Check: admin, ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/endpoints/{endpoint_id}")},
		{Name: "identity:check_grant", Check: adminOrSystemReader + " or (" + grantsInDomain("role:reader") + " and " + roleInDomain + ")", ScopeTypes: allScopes, Operations: ops("GET /v3/projects/{project_id}/users/{user_id}/roles/{role_id}", "GET /v3/projects/{project_id}/groups/{group_id}/roles/{role_id}", "GET /v3/domains/{domain_id}/users/{user_id}/roles/{role_id}", "GET /v3/domains/{domain_id}/groups/{group_id}/roles/{role_id}", "GET /v3/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/{role_id}/inherited_to_projects", "GET /v3/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects", "GET /v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/{role_id}/inherited_to_projects", "GET /v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects")},
		{Name: "identity:list_grants", Check: adminOrSystemReader + " or " + grantsInDomain("role:reader"), ScopeTypes: allScopes, Operations: ops("GET /v3/projects/{project_id}/users/{user_id}/roles", "GET /v3/projects/{project_id}/groups/{group_id}/roles", "GET /v3/domains/{domain_id}/users/{user_id}/roles", "GET /v3/domains/{domain_id}/groups/{group_id}/roles", "GET /v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/inherited_to_projects", "GET /v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/inherited_to_projects")},
		{Name: "identity:create_grant", Check: admin + " or (" + grantsInDomain("role:admin") + " and " + roleInDomain + ") or (" + grantsInDomain("role:manager") + " and rule:domain_managed_target_role)", ScopeTypes: allScopes, Operations: ops("PUT /v3/projects/{project_id}/users/{user_id}/roles/{role_id}", "PUT /v3/projects/{project_id}/groups/{group_id}/roles/{role_id}", "PUT /v3/domains/{domain_id}/users/{user_id}/roles/{role_id}", "PUT /v3/domains/{domain_id}/groups/{group_id}/roles/{role_id}", "PUT /v3/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/{role_id}/inherited_to_projects", "PUT /v3/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects", "PUT /v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/{role_id}/inherited_to_projects", "PUT /v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects")},
		{Name: "identity:revoke_grant", Check: admin + " or (" + grantsInDomain("role:admin") + " and " + roleInDomain + ") or (" + grantsInDomain("role:manager") + " and rule:domain_managed_target_role)", ScopeTypes: allScopes, Operations: ops("DELETE /v3/projects/{project_id}/users/{user_id}/roles/{role_id}", "DELETE /v3/projects/{project_id}/groups/{group_id}/roles/{role_id}", "DELETE /v3/domains/{domain_id}/users/{user_id}/roles/{role_id}", "DELETE /v3/domains/{domain_id}/groups/{group_id}/roles/{role_id}", "DELETE /v3/OS-INHERIT/projects/{project_id}/users/{user_id}/roles/{role_id}/inherited_to_projects", "DELETE /v3/OS-INHERIT/projects/{project_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects", "DELETE /v3/OS-INHERIT/domains/{domain_id}/users/{user_id}/roles/{role_id}/inherited_to_projects", "DELETE /v3/OS-INHERIT/domains/{domain_id}/groups/{group_id}/roles/{role_id}/inherited_to_projects")},
		{Name: "identity:list_system_grants_for_user", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/system/users/{user_id}/roles")},
		{Name: "identity:check_system_grant_for_user", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/system/users/{user_id}/roles/{role_id}")},
		{Name: "identity:create_system_grant_for_user", Check: admin, ScopeTypes: cloudScopes, Operations: ops("PUT /v3/system/users/{user_id}/roles/{role_id}")},
		{Name: "identity:revoke_system_grant_for_user", Check: admin, ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/system/users/{user_id}/roles/{role_id}")},
		{Name: "identity:list_system_grants_for_group", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/system/groups/{group_id}/roles")},
		{Name: "identity:check_system_grant_for_group", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/system/groups/{group_id}/roles/{role_id}")},
		{Name: "identity:create_system_grant_for_group", Check: admin, ScopeTypes: cloudScopes, Operations: ops("PUT /v3/system/groups/{group_id}/roles/{role_id}")},
		{Name: "identity:revoke_system_grant_for_group", Check: admin, ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/system/groups/{group_id}/roles/{role_id}")},
		{Name: "identity:get_group", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.group.domain_id)s)", ScopeTypes: allScopes, Operations: ops("GET /v3/groups/{group_id}")},
		{Name: "identity:list_groups", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.group.domain_id)s)", ScopeTypes: allScopes, Operations: ops("GET /v3/groups")},
		{Name: "identity:list_groups_for_user", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.user.domain_id)s) or user_id:%(user_id)s", ScopeTypes: allScopes, Operations: ops("GET /v3/users/{user_id}/groups")},
		{Name: "identity:create_group", Check: admin + " or (role:manager and domain_id:%(target.group.domain_id)s)", ScopeTypes: allScopes, Operations: ops("POST /v3/groups")},
		{Name: "identity:update_group", Check: admin + " or (role:manager and domain_id:%(target.group.domain_id)s)", ScopeTypes: allScopes, Operations: ops("PATCH /v3/groups/{group_id}")},
		{Name: "identity:delete_group", Check: admin + " or (role:manager and domain_id:%(target.group.domain_id)s)", ScopeTypes: allScopes, Operations: ops("DELETE /v3/groups/{group_id}")},
		{Name: "identity:list_users_in_group", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.group.domain_id)s)", ScopeTypes: allScopes, Operations: ops("GET /v3/groups/{group_id}/users")},
		{Name: "identity:remove_user_from_group", Check: admin + " or (role:manager and domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s)", ScopeTypes: allScopes, Operations: ops("DELETE /v3/groups/{group_id}/users/{user_id}")},
		{Name: "identity:check_user_in_group", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s)", ScopeTypes: allScopes, Operations: ops("GET /v3/groups/{group_id}/users/{user_id}")},
		{Name: "identity:add_user_to_group", Check: admin + " or (role:manager and domain_id:%(target.group.domain_id)s and domain_id:%(target.user.domain_id)s)", ScopeTypes: allScopes, Operations: ops("PUT /v3/groups/{group_id}/users/{user_id}")},
		{Name: "identity:get_implied_role", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/roles/{prior_role_id}/implies/{implied_role_id}")},
		{Name: "identity:list_implied_roles", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/roles/{prior_role_id}/implies")},
		{Name: "identity:create_implied_role", Check: admin, ScopeTypes: cloudScopes, Operations: ops("PUT /v3/roles/{prior_role_id}/implies/{implied_role_id}")},
		{Name: "identity:delete_implied_role", Check: admin, ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/roles/{prior_role_id}/implies/{implied_role_id}")},
		{Name: "identity:list_role_inference_rules", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/role_inferences")},
		{Name: "identity:check_implied_role", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("HEAD /v3/roles/{prior_role_id}/implies/{implied_role_id}")},
		{Name: "identity:get_project", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.project.domain_id)s) or project_id:%(target.project.id)s", ScopeTypes: allScopes, Operations: ops("GET /v3/projects/{project_id}")},
		{Name: "identity:list_projects", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.domain_id)s)", ScopeTypes: allScopes, Operations: ops("GET /v3/projects")},
		{Name: "identity:list_user_projects", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.user.domain_id)s) or user_id:%(target.user.id)s", ScopeTypes: allScopes, Operations: ops("GET /v3/users/{user_id}/projects")},
		{Name: "identity:create_project", Check: admin + " or (role:manager and domain_id:%(target.project.domain_id)s)", ScopeTypes: allScopes, Operations: ops("POST /v3/projects")},
		{Name: "identity:update_project", Check: admin + " or (role:manager and domain_id:%(target.project.domain_id)s)", ScopeTypes: allScopes, Operations: ops("PATCH /v3/projects/{project_id}")},
		{Name: "identity:delete_project", Check: admin + " or (role:manager and domain_id:%(target.project.domain_id)s)", ScopeTypes: allScopes, Operations: ops("DELETE /v3/projects/{project_id}")},
		{Name: "identity:list_project_tags", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.project.domain_id)s) or project_id:%(target.project.id)s", ScopeTypes: allScopes, Operations: ops("GET /v3/projects/{project_id}/tags")},
		{Name: "identity:get_project_tag", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.project.domain_id)s) or project_id:%(target.project.id)s", ScopeTypes: allScopes, Operations: ops("GET /v3/projects/{project_id}/tags/{value}")},
		{Name: "identity:update_project_tags", Check: admin + " or (role:manager and domain_id:%(target.project.domain_id)s)", ScopeTypes: allScopes, Operations: ops("PUT /v3/projects/{project_id}/tags")},
		{Name: "identity:create_project_tag", Check: admin + " or (role:manager and domain_id:%(target.project.domain_id)s)", ScopeTypes: allScopes, Operations: ops("PUT /v3/projects/{project_id}/tags/{value}")},
		{Name: "identity:delete_project_tags", Check: admin + " or (role:manager and domain_id:%(target.project.domain_id)s)", ScopeTypes: allScopes, Operations: ops("DELETE /v3/projects/{project_id}/tags")},
		{Name: "identity:delete_project_tag", Check: admin + " or (role:manager and domain_id:%(target.project.domain_id)s)", ScopeTypes: allScopes, Operations: ops("DELETE /v3/projects/{project_id}/tags/{value}")},
		{Name: "identity:get_region", Check: policy.RuleAny, ScopeTypes: allScopes, Operations: ops("GET /v3/regions/{region_id}")},
		{Name: "identity:list_regions", Check: policy.RuleAny, ScopeTypes: allScopes, Operations: ops("GET /v3/regions")},
		{Name: "identity:create_region", Check: admin, ScopeTypes: cloudScopes, Operations: ops("POST /v3/regions", "PUT /v3/regions/{region_id}")},
		{Name: "identity:update_region", Check: admin, ScopeTypes: cloudScopes, Operations: ops("PATCH /v3/regions/{region_id}")},
		{Name: "identity:delete_region", Check: admin, ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/regions/{region_id}")},
		{Name: "identity:get_role", Check: adminOrSystemReader + " or (role:manager and not domain_id:None)", ScopeTypes: allScopes, Operations: ops("GET /v3/roles/{role_id}")},
		{Name: "identity:list_roles", Check: adminOrSystemReader + " or (role:manager and not domain_id:None)", ScopeTypes: allScopes, Operations: ops("GET /v3/roles")},
		{Name: "identity:create_role", Check: admin, ScopeTypes: cloudScopes, Operations: ops("POST /v3/roles")},
		{Name: "identity:update_role", Check: admin, ScopeTypes: cloudScopes, Operations: ops("PATCH /v3/roles/{role_id}")},
		{Name: "identity:delete_role", Check: admin, ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/roles/{role_id}")},
		{Name: "identity:get_domain_role", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/roles/{role_id}")},
		{Name: "identity:list_domain_roles", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/roles?domain_id={domain_id}")},
		{Name: "identity:create_domain_role", Check: admin, ScopeTypes: cloudScopes, Operations: ops("POST /v3/roles")},
		{Name: "identity:update_domain_role", Check: admin, ScopeTypes: cloudScopes, Operations: ops("PATCH /v3/roles/{role_id}")},
		{Name: "identity:delete_domain_role", Check: admin, ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/roles/{role_id}")},
		{Name: "identity:list_role_assignments", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.domain_id)s and not None:%(target.domain_id)s)", ScopeTypes: allScopes, Operations: ops("GET /v3/role_assignments")},
		{Name: "identity:list_role_assignments_for_tree", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.domain_id)s and not None:%(target.domain_id)s)", ScopeTypes: allScopes, Operations: ops("GET /v3/role_assignments?include_subtree")},
		{Name: "identity:get_service", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/services/{service_id}")},
		{Name: "identity:list_services", Check: adminOrSystemReader, ScopeTypes: cloudScopes, Operations: ops("GET /v3/services")},
		{Name: "identity:create_service", Check: admin, ScopeTypes: cloudScopes, Operations: ops("POST /v3/services")},
		{Name: "identity:update_service", Check: admin, ScopeTypes: cloudScopes, Operations: ops("PATCH /v3/services/{service_id}")},
		{Name: "identity:delete_service", Check: admin, ScopeTypes: cloudScopes, Operations: ops("DELETE /v3/services/{service_id}")},
		{Name: "identity:check_token", Check: adminOrSystemReader + " or rule:token_subject", ScopeTypes: allScopes, Operations: ops("HEAD /v3/auth/tokens")},
		{Name: "identity:validate_token", Check: adminOrSystemReader + " or rule:service_role or rule:token_subject", ScopeTypes: allScopes, Operations: ops("GET /v3/auth/tokens")},
		{Name: "identity:revoke_token", Check: "rule:admin_required or rule:token_subject", ScopeTypes: allScopes, Operations: ops("DELETE /v3/auth/tokens")},
		{Name: "identity:get_user", Check: adminOrSystemReader + " or (role:reader and token.domain.id:%(target.user.domain_id)s) or user_id:%(target.user.id)s", ScopeTypes: allScopes, Operations: ops("GET /v3/users/{user_id}")},
		{Name: "identity:list_users", Check: adminOrSystemReader + " or (role:reader and domain_id:%(target.domain_id)s)", ScopeTypes: allScopes, Operations: ops("GET /v3/users")},
		{Name: "identity:create_user", Check: admin + " or (role:manager and domain_id:%(target.user.domain_id)s)", ScopeTypes: allScopes, Operations: ops("POST /v3/users")},
		{Name: "identity:update_user", Check: admin + " or (role:manager and domain_id:%(target.user.domain_id)s)", ScopeTypes: allScopes, Operations: ops("PATCH /v3/users/{user_id}")},
		{Name: "identity:delete_user", Check: admin + " or (role:manager and domain_id:%(target.user.domain_id)s)", ScopeTypes: allScopes, Operations: ops("DELETE /v3/users/{user_id}")},
	}
}
