package placement

import "github.com/nephos-cloud/nephos/identity/policy"

var projectScope = []string{"project"}

// Rules returns the rules that this package enforces, by Placement's names and
// with its defaults: admins and the cloud's own services may do everything, and
// a project's readers see what the project uses. They build on [policy.Base].
func Rules() []policy.Rule {
	rules := []policy.Rule{{
		Name: "placement:usages", Check: policy.RuleAdminOrService + " or " + policy.RuleProjectReader, ScopeTypes: projectScope,
		Description: "What a project uses.", Operations: []string{"GET /usages"},
	}}
	for _, r := range []struct{ name, operation string }{
		{"resource_providers:list", "GET /resource_providers"},
		{"resource_providers:create", "POST /resource_providers"},
		{"resource_providers:show", "GET /resource_providers/{uuid}"},
		{"resource_providers:update", "PUT /resource_providers/{uuid}"},
		{"resource_providers:delete", "DELETE /resource_providers/{uuid}"},
		{"resource_classes:list", "GET /resource_classes"},
		{"resource_classes:create", "POST /resource_classes"},
		{"resource_classes:show", "GET /resource_classes/{name}"},
		{"resource_classes:update", "PUT /resource_classes/{name}"},
		{"resource_classes:delete", "DELETE /resource_classes/{name}"},
		{"resource_providers:inventories:list", "GET /resource_providers/{uuid}/inventories"},
		{"resource_providers:inventories:create", "POST /resource_providers/{uuid}/inventories"},
		{"resource_providers:inventories:show", "GET /resource_providers/{uuid}/inventories/{resource_class}"},
		{"resource_providers:inventories:update", "PUT /resource_providers/{uuid}/inventories"},
		{"resource_providers:inventories:delete", "DELETE /resource_providers/{uuid}/inventories"},
		{"resource_providers:aggregates:list", "GET /resource_providers/{uuid}/aggregates"},
		{"resource_providers:aggregates:update", "PUT /resource_providers/{uuid}/aggregates"},
		{"resource_providers:usages", "GET /resource_providers/{uuid}/usages"},
		{"traits:list", "GET /traits"},
		{"traits:show", "GET /traits/{name}"},
		{"traits:update", "PUT /traits/{name}"},
		{"traits:delete", "DELETE /traits/{name}"},
		{"resource_providers:traits:list", "GET /resource_providers/{uuid}/traits"},
		{"resource_providers:traits:update", "PUT /resource_providers/{uuid}/traits"},
		{"resource_providers:traits:delete", "DELETE /resource_providers/{uuid}/traits"},
		{"allocations:manage", "POST /allocations"},
		{"allocations:list", "GET /allocations/{consumer_uuid}"},
		{"allocations:update", "PUT /allocations/{consumer_uuid}"},
		{"allocations:delete", "DELETE /allocations/{consumer_uuid}"},
		{"resource_providers:allocations:list", "GET /resource_providers/{uuid}/allocations"},
		{"allocation_candidates:list", "GET /allocation_candidates"},
		{"reshaper:reshape", "POST /reshaper"},
	} {
		rules = append(rules, policy.Rule{
			Name: "placement:" + r.name, Check: policy.RuleAdminOrService, ScopeTypes: projectScope, Operations: []string{r.operation},
		})
	}
	return rules
}
