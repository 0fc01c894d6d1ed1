package nova

import (
	"github.com/nephos-cloud/nephos/httpapi"
)

func (a *api) limitRoutes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "GET " + root + "/limits", Rules: rules("limits", "limits:other_project"), Handler: a.showLimits},
	}
}

// absoluteLimit is the name of a limit, and of what counts towards it, in the
// answer.
type absoluteLimit struct {
	resource, limit, used string
	before                int // 2.before is the first microversion without it
}

var absoluteLimits = []absoluteLimit{
	{"ram", "maxTotalRAMSize", "totalRAMUsed", 0},
	{"instances", "maxTotalInstances", "totalInstancesUsed", 0},
	{"cores", "maxTotalCores", "totalCoresUsed", 0},
	{"key_pairs", "maxTotalKeypairs", "", 0},
	{"metadata_items", "maxServerMeta", "", 0},
	{"metadata_items", "maxImageMeta", "", 39},
	{"server_groups", "maxServerGroups", "totalServerGroupsUsed", 0},
	{"server_group_members", "maxServerGroupMembers", "", 0},
	{"floating_ips", "maxTotalFloatingIps", "totalFloatingIpsUsed", 36},
	{"security_groups", "maxSecurityGroups", "totalSecurityGroupsUsed", 36},
	{"security_group_rules", "maxSecurityGroupRules", "", 36},
	{"injected_files", "maxPersonality", "", 57},
	{"injected_file_content_bytes", "maxPersonalitySize", "", 57},
}

func (a *api) showLimits(r *httpapi.Request) (*httpapi.Response, error) {
	if err := onlyParams(r, 75, "tenant_id"); err != nil {
		return nil, err
	}
	project, _ := r.Param("tenant_id")
	set, err := a.Catalog.Limits(r.Context(), project)
	if err != nil {
		return nil, err
	}
	absolute := map[string]int{}
	for _, l := range absoluteLimits {
		if l.before > 0 && atLeast(r, l.before) {
			continue
		}
		absolute[l.limit] = set[l.resource].Limit
		if l.used != "" {
			absolute[l.used] = set[l.resource].InUse
		}
	}
	return httpapi.OK(map[string]any{"limits": map[string]any{"rate": []any{}, "absolute": absolute}}), nil
}
