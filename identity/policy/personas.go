package policy

// References to the rules of [Base], as checks for a service's own rules. The
// names and what stands behind them are those of OpenStack's secure RBAC:
// a reader sees a project's things, a member changes them, a manager also does
// what touches the project's other members, an admin runs the cloud, a service
// is one of the cloud's own.
const (
	RuleAny                   = "@" // every authenticated caller
	RuleNobody                = "!"
	RuleAdmin                 = "rule:context_is_admin"
	RuleAdminAPI              = "rule:admin_api"
	RuleAdminOrOwner          = "rule:admin_or_owner"
	RuleProjectReader         = "rule:project_reader"
	RuleProjectMember         = "rule:project_member"
	RuleProjectManager        = "rule:project_manager"
	RuleProjectReaderOrAdmin  = "rule:project_reader_or_admin"
	RuleProjectMemberOrAdmin  = "rule:project_member_or_admin"
	RuleProjectManagerOrAdmin = "rule:project_manager_or_admin"
	RuleService               = "rule:service_api"
	RuleAdminOrService        = "rule:admin_or_service"
)

// Base returns the rules that every service's own rules build upon. The names
// project_reader_api, project_member_api and project_manager_api, which Nova's
// policy files override, stand behind project_reader, project_member and
// project_manager.
func Base() []Rule {
	return []Rule{
		{Name: "context_is_admin", Check: "role:admin", Description: "Who runs the cloud."},
		{Name: "admin_api", Check: RuleAdmin, Description: "What only those who run the cloud may do."},
		{Name: "admin_or_owner", Check: "rule:context_is_admin or project_id:%(project_id)s", Description: "Admins, and everyone in the resource's project."},
		{Name: "project_reader_api", Check: "role:reader and project_id:%(project_id)s", Description: "Who may see the project's resources."},
		{Name: "project_member_api", Check: "role:member and project_id:%(project_id)s", Description: "Who may change the project's resources."},
		{Name: "project_manager_api", Check: "role:manager and project_id:%(project_id)s", Description: "Who may manage the project."},
		{Name: "project_reader", Check: "rule:project_reader_api", Description: "Readers of the resource's project."},
		{Name: "project_member", Check: "rule:project_member_api", Description: "Members of the resource's project."},
		{Name: "project_manager", Check: "rule:project_manager_api", Description: "Managers of the resource's project."},
		{Name: "project_reader_or_admin", Check: "rule:project_reader or rule:context_is_admin", Description: "Readers of the resource's project, and admins."},
		{Name: "project_member_or_admin", Check: "rule:project_member or rule:context_is_admin", Description: "Members of the resource's project, and admins."},
		{Name: "project_manager_or_admin", Check: "rule:project_manager or rule:context_is_admin", Description: "Managers of the resource's project, and admins."},
		{Name: "service_api", Check: "role:service", Description: "The cloud's own services."},
		{Name: "admin_or_service", Check: "rule:context_is_admin or rule:service_api", Description: "Admins and the cloud's own services."},
	}
}
