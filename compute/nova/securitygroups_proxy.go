package nova

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos/compute"
	"github.com/nephos-cloud/nephos/httpapi"
)

// securityGroupRoutes are the Compute API's own view of security groups, as it
// was until microversion 2.35: old clients still look groups up by it.
func (a *api) securityGroupRoutes() []httpapi.Route {
	const groups, groupRules, last = root + "/os-security-groups", root + "/os-security-group-rules", "2.35"
	return []httpapi.Route{
		{Pattern: "GET " + groups, Max: last, Rules: rules("os-security-groups:get"), Handler: a.listSecurityGroups},
		{Pattern: "POST " + groups, Max: last, Rules: rules("os-security-groups:create"), Handler: a.createSecurityGroup},
		{Pattern: "GET " + groups + "/{id}", Max: last, Rules: rules("os-security-groups:show"), Handler: a.showSecurityGroup},
		{Pattern: "PUT " + groups + "/{id}", Max: last, Rules: rules("os-security-groups:update"), Handler: a.updateSecurityGroup},
		{Pattern: "DELETE " + groups + "/{id}", Max: last, Rules: rules("os-security-groups:delete"), Handler: a.deleteSecurityGroup},
		{Pattern: "POST " + groupRules, Max: last, Rules: rules("os-security-groups:rule:create"), Handler: a.createSecurityRule},
		{Pattern: "DELETE " + groupRules + "/{id}", Max: last, Rules: rules("os-security-groups:rule:delete"), Handler: a.deleteSecurityRule},
	}
}

func groupNames(groups ...compute.SecurityGroup) map[string]compute.SecurityGroup {
	names := map[string]compute.SecurityGroup{}
	for _, g := range groups {
		names[g.ID] = g
	}
	return names
}

func (a *api) listSecurityGroups(r *httpapi.Request) (*httpapi.Response, error) {
	groups, err := a.AllGroups.ListProjectGroups(r.Context())
	if err != nil {
		return nil, err
	}
	names, shown := groupNames(groups...), groups
	offset, err := r.Int("offset", 0, 0, 1<<31-1)
	if err != nil {
		return nil, err
	}
	limit, err := r.Int("limit", len(groups), 0, 1<<31-1)
	if err != nil {
		return nil, err
	}
	shown = shown[min(offset, len(shown)):]
	shown = shown[:min(limit, len(shown))]
	out := make([]securityGroupBody, len(shown))
	for i, g := range shown {
		out[i] = securityGroupView(g, names)
	}
	slices.SortStableFunc(out, func(x, y securityGroupBody) int {
		return strings.Compare(x.ProjectID+" "+x.Name, y.ProjectID+" "+y.Name)
	})
	return httpapi.OK(map[string][]securityGroupBody{"security_groups": out}), nil
}

// groupID is the id in the path, which must look like one.
func groupID(r *httpapi.Request) (string, error) { return checkGroupID(r.PathValue("id")) }

func checkGroupID(id string) (string, error) {
	if !uuidForm.MatchString(id) {
		return "", invalid("Security group id should be uuid").WithField("id")
	}
	return id, nil
}

// oneSecurityGroup shows a group with the names of those that its rules name.
func (a *api) oneSecurityGroup(r *httpapi.Request, g compute.SecurityGroup) (*httpapi.Response, error) {
	names := groupNames(g)
	for _, rule := range g.Rules {
		if _, ok := names[rule.RemoteGroup]; rule.RemoteGroup != "" && !ok {
			if of, err := a.AllGroups.ProjectGroup(r.Context(), rule.RemoteGroup); err == nil {
				names[of.ID] = of
			}
		}
	}
	return httpapi.OK(map[string]securityGroupBody{"security_group": securityGroupView(g, names)}), nil
}

func (a *api) showSecurityGroup(r *httpapi.Request) (*httpapi.Response, error) {
	id, err := groupID(r)
	if err != nil {
		return nil, err
	}
	g, err := a.AllGroups.ProjectGroup(r.Context(), id)
	if err != nil {
		return nil, err
	}
	return a.oneSecurityGroup(r, g)
}

// groupTexts reads a group's name and description, which are both needed.
func groupTexts(r *httpapi.Request) (name, description string, err error) {
	var in struct {
		Group map[string]any `json:"security_group"`
	}
	tree, err := r.Tree()
	if err != nil {
		return "", "", err
	}
	if json.Unmarshal(tree["security_group"], &in.Group) != nil || in.Group == nil {
		return "", "", invalid("Missing parameter security_group").WithField("security_group")
	}
	for field, to := range map[string]*string{"name": &name, "description": &description} {
		text, ok := in.Group[field].(string)
		if !ok || strings.ContainsRune(text, 0) {
			return "", "", invalid("%s is not a string or unicode", field).WithField(field)
		}
		if len([]rune(text)) > 255 {
			return "", "", invalid("%s has %d characters, more than 255.", field, len([]rune(text))).WithField(field)
		}
		*to = text
	}
	return name, description, nil
}

func (a *api) createSecurityGroup(r *httpapi.Request) (*httpapi.Response, error) {
	name, description, err := groupTexts(r)
	if err != nil {
		return nil, err
	}
	g, err := a.AllGroups.CreateProjectGroup(r.Context(), compute.SecurityGroupSpec{Name: name, Description: description})
	if err != nil {
		return nil, err
	}
	return a.oneSecurityGroup(r, g)
}

