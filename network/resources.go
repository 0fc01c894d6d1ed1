package network

import (
	"context"
	"slices"
	"strconv"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// resource is what all resources of the service are: they have [Meta], and what
// policy is asked about.
type resource interface {
	meta() Meta
	target() policy.Target
}

func (m Meta) meta() Meta            { return m }
func (m Meta) target() policy.Target { return owned(m.ProjectID) }

// resources are all resources of a kind.
type resources[T resource] struct {
	s       *Service
	name    string // of one, in rules, quotas and events
	load    func(ctx context.Context, db bun.IDB, ids ...string) ([]T, error)
	missing func(id string) error
	grouped bool // the first of a project brings its default security group; ports see to that themselves
}

func (s *Service) networks() resources[Network] {
	return resources[Network]{s, "network", s.loadNetworks, networkNotFound, true}
}

func (s *Service) subnets() resources[Subnet] {
	return resources[Subnet]{s, "subnet", loadSubnets, subnetNotFound, false}
}

func (s *Service) ports() resources[Port] {
	return resources[Port]{s, "port", loadPorts, portNotFound, false}
}

func (s *Service) routers() resources[Router] {
	return resources[Router]{s, "router", s.loadRouters, routerNotFound, false}
}

func (s *Service) floatingIPs() resources[FloatingIP] {
	return resources[FloatingIP]{s, "floatingip", loadFloatingIPs, floatingIPNotFound, false}
}

func (s *Service) groups() resources[SecurityGroup] {
	return resources[SecurityGroup]{s, "security_group", loadGroups, groupNotFound, true}
}

func (s *Service) rules() resources[SecurityGroupRule] {
	return resources[SecurityGroupRule]{s, "security_group_rule", loadRules, ruleNotFound, false}
}

// one returns a resource, or that there is none. It checks no policy.
func (r resources[T]) one(ctx context.Context, db bun.IDB, id string) (T, error) {
	found, err := r.load(ctx, db, id)
	if err == nil && len(found) == 0 {
		err = r.missing(id)
	}
	if err != nil {
		var none T
		return none, err
	}
	return found[0], nil
}

// current returns a resource that is about to be changed, if it has the revision
// that the caller knows. It checks no policy.
func (r resources[T]) current(ctx context.Context, tx *store.Tx, id string) (T, error) {
	found, err := r.one(ctx, tx, id)
	if err != nil {
		return found, err
	}
	return found, checkRevision(ctx, found.meta())
}

// shown returns a resource that the caller may see; to strangers it is not there.
func (r resources[T]) shown(ctx context.Context, id string) (T, error) {
	var none T
	if err := r.s.signedIn(ctx); err != nil {
		return none, err
	}
	found, err := r.one(ctx, r.s.cfg.Store.Reader(), id)
	if err != nil {
		return none, err
	}
	if !r.s.everywhere(ctx) && r.s.allow(ctx, found.target(), "get_"+r.name) != nil {
		return none, r.missing(id)
	}
	return found, nil
}

// spec describes a resource to create, for a project.
type spec interface{ owner() string }

func (n NetworkSpec) owner() string       { return n.ProjectID }
func (n SubnetSpec) owner() string        { return n.ProjectID }
func (p PortSpec) owner() string          { return p.ProjectID }
func (r RouterSpec) owner() string        { return r.ProjectID }
func (f FloatingIPSpec) owner() string    { return f.ProjectID }
func (g SecurityGroupSpec) owner() string { return g.ProjectID }

// create makes all of the resources, or none, in one transaction: within the
// quotas of their projects, and once for an idempotency key.
func create[T resource, S spec](ctx context.Context, r resources[T], specs []S,
	insert func(ctx context.Context, tx *store.Tx, id string, spec S) (T, error),
) ([]T, error) {
	ids := r.s.newIDs(len(specs))
	var made []T
	err := r.s.retry(func() error {
		return r.s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			made = made[:0]
			again, done, err := r.repeated(ctx, tx, ids)
			if err != nil || done {
				made = again
				return err
			}
			for project, n := range countBy(specs, S.owner) {
				if r.grouped && project != "" {
					if _, err := r.s.defaultGroup(ctx, tx, project); err != nil {
						return err
					}
				}
				if err := r.s.quota(ctx, tx, project, r.name, n); err != nil {
					return err
				}
			}
			for i, spec := range specs {
				one, err := insert(ctx, tx, ids[i], spec)
				if err != nil {
					return err
				}
				made = append(made, one)
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// errAgain says that another transaction was faster, and that the next try will
// get on: a MAC address that was chosen is taken, or the default group is there.
var errAgain = nephos.Errorf(nephos.ErrUnavailable, "Unable to generate unique mac.").WithReason("NetworkMacAddressGenerationFailure")

// retry does f again while it returns errAgain.
func (s *Service) retry(f func() error) error {
	var err error
	for range 16 {
		if err = f(); err != errAgain { //nolint:errorlint // the very value
			return err
		}
	}
	return err
}

// newIDs returns the ids of n new resources. All follow from the first, so that
// a repeated bulk request finds everything that it made.
func (s *Service) newIDs(n int) []string { return idsAfter(s.cfg.IDs.New(), n) }

func idsAfter(first string, n int) []string {
	ids := []string{first}
	for i := 1; i < n; i++ {
		ids = append(ids, nephos.ChildID(first, strconv.Itoa(i)))
	}
	return ids
}

// repeated returns what an earlier request with the same idempotency key made;
// not ok when this is the first.
func (r resources[T]) repeated(ctx context.Context, tx *store.Tx, ids []string) ([]T, bool, error) {
	first, isFirst, err := tx.Once(ctx, "network.create_"+r.name, ids[0])
	if err != nil || isFirst {
		return nil, false, err
	}
	ids = idsAfter(first, len(ids))
	items, err := r.load(ctx, tx, ids...)
	if err != nil {
		return nil, true, err
	}
	slices.SortFunc(items, func(a, b T) int { return slices.Index(ids, a.meta().ID) - slices.Index(ids, b.meta().ID) })
	if len(items) == 0 {
		return nil, true, nephos.Errorf(nephos.ErrNotFound, "What the first request with this Idempotency-Key made could not be found.")
	}
	return items, true, nil
}
