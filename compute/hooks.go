package compute

import (
	"context"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/store"
)

// This file is what servers ask of the catalog (flavors, keypairs, groups,
// aggregates, quotas). Each function lives in its resource's own file once that
// is there.

// bootFlavor returns the flavor with its extra specs, if the context's caller
// may boot from it: ErrNotFound otherwise.
func (s *Service) bootFlavor(ctx context.Context, id string) (Flavor, error) { panic("compute: not yet") }

// bootKeyPair returns the public key of the context's user's keypair:
// ErrInvalid "Invalid key_name provided." when there is none.
func (s *Service) bootKeyPair(ctx context.Context, name string) (publicKey string, kind string, err error) {
	panic("compute: not yet")
}

// bootGroup returns the caller's project's server group (ID, Policy and
// MaxServerPerHost): ErrInvalid "Instance group X could not be found." when there is none.
func (s *Service) bootGroup(ctx context.Context, id string) (scheduler.Group, error) {
	panic("compute: not yet")
}

// joinGroup holds the quota of a group's members against servers that are about to
// be added to it, inside the boot's transaction. Members are the rows of
// compute_servers with the group's id in group_id that are not deleted.
func (s *Service) joinGroup(ctx context.Context, tx *store.Tx, groupID string, servers ...string) error {
	panic("compute: not yet")
}

// aggregatesOf returns the aggregates of each host (by name), all hosts when none are named,
// in one query.
func aggregatesOf(ctx context.Context, db bun.IDB, hosts ...string) (map[string][]scheduler.Aggregate, error) {
	panic("compute: not yet")
}

// delta is what a boot adds to a project's use.
type delta struct{ instances, cores, ramMiB int }

// bootQuota returns how many servers, each of which adds the delta, fit into the
// project's quota: at most hi. When not even lo fit it fails with ErrQuota. It
// counts rows of compute_servers (not deleted; columns vcpus, memory_mib) inside the
// transaction that adds the servers.
func (s *Service) bootQuota(ctx context.Context, tx *store.Tx, projectID string, each delta, lo, hi int) (int, error) {
	panic("compute: not yet")
}

// zoneExists reports whether a host is in the availability zone.
func (s *Service) zoneExists(ctx context.Context, zone string) (bool, error) {
	panic("compute: not yet")
}

// limits that a boot request is held against without counting rows.
type itemLimits struct{ metadata, injectedFiles, injectedFileBytes, injectedPathBytes int }

// itemLimitsOf returns the project's quotas of metadata items and injected files.
func (s *Service) itemLimitsOf(ctx context.Context, projectID string) (itemLimits, error) {
	panic("compute: not yet")
}
