package compute

import "github.com/nephos-cloud/nephos/identity/policy"

func quotaRule(verb string) string { return "os_compute_api:os-quota-sets:" + verb }

func quotaClassRule(verb string) string { return "os_compute_api:os-quota-class-sets:" + verb }

const ruleLimits = "os_compute_api:limits"

func quotaRules() []policy.Rule {
	const sets, classes = "/os-quota-sets/{tenant_id}", "/os-quota-class-sets/{quota_class}"
	return []policy.Rule{
		{Name: quotaRule("show"), Check: policy.RuleProjectReaderOrAdmin, Description: "Show a project's quotas.", Operations: []string{"GET " + sets}},
		{Name: quotaRule("detail"), Check: policy.RuleProjectReaderOrAdmin, Description: "Show a project's quotas and use.", Operations: []string{"GET " + sets + "/detail"}},
		{Name: quotaRule("defaults"), Check: policy.RuleAny, Description: "Show the default quotas.", Operations: []string{"GET " + sets + "/defaults"}},
		{Name: quotaRule("update"), Check: policy.RuleAdmin, Description: "Set a project's quotas.", Operations: []string{"PUT " + sets}},
		{Name: quotaRule("delete"), Check: policy.RuleAdmin, Description: "Give a project the default quotas again.", Operations: []string{"DELETE " + sets}},
		{Name: quotaClassRule("show"), Check: policy.RuleAdmin, Description: "Show the quotas of a class.", Operations: []string{"GET " + classes}},
		{Name: quotaClassRule("update"), Check: policy.RuleAdmin, Description: "Set the quotas of a class.", Operations: []string{"PUT " + classes}},
		{Name: ruleLimits, Check: policy.RuleAny, Description: "Show one's own project's limits.", Operations: []string{"GET /limits"}},
		{Name: ruleLimits + ":other_project", Check: policy.RuleAdmin, Description: "Show another project's limits.", Operations: []string{"GET /limits"}},
	}
}
