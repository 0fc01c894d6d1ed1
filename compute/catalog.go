package compute

import (
	"context"
	"strings"

	"github.com/nephos-cloud/nephos/identity/policy"
)

// Catalog is all that the Compute API needs besides servers.
type Catalog interface {
	Flavors
	FlavorAccess
	FlavorExtraSpecs
	KeyPairs
	Groups
	Aggregates
	Zones
	Quotas
	Hypervisors
	Services
	Usages
	ExternalEvents
}

var _ Catalog = (*Service)(nil)

// catalogRules are the rules of everything but servers.
func catalogRules() []policy.Rule {
	var rules []policy.Rule
	for _, part := range [][]policy.Rule{
		flavorRules(), keyPairRules(), groupRules(), aggregateRules(), quotaRules(), hostRules(),
	} {
		rules = append(rules, part...)
	}
	for i := range rules {
		rules[i].ScopeTypes = []string{"project"}
	}
	return rules
}

// clip bounds what a message quotes of a request.
func clip(s string) string {
	if len(s) > 255 {
		return strings.ToValidUTF8(s[:255], "") + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// ownProject is the target of what the caller's own project may do.
func ownProject(ctx context.Context) policy.Target {
	me := caller(ctx)
	return policy.Target{"project_id": me.ProjectID, "user_id": me.UserID}
}
