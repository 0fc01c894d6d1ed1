package nova

import (
	"encoding/json"
	"strings"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

// securityGroupBody is a security group as the Compute API writes it.
type securityGroupBody struct {
	ID          string             `json:"id"`
	Name        string             `json:"name"`
	Description string             `json:"description"`
	ProjectID   string             `json:"tenant_id"`
	Rules       []securityRuleBody `json:"rules"`
}

type securityRuleBody struct {
	ID       string         `json:"id"`
	ParentID string         `json:"parent_group_id"`
	Protocol *string        `json:"ip_protocol"`
	From     *int           `json:"from_port"`
	To       *int           `json:"to_port"`
	Range    map[string]any `json:"ip_range"`
	Group    map[string]any `json:"group"`
}

// securityGroupView shows a group with its rules for what comes in: the Compute API
// knows no others.
func securityGroupView(g compute.SecurityGroup, names map[string]compute.SecurityGroup) securityGroupBody {
	b := securityGroupBody{ID: g.ID, Name: g.Name, Description: g.Description, ProjectID: g.ProjectID, Rules: []securityRuleBody{}}
	for i := range g.Rules {
		if g.Rules[i].Direction == "ingress" {
			b.Rules = append(b.Rules, securityRuleView(&g.Rules[i], names))
		}
	}
	return b
}

func securityRuleView(r *compute.SecurityGroupRule, names map[string]compute.SecurityGroup) securityRuleBody {
	rule := securityRuleBody{ID: r.ID, ParentID: r.GroupID, From: r.PortMin, To: r.PortMax, Range: map[string]any{}, Group: map[string]any{}}
	if r.Protocol != "" {
		rule.Protocol = ptr(strings.ToLower(r.Protocol))
		if rule.From == nil && rule.To == nil {
			rule.From, rule.To = ptr(-1), ptr(-1)
			if *rule.Protocol == "tcp" || *rule.Protocol == "udp" {
				rule.From, rule.To = ptr(1), ptr(65535)
			}
		}
	}
	switch {
	case r.RemoteGroup != "":
		if of, ok := names[r.RemoteGroup]; ok {
			rule.Group = map[string]any{"name": of.Name, "tenant_id": of.ProjectID}
		}
	case r.RemotePrefix != "":
		rule.Range = map[string]any{"cidr": r.RemotePrefix}
	default:
		rule.Range = map[string]any{"cidr": "0.0.0.0/0"}
	}
	return rule
}

func (a *api) listServerGroups(r *httpapi.Request) (*httpapi.Response, error) {
	groups, err := a.Groups.ListServerSecurityGroups(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	names := map[string]compute.SecurityGroup{}
	for _, g := range groups {
		names[g.ID] = g
	}
	out := make([]securityGroupBody, len(groups))
	for i, g := range groups {
		out[i] = securityGroupView(g, names)
	}
	return httpapi.OK(map[string][]securityGroupBody{"security_groups": out}), nil
}

// regroup adds or removes a security group.
func regroup(name string) func(*api, *httpapi.Request, string, json.RawMessage) (*httpapi.Response, error) {
	return func(a *api, r *httpapi.Request, id string, body json.RawMessage) (*httpapi.Response, error) {
		var in map[string]any
		if json.Unmarshal(body, &in) != nil || in == nil {
			return nil, invalid("Missing parameter dict").WithField(name)
		}
		group, ok := in["name"].(string)
		switch {
		case in["name"] == nil:
			return nil, invalid("Security group not specified").WithField("name")
		case !ok || strings.TrimSpace(group) == "":
			return nil, invalid("Security group name cannot be empty").WithField("name")
		}
		change := a.Groups.AddServerSecurityGroup
		if name == "removeSecurityGroup" {
			change = a.Groups.RemoveServerSecurityGroup
		}
		if err := change(r.Context(), id, group); err != nil {
			return nil, err
		}
		return httpapi.Accepted(nil), nil
	}
}
