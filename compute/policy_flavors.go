package compute

import "github.com/nephos-cloud/nephos/identity/policy"

// ruleFlavors guards the list of flavors, which Nova itself leaves open to
// everybody with a token; the name is that of its former rule.
const ruleFlavors = "os_compute_api:flavors"

func flavorManageRule(verb string) string { return "os_compute_api:os-flavor-manage:" + verb }
func extraSpecsRule(verb string) string   { return "os_compute_api:os-flavor-extra-specs:" + verb }

const ruleFlavorAccess = "os_compute_api:os-flavor-access"

func flavorRules() []policy.Rule {
	const specs = "/flavors/{flavor_id}/os-extra_specs"
	return []policy.Rule{
		{Name: ruleFlavors, Check: policy.RuleAny, Description: "See flavors.", Operations: []string{"GET /flavors", "GET /flavors/detail", "GET /flavors/{flavor_id}"}},
		{Name: flavorManageRule("create"), Check: policy.RuleAdmin, Description: "Create a flavor.", Operations: []string{"POST /flavors"}},
		{Name: flavorManageRule("update"), Check: policy.RuleAdmin, Description: "Change a flavor's description.", Operations: []string{"PUT /flavors/{flavor_id}"}},
		{Name: flavorManageRule("delete"), Check: policy.RuleAdmin, Description: "Delete a flavor.", Operations: []string{"DELETE /flavors/{flavor_id}"}},
		{Name: ruleFlavorAccess, Check: policy.RuleAdmin, Description: "List the projects with access to a flavor.", Operations: []string{"GET /flavors/{flavor_id}/os-flavor-access"}},
		{Name: ruleFlavorAccess + ":add_tenant_access", Check: policy.RuleAdmin, Description: "Give a project access to a flavor.", Operations: []string{"POST /flavors/{flavor_id}/action (addTenantAccess)"}},
		{Name: ruleFlavorAccess + ":remove_tenant_access", Check: policy.RuleAdmin, Description: "Take a project's access to a flavor away.", Operations: []string{"POST /flavors/{flavor_id}/action (removeTenantAccess)"}},
		{Name: extraSpecsRule("index"), Check: policy.RuleProjectReaderOrAdmin, Description: "List a flavor's extra specs, and see them in flavors.", Operations: []string{"GET " + specs}},
		{Name: extraSpecsRule("show"), Check: policy.RuleProjectReaderOrAdmin, Description: "Show an extra spec.", Operations: []string{"GET " + specs + "/{key}"}},
		{Name: extraSpecsRule("create"), Check: policy.RuleAdmin, Description: "Add extra specs.", Operations: []string{"POST " + specs}},
		{Name: extraSpecsRule("update"), Check: policy.RuleAdmin, Description: "Change an extra spec.", Operations: []string{"PUT " + specs + "/{key}"}},
		{Name: extraSpecsRule("delete"), Check: policy.RuleAdmin, Description: "Delete an extra spec.", Operations: []string{"DELETE " + specs + "/{key}"}},
	}
}
