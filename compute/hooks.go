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

// bootGroup returns the project's server group: ErrInvalid when there is none.
func (s *Service) bootGroup(ctx context.Context, id string) (scheduler.Group, error) {
	panic("compute: not yet")
}

// joinGroup adds servers to their group inside the boot's transaction, within
// the quota of its members.
func (s *Service) joinGroup(ctx context.Context, tx *store.Tx, groupID string, servers ...string) error {
	panic("compute: not yet")
}

// leaveGroups removes a server from its group when its record goes.
func leaveGroups(ctx context.Context, tx *store.Tx, serverID string) error { panic("compute: not yet") }

// groupsOf tells the group of each server that is in one, in one query.
func groupsOf(ctx context.Context, db bun.IDB, serverIDs []string) (map[string]string, error) {
	panic("compute: not yet")
}

// aggregatesOf returns the aggregates of each host (by name), all hosts when none are named,
// in one query.
func aggregatesOf(ctx context.Context, db bun.IDB, hosts ...string) (map[string][]scheduler.Aggregate, error) {
	panic("compute: not yet")
}

// delta is what a boot adds to a project's use.
type delta struct{ instances, cores, ramMiB int }

// checkQuota fails with ErrQuota if the project's servers and the delta exceed
// its quota. It counts rows of compute_servers (not deleted: columns vcpus, memory_mib) inside
// the transaction that adds the servers.
func (s *Service) checkQuota(ctx context.Context, tx *store.Tx, projectID string, d delta) error {
	panic("compute: not yet")
}

// limits that a boot request is held against without counting rows.
type itemLimits struct{ metadata, injectedFiles, injectedFileBytes, injectedPathBytes int }

// itemLimitsOf returns the project's quotas of metadata items and injected files.
func (s *Service) itemLimitsOf(ctx context.Context, projectID string) (itemLimits, error) {
	panic("compute: not yet")
}
