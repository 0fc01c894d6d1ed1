package network

import (
	"context"
	"slices"

	"github.com/nephos-cloud/nephos"
)

// GroupsOf returns the security groups of a device's ports, with their rules.
func (s *Service) GroupsOf(ctx context.Context, deviceID string) ([]SecurityGroup, error) {
	views, err := s.PortsOf(ctx, deviceID)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, v := range views {
		ids = append(ids, v.SecurityGroups...)
	}
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) == 0 {
		return nil, nil
	}
	return loadGroups(ctx, s.cfg.Store.Reader(), ids...)
}

// AddGroup puts every port of a device into one more security group, which the
// caller's project has by that name or ID. A port that filters nothing, or that is
// in the group, is ErrInvalid, and nothing is changed.
func (s *Service) AddGroup(ctx context.Context, deviceID, group string) error {
	return s.regroup(ctx, deviceID, group, true, func(groups []string, id string) []string {
		return append(slices.Clone(groups), id)
	})
}

// RemoveGroup takes every port of a device out of a security group. ErrNotFound
// if none is in it.
func (s *Service) RemoveGroup(ctx context.Context, deviceID, group string) error {
	found := false
	err := s.regroup(ctx, deviceID, group, false, func(groups []string, id string) []string {
		if !slices.Contains(groups, id) {
			return groups
		}
		found = true
		return slices.DeleteFunc(slices.Clone(groups), func(g string) bool { return g == id })
	})
	if err == nil && !found {
		return nephos.Errorf(nephos.ErrNotFound, "Security group %.255s not associated with the instance %s", group, deviceID)
	}
	return err
}

// regroup changes the groups of a device's ports, all of which must filter
// packets if filtered is set.
func (s *Service) regroup(ctx context.Context, deviceID, group string, filtered bool, change func(groups []string, id string) []string) error {
	id, err := s.groupNamed(ctx, group)
	if err != nil {
		return err
	}
	views, err := s.PortsOf(ctx, deviceID)
	if err != nil {
		return err
	}
	if len(views) == 0 {
		return nephos.Errorf(nephos.ErrNotFound, "instance_id %s could not be found as device id on any ports", deviceID)
	}
	for _, v := range views {
		switch {
		case filtered && (!v.PortSecurity || len(v.FixedIPs) == 0):
			return nephos.Errorf(nephos.ErrInvalid, "Network requires port_security_enabled and subnet associated in order to apply security groups.")
		case filtered && slices.Contains(v.SecurityGroups, id):
			return nephos.Errorf(nephos.ErrInvalid, "Invalid input for security_groups. Reason: Duplicate items in the list: '%s'.", id)
		}
	}
	for _, v := range views {
		groups := change(v.SecurityGroups, id)
		if slices.Equal(groups, v.SecurityGroups) {
			continue
		}
		if _, err := s.UpdatePort(ctx, v.ID, PortUpdate{SecurityGroups: &groups}); err != nil {
			return err
		}
	}
	return nil
}

// groupNamed returns the ID of the caller's security group of that name or ID.
func (s *Service) groupNamed(ctx context.Context, group string) (string, error) {
	if err := s.signedIn(ctx); err != nil {
		return "", err
	}
	if err := s.haveDefaultGroup(ctx); err != nil {
		return "", err
	}
	project := caller(ctx).ProjectID
	var rows []groupRow
	err := s.cfg.Store.Reader().NewSelect().Model(&rows).Where("sg.project_id = ? AND (sg.id = ? OR sg.name = ?)", project, group, group).Scan(ctx)
	switch {
	case err != nil:
		return "", err
	case len(rows) == 0:
		return "", nephos.Errorf(nephos.ErrNotFound, "Security group %.255s is not found for project %s", group, project)
	case len(rows) > 1:
		for _, r := range rows {
			if r.ID == group {
				return r.ID, nil
			}
		}
		return "", nephos.Errorf(nephos.ErrConflict, "Multiple security groups found matching '%.255s'. Use an ID to be more specific.", group)
	}
	return rows[0].ID, nil
}
