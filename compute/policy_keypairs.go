package compute

import "github.com/nephos-cloud/nephos/identity/policy"

func keyPairRule(verb string) string { return "os_compute_api:os-keypairs:" + verb }

func keyPairRules() []policy.Rule {
	const check = "(" + policy.RuleAdmin + ") or user_id:%(user_id)s"
	return []policy.Rule{
		{Name: keyPairRule("index"), Check: check, Description: "List a user's keypairs.", Operations: []string{"GET /os-keypairs"}},
		{Name: keyPairRule("create"), Check: check, Description: "Create a keypair.", Operations: []string{"POST /os-keypairs"}},
		{Name: keyPairRule("show"), Check: check, Description: "Show a keypair.", Operations: []string{"GET /os-keypairs/{keypair_name}"}},
		{Name: keyPairRule("delete"), Check: check, Description: "Delete a keypair.", Operations: []string{"DELETE /os-keypairs/{keypair_name}"}},
	}
}
