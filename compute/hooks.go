package compute

import (
	"context"

	"github.com/nephos-cloud/nephos/store"
)

// This file is what servers ask of the catalog (flavors, keypairs, groups,
// aggregates, quotas). Each function lives in its resource's own file once that
// is there.

// delta is what a boot adds to a project's use.
type delta struct{ instances, cores, ramMiB int }

// bootQuota returns how many servers, each of which adds the delta, fit into the
// project's quota: at most hi. When not even lo fit it fails with ErrQuota. It
// counts rows of compute_servers (not deleted; columns vcpus, memory_mib) inside the
// transaction that adds the servers.
func (s *Service) bootQuota(ctx context.Context, tx *store.Tx, projectID string, each delta, lo, hi int) (int, error) {
	return hi, nil
}

// limits that a boot request is held against without counting rows.
type itemLimits struct{ metadata, injectedFiles, injectedFileBytes, injectedPathBytes int }

// itemLimitsOf returns the project's quotas of metadata items and injected files.
func (s *Service) itemLimitsOf(ctx context.Context, projectID string) (itemLimits, error) {
	return itemLimits{metadata: 128, injectedFiles: 5, injectedFileBytes: 10240, injectedPathBytes: 255}, nil
}
