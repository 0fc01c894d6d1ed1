package compute

import (
	"context"
	"slices"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// AddAggregateHost implements [Aggregates].
func (s *Service) AddAggregateHost(ctx context.Context, id int64, host string) (Aggregate, error) {
	if err := s.cfg.Policy.Enforce(ctx, aggregateRule("add_host"), nil); err != nil {
		return Aggregate{}, err
	}
	return s.changeAggregate(ctx, id, "add_host", func(ctx context.Context, tx *store.Tx, a *Aggregate) error {
		if err := knownHost(ctx, tx, host); err != nil {
			return err
		}
		if zone := a.Zone(); zone != "" {
			if why, err := zoneObjection(ctx, tx, a, zone, []string{host}, false); err != nil || why != "" {
				return refused(err, nephos.ErrConflict, "Cannot add host to aggregate %d. Reason: %s.", a.ID, why)
			}
		}
		if slices.Contains(a.Hosts, host) {
			return nephos.Errorf(nephos.ErrConflict, "Aggregate %d already has host %s.", a.ID, host)
		}
		if _, err := tx.NewInsert().Model(&aggregateHostRow{AggregateID: a.ID, Host: host}).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		a.Hosts = append(a.Hosts, host)
		slices.Sort(a.Hosts)
		return nil
	})
}

// RemoveAggregateHost implements [Aggregates].
func (s *Service) RemoveAggregateHost(ctx context.Context, id int64, host string) (Aggregate, error) {
	if err := s.cfg.Policy.Enforce(ctx, aggregateRule("remove_host"), nil); err != nil {
		return Aggregate{}, err
	}
	return s.changeAggregate(ctx, id, "remove_host", func(ctx context.Context, tx *store.Tx, a *Aggregate) error {
		i := slices.Index(a.Hosts, host)
		if i < 0 {
			return nephos.Errorf(nephos.ErrNotFound, "Cannot remove host %s in aggregate %d", clip(host), a.ID)
		}
		if _, err := tx.NewDelete().Model(&aggregateHostRow{AggregateID: a.ID, Host: host}).WherePK().Exec(ctx); err != nil {
			return err
		}
		a.Hosts = slices.Delete(slices.Clone(a.Hosts), i, i+1)
		return nil
	})
}

func knownHost(ctx context.Context, db bun.IDB, host string) error {
	known, err := db.NewSelect().Table("compute_hosts").Where("name = ?", host).Exists(ctx)
	if err == nil && !known {
		err = nephos.Errorf(nephos.ErrNotFound, "Compute host %s could not be found.", clip(host))
	}
	return err
}

// zoneObjection says why the hosts of an aggregate cannot be in a zone; empty if
// nothing speaks against it.
func zoneObjection(ctx context.Context, db bun.IDB, a *Aggregate, zone string, hosts []string, noServers bool) (string, error) {
	if zone == "" {
		return "Aggregate " + a.Name + " does not support empty named availability zone", nil
	}
	if len(hosts) == 0 {
		return "", nil
	}
	of, err := aggregatesOf(ctx, db, hosts...)
	if err != nil {
		return "", err
	}
	var others []string
	for _, h := range hosts {
		for _, other := range of[h] {
			z := other.Metadata[zoneKey]
			if z != "" && z != zone && other.ID != a.UUID && !slices.Contains(others, z) {
				others = append(others, z)
			}
		}
	}
	if len(others) > 0 {
		slices.Sort(others)
		return "One or more hosts already in availability zone(s) " + pythonList(others), nil
	}
	if noServers && zone != a.Zone() {
		busy, err := db.NewSelect().Table("compute_servers").Where("host IN (?) AND NOT deleted", bun.List(hosts)).Exists(ctx)
		if err != nil {
			return "", err
		}
		if busy {
			return "One or more hosts contain instances in this zone", nil
		}
	}
	return "", nil
}

// pythonList writes names as messages of the Compute API do.
func pythonList(names []string) string {
	out := "["
	for i, n := range names {
		if i > 0 {
			out += ", "
		}
		out += "'" + n + "'"
	}
	return out + "]"
}