func (a *api) updateSecurityGroup(r *httpapi.Request) (*httpapi.Response, error) {
	id, err := groupID(r)
	if err != nil {
		return nil, err
	}
	name, description, err := groupTexts(r)
	if err != nil {
		return nil, err
	}
	g, err := a.AllGroups.UpdateProjectGroup(r.Context(), id, compute.SecurityGroupUpdate{Name: &name, Description: &description})
	if err != nil {
		return nil, err
	}
	return a.oneSecurityGroup(r, g)
}

func (a *api) deleteSecurityGroup(r *httpapi.Request) (*httpapi.Response, error) {
	id, err := groupID(r)
	if err != nil {
		return nil, err
	}
	if err := a.AllGroups.DeleteProjectGroup(r.Context(), id); err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}

// ruleNumber reads a port, or a type or code of ICMP: a number, or one in a text.
func ruleNumber(v any) (*int, error) {
	var n int
	var err error
	switch v := v.(type) {
	case nil:
		return nil, nil
	case float64:
		n = int(v)
	case string:
		n, err = strconv.Atoi(strings.TrimSpace(v))
	default:
		err = strconv.ErrSyntax
	}
	if err != nil {
		return nil, invalid("Invalid input received: To and From ports must be integers")
	}
	return &n, nil
}

// ruleSpec reads a rule for what comes in, which is the only kind there is here.
func ruleSpec(r *httpapi.Request) (compute.SecurityRuleSpec, error) {
	spec := compute.SecurityRuleSpec{Direction: "ingress", Ethertype: "IPv4"}
	tree, err := r.Tree()
	if err != nil {
		return spec, err
	}
	var in map[string]any
	if json.Unmarshal(tree["security_group_rule"], &in) != nil || in == nil {
		return spec, invalid("Missing parameter security_group_rule").WithField("security_group_rule")
	}
	parent, _ := in["parent_group_id"].(string)
	if spec.GroupID, err = checkGroupID(parent); err != nil {
		return spec, err
	}
	if group, ok := in["group_id"]; ok && group != nil {
		text, _ := group.(string)
		if spec.RemoteGroup, err = checkGroupID(text); err != nil {
			return spec, err
		}
	}
	from, err := ruleNumber(in["from_port"])
	if err != nil {
		return spec, err
	}
	to, err := ruleNumber(in["to_port"])
	if err != nil {
		return spec, err
	}
	protocol, _ := in["ip_protocol"].(string)
	spec.Protocol = strings.ToLower(protocol)
	if spec.RemoteGroup == "" {
		cidr, _ := in["cidr"].(string)
		if cidr == "" {
			cidr = "0.0.0.0/0"
		}
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return spec, invalid("Invalid cidr %.64s.", cidr).WithField("cidr")
		}
		if spec.RemotePrefix = cidr; prefix.Addr().Is6() {
			spec.Ethertype = "IPv6"
		}
		if spec.Protocol == "" || from == nil || to == nil {
			return spec, invalid("Not enough parameters to build a valid rule.").WithField("ip_protocol")
		}
	}
	return spec, rulePorts(&spec, from, to)
}

// rulePorts checks and sets what a rule lets through of its protocol.
func rulePorts(spec *compute.SecurityRuleSpec, from, to *int) error {
	if spec.Protocol == "" || from == nil || to == nil {
		return nil
	}
	bad := func(why string) error {
		return invalid("Invalid port range %d:%d. %s", *from, *to, why).WithField("from_port")
	}
	switch spec.Protocol {
	case "tcp", "udp":
		if *from > *to {
			return bad("Former value cannot be greater than the later")
		}
		if *from < 1 || *to > 65535 {
			return bad("Valid " + strings.ToUpper(spec.Protocol) + " ports should be between 1-65535")
		}
	case "icmp":
		if *from < -1 || *from > 255 || *to < -1 || *to > 255 {
			return bad("For ICMP, the type:code must be valid")
		}
	default:
		return invalid("Invalid IP protocol %.64s.", spec.Protocol).WithField("ip_protocol")
	}
	if *from >= 0 {
		spec.PortMin = from
		if *to >= 0 {
			spec.PortMax = to
		}
	}
	return nil
}

func (a *api) createSecurityRule(r *httpapi.Request) (*httpapi.Response, error) {
	spec, err := ruleSpec(r)
	if err != nil {
		return nil, err
	}
	rule, err := a.AllGroups.CreateGroupRule(r.Context(), spec)
	if err != nil {
		return nil, err
	}
	names := map[string]compute.SecurityGroup{}
	if rule.RemoteGroup != "" {
		of, err := a.AllGroups.ProjectGroup(r.Context(), rule.RemoteGroup)
		if err != nil {
			return nil, err
		}
		names = groupNames(of)
	}
	return httpapi.OK(map[string]securityRuleBody{"security_group_rule": securityRuleView(&rule, names)}), nil
}

func (a *api) deleteSecurityRule(r *httpapi.Request) (*httpapi.Response, error) {
	id, err := groupID(r)
	if err != nil {
		return nil, err
	}
	if err := a.AllGroups.DeleteGroupRule(r.Context(), id); err != nil {
		return nil, err
	}
	return httpapi.Accepted(nil), nil
}
