package explain

import "github.com/nephos-cloud/nephos/identity/policy"

// Rules returns the rules that this package enforces. They build on
// [policy.Base].
func Rules() []policy.Rule {
	scope := []string{"project"}
	return []policy.Rule{
		{Name: "scheduler:decisions:list", Check: policy.RuleAdmin, ScopeTypes: scope, Description: "List decisions.", Operations: []string{"GET /v1/decisions"}},
		{Name: "scheduler:decisions:show", Check: policy.RuleAdmin, ScopeTypes: scope, Description: "Show a decision.", Operations: []string{"GET /v1/decisions/{id}"}},
		{Name: "scheduler:explain", Check: policy.RuleAdmin, ScopeTypes: scope, Description: "Think a request through.", Operations: []string{"POST /v1/explain"}},
		{Name: "scheduler:heatmap", Check: policy.RuleAdmin, ScopeTypes: scope, Description: "See how full the hosts are.", Operations: []string{"GET /v1/heatmap.svg"}},
	}
}
