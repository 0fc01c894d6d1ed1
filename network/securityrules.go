package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/store"
)

// SecurityGroupRule lets matching packets through.
type SecurityGroupRule struct {
	Meta
	Description      string
	GroupID          string
	Direction        string // ingress or egress, from the port's side
	Ethertype        string // IPv4 or IPv6
	Protocol         string // empty: any; a name or number
	PortMin, PortMax *int   // for ICMP its type and code
	RemotePrefix     string // as given, with its length; empty: any
	RemoteGroup      string
	Sameness         string // equal for rules that do the same
}

// RuleSpec describes a rule to create.
type RuleSpec struct {
	ProjectID, GroupID, Description string
	Direction                       string
	Ethertype                       string // empty: IPv4
	Protocol                        string
	PortMin, PortMax                *int
	RemotePrefix                    string
	RemoteGroup                     string
}

// SecurityGroupRules is what the Networking API's security group rules need.
type SecurityGroupRules interface {
	// CreateSecurityGroupRules makes all of the rules, or none. One that a group
	// has already is ErrConflict.
	CreateSecurityGroupRules(ctx context.Context, specs []RuleSpec) ([]SecurityGroupRule, error)
	SecurityGroupRule(ctx context.Context, id string) (SecurityGroupRule, error)
	ListSecurityGroupRules(ctx context.Context, f Filter, p nephos.Page) ([]SecurityGroupRule, bool, error)
	DeleteSecurityGroupRule(ctx context.Context, id string) error
}

var _ SecurityGroupRules = (*Service)(nil)

type ruleRow struct {
	bun.BaseModel `bun:"table:network_security_rules,alias:rule"`
	SecurityGroupRule
}

func (r *ruleRow) whole() SecurityGroupRule {
	rule := r.SecurityGroupRule
	rule.Tags = nonNil(rule.Tags)
	return rule
}

var ruleList = &listing{
	table: "network_security_rules", alias: "rule", missing: ruleNotFound,
	fields: metaFields("rule", map[string]field{
		"security_group_id": {column: "rule.group_id"},
		"direction":         {column: "rule.direction"},
		"ethertype":         {column: "rule.ethertype"},
		"protocol":          {column: "rule.protocol"},
		"port_range_min":    {column: "rule.port_min", kind: integer},
		"port_range_max":    {column: "rule.port_max", kind: integer},
		"remote_ip_prefix":  {column: "rule.remote_prefix"},
		"remote_group_id":   {column: "rule.remote_group"},
	}),
}

// protocols are the names of IP protocols that rules know.
var protocols = map[string]int{
	"ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0, "ipip": 4,
	"ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60, "ipv6-route": 43,
	"ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
}

// sameness says what the rule does in a line, so that twins can be told.
func (r SecurityGroupRule) sameness() string {
	proto := r.Protocol
	if n, ok := protocolNumber(proto); ok && proto != "" {
		proto = strconv.Itoa(n)
	}
	num := func(p *int) string {
		if p == nil {
			return "-"
		}
		return strconv.Itoa(*p)
	}
	prefix := r.Normalized()
	if prefix == "0.0.0.0/0" || prefix == "::/0" {
		prefix = "" // the same as any
	}
	return strings.Join([]string{r.Direction, r.Ethertype, proto, num(r.PortMin), num(r.PortMax), prefix, r.RemoteGroup}, "|")
}

// Normalized is the remote prefix with the bits beyond its length cleared.
func (r SecurityGroupRule) Normalized() string {
	p, err := netip.ParsePrefix(r.RemotePrefix)
	if err != nil {
		return ""
	}
	return p.Masked().String()
}

// CreateSecurityGroupRules implements [SecurityGroupRules].
func (s *Service) CreateSecurityGroupRules(ctx context.Context, specs []RuleSpec) ([]SecurityGroupRule, error) {
	ids := s.newIDs(len(specs))
	rules := make([]SecurityGroupRule, len(specs))
	seen := map[string]bool{}
	for i, spec := range specs {
		owner, err := s.ownerOf(ctx, spec.ProjectID)
		if err != nil {
			return nil, err
		}
		if err := s.allow(ctx, owned(owner), "create_security_group_rule"); err != nil {
			return nil, err
		}
		r, err := ruleOf(spec)
		if err != nil {
			return nil, err
		}
		if len(specs) > 1 && spec.GroupID != specs[0].GroupID {
			return nil, invalid("SecurityGroupNotSingleGroupRules", "Only allowed to update rules for one security profile at a time")
		}
		if seen[r.Sameness] {
			return nil, conflict("DuplicateSecurityGroupRuleInPost", "Duplicate Security Group Rule in POST.")
		}
		seen[r.Sameness] = true
		g, err := s.SecurityGroup(ctx, spec.GroupID)
		if err != nil {
			return nil, err
		}
		if r.RemoteGroup != "" {
			if _, err := s.SecurityGroup(ctx, r.RemoteGroup); err != nil {
				return nil, err
			}
		}
		if owner != g.ProjectID && !s.everywhere(ctx) {
			return nil, groupNotFound(spec.GroupID)
		}
		if spec.ProjectID == "" {
			owner = g.ProjectID
		}
		r.Meta = s.newMeta(ids[i], owner)
		rules[i] = r
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		again, done, err := s.rules().repeated(ctx, tx, ids)
		if err != nil || done {
			rules = again
			return err
		}
		return s.insertRules(ctx, tx, rules)
	})
	if err != nil {
		return nil, err
	}
	return rules, nil
}

