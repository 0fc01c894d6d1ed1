package compute

import (
	"context"

	"github.com/nephos-cloud/nephos/network"
	"github.com/nephos-cloud/nephos/store"
)

// SecurityGroup is a security group of the network service, and SecurityGroupRule
// one of its rules.
type (
	SecurityGroup     = network.SecurityGroup
	SecurityGroupRule = network.SecurityGroupRule
)

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
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return row.done(ctx, tx, action) })
}
