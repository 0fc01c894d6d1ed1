package network

import (
	"context"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// The bounds of tags.
const (
	maxTags   = 50
	maxTagLen = 255
)

// Tags is what the Networking API's tags need. The resource is network, subnet,
// port, security_group, router or floatingip.
type Tags interface {
	ResourceTags(ctx context.Context, resource, id string) ([]string, error)
	// SetTags replaces all tags of a resource.
	SetTags(ctx context.Context, resource, id string, tags []string) ([]string, error)
	AddTag(ctx context.Context, resource, id, tag string) error
	// RemoveTag is ErrNotFound for a tag that is not there.
	RemoveTag(ctx context.Context, resource, id, tag string) error
}

// collectionOf names resources as errors do.
var collectionOf = map[string]string{
	"network": "networks", "subnet": "subnets", "port": "ports", "security_group": "security-groups", "router": "routers", "floatingip": "floatingips",
}

var _ Tags = (*Service)(nil)

// taggable finds the resource for the caller, with what its rules need.
func (s *Service) taggable(ctx context.Context, resource, id string) (Meta, policy.Target, error) {
	var m Meta
	var target policy.Target
	var err error
	switch resource {
	case "network":
		var n Network
		n, err = s.Network(ctx, id)
		m, target = n.Meta, n.target()
	case "subnet":
		var sub Subnet
		var n Network
		sub, n, err = s.subnetAndNetwork(ctx, id)
		m, target = sub.Meta, onNetwork(sub.ProjectID, n)
	case "port":
		var p Port
		var n Network
		p, n, err = s.portAndNetwork(ctx, id)
		m, target = p.Meta, portTarget(p, n)
	case "security_group":
		var g SecurityGroup
		g, err = s.SecurityGroup(ctx, id)
		m, target = g.Meta, owned(g.ProjectID)
	case "router":
		var r Router
		r, err = s.Router(ctx, id)
		m, target = r.Meta, owned(r.ProjectID)
	case "floatingip":
		var f FloatingIP
		f, err = s.FloatingIP(ctx, id)
		m, target = f.Meta, owned(f.ProjectID)
	default:
		return m, nil, nephos.NotFound("resource", resource)
	}
	if err != nil {
		var e error = nephos.Errorf(nephos.ErrNotFound, "Resource %s %s could not be found.", collectionOf[resource], id).WithReason("TagResourceNotFound")
		if caller(ctx).UserID == "" && s.signedIn(ctx) != nil {
			e = err
		}
		return m, nil, e
	}
	return m, target, nil
}

// ResourceTags implements [Tags].
func (s *Service) ResourceTags(ctx context.Context, resource, id string) ([]string, error) {
	m, _, err := s.taggable(ctx, resource, id)
	return m.Tags, err
}

// SetTags implements [Tags].
func (s *Service) SetTags(ctx context.Context, resource, id string, tags []string) ([]string, error) {
	tags = slices.Clone(nonNil(tags))
	slices.Sort(tags)
	tags = slices.Compact(tags)
	return tags, s.editTags(ctx, resource, id, func([]string) ([]string, error) { return tags, nil })
}

// AddTag implements [Tags].
func (s *Service) AddTag(ctx context.Context, resource, id, tag string) error {
	return s.editTags(ctx, resource, id, func(have []string) ([]string, error) {
		if slices.Contains(have, tag) {
			return have, nil
		}
		return append(have, tag), nil
	})
}

// RemoveTag implements [Tags].
func (s *Service) RemoveTag(ctx context.Context, resource, id, tag string) error {
	return s.editTags(ctx, resource, id, func(have []string) ([]string, error) {
		i := slices.Index(have, tag)
		if i < 0 {
			return nil, notFoundOn("TagNotFound", "Tag %s could not be found.", tag)
		}
		return slices.Delete(slices.Clone(have), i, i+1), nil
	})
}

func (s *Service) editTags(ctx context.Context, resource, id string, edit func([]string) ([]string, error)) error {
	_, target, err := s.taggable(ctx, resource, id)
	if err != nil {
		return err
	}
	if err := s.allow(ctx, target, "update_"+resource); err != nil {
		return err
	}
	table := listings[resource].table
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var row struct {
			bun.BaseModel `bun:"table:network_networks,alias:t"`
			Meta
		}
		ok, err := one(ctx, tx.NewSelect().Model(&row).ModelTableExpr(table+" AS t").Column("id", "project_id", "tags", "revision").Where("t.id = ?", id))
		if err != nil {
			return fmt.Errorf("reading the tags of %s %s: %w", resource, id, err)
		}
		if !ok {
			return listings[resource].missing(id)
		}
		if err := checkRevision(ctx, row.Meta); err != nil {
			return err
		}
		tags, err := edit(row.Tags)
		if err != nil {
			return err
		}
		if err := checkTags(tags); err != nil {
			return err
		}
		row.Tags = nonNil(tags)
		row.touch(tx.Now())
		_, err = tx.NewUpdate().Model(&row).ModelTableExpr(table+" AS t").Column("tags", "revision", "updated_at").Where("t.id = ?", id).Exec(ctx)
		if err != nil {
			return err
		}
		return emit(ctx, tx, resource+".update", row.Meta, nil)
	})
}

func checkTags(tags []string) error {
	if len(tags) > maxTags {
		return badAttribute("tags", "The number of tags exceeds the maximum %d", maxTags)
	}
	for _, t := range tags {
		if utf8.RuneCountInString(t) > maxTagLen {
			return invalidInput("tags", "'%s' exceeds maximum length of %d", t, maxTagLen)
		}
	}
	return nil
}