// loadRules returns those rules that exist. It checks no policy.
func loadRules(ctx context.Context, db bun.IDB, ids ...string) ([]SecurityGroupRule, error) {
	var rows []ruleRow
	if err := db.NewSelect().Model(&rows).Where("rule.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	rules := make([]SecurityGroupRule, len(rows))
	for i := range rows {
		rules[i] = rows[i].whole()
	}
	return rules, nil
}

// insertRules writes rules of one group.
func (s *Service) insertRules(ctx context.Context, tx *store.Tx, rules []SecurityGroupRule) error {
	group := rules[0].GroupID
	g, err := s.groups().one(ctx, tx, group)
	if err != nil {
		return err
	}
	for project, n := range countBy(rules, func(r SecurityGroupRule) string { return r.ProjectID }) {
		if err := s.quota(ctx, tx, project, "security_group_rule", n); err != nil {
			return err
		}
	}
	rows := make([]ruleRow, len(rules))
	for i, r := range rules {
		j := slices.IndexFunc(g.Rules, func(have SecurityGroupRule) bool { return have.Sameness == r.Sameness })
		if j >= 0 {
			return conflict("SecurityGroupRuleExists", "Security group rule already exists. Rule id is %s.", g.Rules[j].ID)
		}
		rows[i] = ruleRow{SecurityGroupRule: r}
		if err := emit(ctx, tx, "security_group_rule.create", r.Meta, map[string]string{"security_group_id": group}); err != nil {
			return err
		}
	}
	if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return err
	}
	return s.rulesChanged(ctx, tx, group, rules)
}

// rulesChanged notes that a group's rules have.
func (s *Service) rulesChanged(ctx context.Context, tx *store.Tx, group string, rules []SecurityGroupRule) error {
	if _, err := tx.NewRaw("UPDATE network_security_groups SET revision = revision + 1, updated_at = ? WHERE id = ?", tx.Now(), group).Exec(ctx); err != nil {
		return err
	}
	ids := []string{group}
	for _, r := range rules {
		// Hosts with the group must know the members of those it lets in.
		if r.RemoteGroup != "" && !slices.Contains(ids, r.RemoteGroup) {
			ids = append(ids, r.RemoteGroup)
		}
	}
	if len(ids) == 1 {
		return s.enqueueIfPlaced(ctx, tx, kindGroup, driver.KindSecurityGroup, group)
	}
	n, err := tx.NewSelect().Table("network_placed").Where("kind = ? AND id = ?", driver.KindSecurityGroup, group).Count(ctx)
	if err != nil || n == 0 {
		return err
	}
	return s.enqueue(ctx, tx, kindGroup, ids...)
}

// SecurityGroupRule implements [SecurityGroupRules].
func (s *Service) SecurityGroupRule(ctx context.Context, id string) (SecurityGroupRule, error) {
	return s.rules().shown(ctx, id)
}

// ListSecurityGroupRules implements [SecurityGroupRules].
func (s *Service) ListSecurityGroupRules(ctx context.Context, f Filter, p nephos.Page) ([]SecurityGroupRule, bool, error) {
	if err := s.signedIn(ctx); err != nil {
		return nil, false, err
	}
	if err := s.haveDefaultGroup(ctx); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []ruleRow
	q, ok := s.ownOnly(ctx, db.NewSelect().Model(&rows), "rule", "get_security_group_rule")
	if !ok {
		return nil, false, nil
	}
	more, err := find(ctx, db, ruleList, q, &rows, f, p)
	rules := make([]SecurityGroupRule, len(rows))
	for i := range rows {
		rules[i] = rows[i].whole()
	}
	return rules, more, err
}

// DeleteSecurityGroupRule implements [SecurityGroupRules].
func (s *Service) DeleteSecurityGroupRule(ctx context.Context, id string) error {
	r, err := s.SecurityGroupRule(ctx, id)
	if err != nil {
		return err
	}
	if err := s.allow(ctx, owned(r.ProjectID), "delete_security_group_rule"); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if err := checkRevision(ctx, r.Meta); err != nil {
			return err
		}
		res, err := tx.NewRaw("DELETE FROM network_security_rules WHERE id = ?", id).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			if err != nil {
				return fmt.Errorf("deleting security group rule %s: %w", id, err)
			}
			return ruleNotFound(id)
		}
		if err := emit(ctx, tx, "security_group_rule.delete", r.Meta, map[string]string{"security_group_id": r.GroupID}); err != nil {
			return err
		}
		return s.rulesChanged(ctx, tx, r.GroupID, []SecurityGroupRule{r})
	})
}
