package compute

import (
	"context"
	"errors"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/network"
)

// SecurityGroup is a security group of the network service, and SecurityGroupRule
// one of its rules.
type (
	SecurityGroup       = network.SecurityGroup
	SecurityGroupRule   = network.SecurityGroupRule
	SecurityGroupSpec   = network.SecurityGroupSpec
	SecurityGroupUpdate = network.SecurityGroupUpdate
	SecurityRuleSpec    = network.RuleSpec
)

// SecurityGroups is what the Compute API's old view of all security groups
// needs, which microversion 2.36 ended. The network service's operations check its
// own rules.
type SecurityGroups interface {
	ListProjectGroups(ctx context.Context) ([]SecurityGroup, error)
	ProjectGroup(ctx context.Context, id string) (SecurityGroup, error)
	CreateProjectGroup(ctx context.Context, spec SecurityGroupSpec) (SecurityGroup, error)
	UpdateProjectGroup(ctx context.Context, id string, u SecurityGroupUpdate) (SecurityGroup, error)
	DeleteProjectGroup(ctx context.Context, id string) error
	CreateGroupRule(ctx context.Context, spec SecurityRuleSpec) (SecurityGroupRule, error)
	DeleteGroupRule(ctx context.Context, id string) error
}

var _ SecurityGroups = (*Service)(nil)

// groups checks a rule and returns the network service, if there is one.
func (s *Service) groups(ctx context.Context, rule string) (NetworkGroups, error) {
	if err := s.cfg.Policy.Enforce(ctx, "os_compute_api:os-security-groups:"+rule, map[string]any{"project_id": caller(ctx).ProjectID}); err != nil {
		return nil, err
	}
	if s.cfg.Groups == nil {
		return nil, nephos.Errorf(errors.ErrUnsupported, "There are no security groups here.")
	}
	return s.cfg.Groups, nil
}

// ListProjectGroups implements [SecurityGroups].
func (s *Service) ListProjectGroups(ctx context.Context) ([]SecurityGroup, error) {
	g, err := s.groups(ctx, "get")
	if err != nil {
		return nil, err
	}
	f := network.Filter{"project_id": {caller(ctx).ProjectID}}
	list, _, err := g.ListSecurityGroups(ctx, f, nephos.Page{Sort: []nephos.SortKey{{Key: "name"}}})
	return list, err
}

// ProjectGroup implements [SecurityGroups].
func (s *Service) ProjectGroup(ctx context.Context, id string) (SecurityGroup, error) {
	g, err := s.groups(ctx, "show")
	if err != nil {
		return SecurityGroup{}, err
	}
	return g.SecurityGroup(ctx, id)
}

// CreateProjectGroup implements [SecurityGroups].
func (s *Service) CreateProjectGroup(ctx context.Context, spec SecurityGroupSpec) (SecurityGroup, error) {
	g, err := s.groups(ctx, "create")
	if err != nil {
		return SecurityGroup{}, err
	}
	made, err := g.CreateSecurityGroups(ctx, []SecurityGroupSpec{spec})
	if err != nil {
		return SecurityGroup{}, err
	}
	return made[0], nil
}

// UpdateProjectGroup implements [SecurityGroups].
func (s *Service) UpdateProjectGroup(ctx context.Context, id string, u SecurityGroupUpdate) (SecurityGroup, error) {
	g, err := s.groups(ctx, "update")
	if err != nil {
		return SecurityGroup{}, err
	}
	return g.UpdateSecurityGroup(ctx, id, u)
}

// DeleteProjectGroup implements [SecurityGroups].
func (s *Service) DeleteProjectGroup(ctx context.Context, id string) error {
	g, err := s.groups(ctx, "delete")
	if err != nil {
		return err
	}
	return g.DeleteSecurityGroup(ctx, id)
}

// CreateGroupRule implements [SecurityGroups].
func (s *Service) CreateGroupRule(ctx context.Context, spec SecurityRuleSpec) (SecurityGroupRule, error) {
	g, err := s.groups(ctx, "rule:create")
	if err != nil {
		return SecurityGroupRule{}, err
	}
	made, err := g.CreateSecurityGroupRules(ctx, []SecurityRuleSpec{spec})
	if err != nil {
		return SecurityGroupRule{}, err
	}
	return made[0], nil
}

// DeleteGroupRule implements [SecurityGroups].
func (s *Service) DeleteGroupRule(ctx context.Context, id string) error {
	g, err := s.groups(ctx, "rule:delete")
	if err != nil {
		return err
	}
	return g.DeleteSecurityGroupRule(ctx, id)
}

// ServerSecurityGroups is what the Compute API's security groups of a server
// need. They are those of its ports.
type ServerSecurityGroups interface {
	ListServerSecurityGroups(ctx context.Context, serverID string) ([]SecurityGroup, error)
	// AddServerSecurityGroup puts all cards of a server into a group, by its name
	// or ID.
	AddServerSecurityGroup(ctx context.Context, serverID, group string) error
	// RemoveServerSecurityGroup takes them out of it; ErrNotFound if none is in it.
	RemoveServerSecurityGroup(ctx context.Context, serverID, group string) error
}

var _ ServerSecurityGroups = (*Service)(nil)

// ListServerSecurityGroups implements [ServerSecurityGroups].
func (s *Service) ListServerSecurityGroups(ctx context.Context, serverID string) ([]SecurityGroup, error) {
	row, err := s.find(ctx, serverID, false)
	if err != nil {
		return nil, err
	}
	if err := s.cfg.Policy.Enforce(ctx, "os_compute_api:os-security-groups:list", row.target()); err != nil {
		return nil, err
	}
	if s.cfg.Ports == nil {
		return nil, nil
	}
	return s.cfg.Ports.GroupsOf(ctx, serverID)
}

// AddServerSecurityGroup implements [ServerSecurityGroups].
func (s *Service) AddServerSecurityGroup(ctx context.Context, serverID, group string) error {
	return s.regroup(ctx, serverID, "addSecurityGroup", "os_compute_api:os-security-groups:add", func() error {
		return s.cfg.Ports.AddGroup(ctx, serverID, group)
	})
}

// RemoveServerSecurityGroup implements [ServerSecurityGroups].
func (s *Service) RemoveServerSecurityGroup(ctx context.Context, serverID, group string) error {
	return s.regroup(ctx, serverID, "removeSecurityGroup", "os_compute_api:os-security-groups:remove", func() error {
		return s.cfg.Ports.RemoveGroup(ctx, serverID, group)
	})
}

func (s *Service) regroup(ctx context.Context, serverID, action, rule string, change func() error) error {
	row, err := s.find(ctx, serverID, false)
	if err != nil {
		return err
	}
	if err := s.cfg.Policy.Enforce(ctx, rule, row.target()); err != nil {
		return err
	}
	if s.cfg.Ports == nil {
		return refusal(action, row.ID, "vm_state", row.VMState)
	}
	if err := change(); err != nil {
		return err
	}
	// The server shows it at once, not when the network's event has come.
	return s.refresh(row.served(ctx), []string{serverID})
}
