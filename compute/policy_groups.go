package compute

import "github.com/nephos-cloud/nephos/identity/policy"

func groupRule(verb string) string { return "os_compute_api:os-server-groups:" + verb }

func groupRules() []policy.Rule {
	return []policy.Rule{
		{Name: groupRule("create"), Check: policy.RuleProjectMemberOrAdmin, Description: "Create a server group.", Operations: []string{"POST /os-server-groups"}},
		{Name: groupRule("delete"), Check: policy.RuleProjectMemberOrAdmin, Description: "Delete a server group.", Operations: []string{"DELETE /os-server-groups/{server_group_id}"}},
		{Name: groupRule("index"), Check: policy.RuleProjectReaderOrAdmin, Description: "List server groups.", Operations: []string{"GET /os-server-groups"}},
		{Name: groupRule("index:all_projects"), Check: policy.RuleAdmin, Description: "List the server groups of all projects.", Operations: []string{"GET /os-server-groups"}},
		{Name: groupRule("show"), Check: policy.RuleProjectReaderOrAdmin, Description: "Show a server group.", Operations: []string{"GET /os-server-groups/{server_group_id}"}},
	}
}
