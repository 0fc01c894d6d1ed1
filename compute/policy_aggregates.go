package compute

import "github.com/nephos-cloud/nephos/identity/policy"

func aggregateRule(verb string) string { return "os_compute_api:os-aggregates:" + verb }

func zoneRule(verb string) string { return "os_compute_api:os-availability-zone:" + verb }

func aggregateRules() []policy.Rule {
	const action = "POST /os-aggregates/{aggregate_id}/action"
	return []policy.Rule{
		{Name: aggregateRule("index"), Check: policy.RuleAdmin, Description: "List aggregates.", Operations: []string{"GET /os-aggregates"}},
		{Name: aggregateRule("create"), Check: policy.RuleAdmin, Description: "Create an aggregate.", Operations: []string{"POST /os-aggregates"}},
		{Name: aggregateRule("show"), Check: policy.RuleAdmin, Description: "Show an aggregate.", Operations: []string{"GET /os-aggregates/{aggregate_id}"}},
		{Name: aggregateRule("update"), Check: policy.RuleAdmin, Description: "Change an aggregate's name and zone.", Operations: []string{"PUT /os-aggregates/{aggregate_id}"}},
		{Name: aggregateRule("delete"), Check: policy.RuleAdmin, Description: "Delete an aggregate.", Operations: []string{"DELETE /os-aggregates/{aggregate_id}"}},
		{Name: aggregateRule("set_metadata"), Check: policy.RuleAdmin, Description: "Change an aggregate's metadata.", Operations: []string{action + " (set_metadata)"}},
		{Name: aggregateRule("add_host"), Check: policy.RuleAdmin, Description: "Add a host to an aggregate.", Operations: []string{action + " (add_host)"}},
		{Name: aggregateRule("remove_host"), Check: policy.RuleAdmin, Description: "Remove a host from an aggregate.", Operations: []string{action + " (remove_host)"}},
		{Name: "compute:aggregates:images", Check: policy.RuleAdmin, Description: "Have an aggregate's hosts fetch images.", Operations: []string{"POST /os-aggregates/{aggregate_id}/images"}},
		{Name: zoneRule("list"), Check: policy.RuleAny, Description: "List availability zones.", Operations: []string{"GET /os-availability-zone"}},
		{Name: zoneRule("detail"), Check: policy.RuleAdmin, Description: "List availability zones with their hosts.", Operations: []string{"GET /os-availability-zone/detail"}},
	}
}
