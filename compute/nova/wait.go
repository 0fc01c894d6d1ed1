package nova

import "github.com/nephos-cloud/nephos/httpapi"

// waitForServer says how clients wait for a server.
var waitForServer = &httpapi.Wait{
	Field: "server.status",
	States: []string{
		"ACTIVE", "BUILD", "DELETED", "ERROR", "HARD_REBOOT", "MIGRATING", "PASSWORD", "PAUSED", "REBOOT", "REBUILD", "RESCUE", "RESIZE",
		"REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED", "SHUTOFF", "SOFT_DELETED", "SUSPENDED", "UNKNOWN", "VERIFY_RESIZE",
	},
	End: []string{"ERROR", "DELETED"},
}
