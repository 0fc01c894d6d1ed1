package compute

import "github.com/nephos-cloud/nephos/identity/policy"

func hypervisorRule(verb string) string { return "os_compute_api:os-hypervisors:" + verb }

func serviceRule(verb string) string { return "os_compute_api:os-services:" + verb }

func usageRule(verb string) string { return "os_compute_api:os-simple-tenant-usage:" + verb }

const (
	ruleExternalEvents = "os_compute_api:os-server-external-events:create"
	ruleMigrations     = "os_compute_api:os-migrations:index"
	ruleExtensions     = "os_compute_api:extensions"
)

// hostRules are the rules about hosts and what happens on them.
func hostRules() []policy.Rule {
	const hypervisors = "/os-hypervisors"
	return []policy.Rule{
		{Name: hypervisorRule("list"), Check: policy.RuleAdmin, Description: "List hypervisors.", Operations: []string{"GET " + hypervisors}},
		{Name: hypervisorRule("list-detail"), Check: policy.RuleAdmin, Description: "List hypervisors with details.", Operations: []string{"GET " + hypervisors + "/detail"}},
		{Name: hypervisorRule("statistics"), Check: policy.RuleAdmin, Description: "Show sums over all hypervisors.", Operations: []string{"GET " + hypervisors + "/statistics"}},
		{Name: hypervisorRule("show"), Check: policy.RuleAdmin, Description: "Show a hypervisor.", Operations: []string{"GET " + hypervisors + "/{hypervisor_id}"}},
		{Name: hypervisorRule("uptime"), Check: policy.RuleAdmin, Description: "Show a hypervisor's uptime.", Operations: []string{"GET " + hypervisors + "/{hypervisor_id}/uptime"}},
		{Name: hypervisorRule("search"), Check: policy.RuleAdmin, Description: "Find hypervisors by name.", Operations: []string{"GET " + hypervisors + "/{hypervisor_hostname_pattern}/search"}},
		{Name: hypervisorRule("servers"), Check: policy.RuleAdmin, Description: "List the servers on hypervisors.", Operations: []string{"GET " + hypervisors + "/{hypervisor_hostname_pattern}/servers"}},
		{Name: serviceRule("list"), Check: policy.RuleAdmin, Description: "List services.", Operations: []string{"GET /os-services"}},
		{Name: serviceRule("update"), Check: policy.RuleAdmin, Description: "Enable, disable or force down a service.", Operations: []string{"PUT /os-services/{service_id}"}},
		{Name: serviceRule("delete"), Check: policy.RuleAdmin, Description: "Delete a service.", Operations: []string{"DELETE /os-services/{service_id}"}},
		{Name: usageRule("show"), Check: policy.RuleProjectReaderOrAdmin, Description: "Show a project's use over time.", Operations: []string{"GET /os-simple-tenant-usage/{tenant_id}"}},
		{Name: usageRule("list"), Check: policy.RuleAdmin, Description: "Show all projects' use over time.", Operations: []string{"GET /os-simple-tenant-usage"}},
		{Name: ruleExternalEvents, Check: policy.RuleAdminOrService, Description: "Tell of something that happened to a server elsewhere.", Operations: []string{"POST /os-server-external-events"}},
		{Name: ruleMigrations, Check: policy.RuleAdmin, Description: "List migrations.", Operations: []string{"GET /os-migrations"}},
		{Name: ruleExtensions, Check: policy.RuleAny, Description: "List the API's extensions.", Operations: []string{"GET /extensions", "GET /extensions/{alias}"}},
	}
}
