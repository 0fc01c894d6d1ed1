package compute

import "github.com/nephos-cloud/nephos/identity/policy"

func serverRules() []policy.Rule { return nil }
