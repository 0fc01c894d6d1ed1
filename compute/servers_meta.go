package compute

import (
	"context"
	"maps"
	"slices"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

var (
	_ ServerMetadata = (*Service)(nil)
	_ ServerTags     = (*Service)(nil)
	_ Actions        = (*Service)(nil)
	_ Servers        = (*Service)(nil)
)

const metadataRule = "os_compute_api:server-metadata:"

// ServerMetadata implements [ServerMetadata].
func (s *Service) ServerMetadata(ctx context.Context, id string) (map[string]string, error) {
	row, err := s.find(ctx, id, false)
	if err != nil {
		return nil, err
	}
	return row.Metadata, s.cfg.Policy.Enforce(ctx, metadataRule+"index", row.target())
}

// SetServerMetadata implements [ServerMetadata].
func (s *Service) SetServerMetadata(ctx context.Context, id string, meta map[string]string, merge bool) (map[string]string, error) {
	rule := metadataRule + "update_all"
	if merge {
		rule = metadataRule + "create"
	}
	limits, err := s.itemLimitsOf(ctx, caller(ctx).ProjectID)
	if err != nil {
		return nil, err
	}
	row, err := s.change(ctx, id, rule, false, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		all := maps.Clone(meta)
		if merge {
			all = orEmpty(maps.Clone(row.Metadata))
			maps.Copy(all, meta)
		}
		if err := checkMetadata(all, limits.metadata); err != nil {
			return err
		}
		return s.setMetadata(ctx, tx, row, "update", orEmpty(all))
	})
	if err != nil {
		return nil, err
	}
	return row.Metadata, nil
}

// DeleteServerMetadata implements [ServerMetadata].
func (s *Service) DeleteServerMetadata(ctx context.Context, id, key string) error {
	_, err := s.change(ctx, id, metadataRule+"delete", false, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		if _, ok := row.Metadata[key]; !ok {
			return nephos.Errorf(nephos.ErrNotFound, "Metadata item was not found")
		}
		all := maps.Clone(row.Metadata)
		delete(all, key)
		return s.setMetadata(ctx, tx, row, "delete", all)
	})
	return err
}

func (s *Service) setMetadata(ctx context.Context, tx *store.Tx, row *serverRow, operation string, all map[string]string) error {
	if !slices.Contains([]string{Active, Paused, Stopped, Suspended}, row.VMState) {
		return refusal(operation+" metadata", row.ID, "vm_state", row.VMState)
	}
	row.Metadata = all
	columns, err := s.tellGuest(ctx, tx, row)
	if err != nil {
		return err
	}
	if err := row.emit(ctx, tx, "update"); err != nil {
		return err
	}
	return row.save(ctx, tx, append(columns, "metadata")...)
}

const tagsRule = "os_compute_api:os-server-tags:"

// maxTags bounds the tags of a server.
const maxTags = 50

// ServerTags implements [ServerTags].
func (s *Service) ServerTags(ctx context.Context, id string) ([]string, error) {
	row, err := s.find(ctx, id, false)
	if err != nil {
		return nil, err
	}
	return row.Tags, s.cfg.Policy.Enforce(ctx, tagsRule+"index", row.target())
}

// SetServerTags implements [ServerTags].
func (s *Service) SetServerTags(ctx context.Context, id string, tags []string) ([]string, error) {
	row, err := s.change(ctx, id, tagsRule+"update_all", true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		unique := []string{}
		for _, t := range tags {
			if !slices.Contains(unique, t) {
				unique = append(unique, t)
			}
		}
		return s.setTags(ctx, tx, row, unique)
	})
	if err != nil {
		return nil, err
	}
	return row.Tags, nil
}

// AddServerTag implements [ServerTags].
func (s *Service) AddServerTag(ctx context.Context, id, tag string) (bool, error) {
	added := false
	_, err := s.change(ctx, id, tagsRule+"update", true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		if added = !slices.Contains(row.Tags, tag); !added {
			return nil
		}
		return s.setTags(ctx, tx, row, append(slices.Clone(row.Tags), tag))
	})
	return added, err
}

// DeleteServerTag implements [ServerTags]. No tag at all means all of them.
func (s *Service) DeleteServerTag(ctx context.Context, id, tag string) error {
	rule := tagsRule + "delete"
	if tag == "" {
		rule = tagsRule + "delete_all"
	}
	_, err := s.change(ctx, id, rule, true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		if tag == "" {
			return s.setTags(ctx, tx, row, []string{})
		}
		i := slices.Index(row.Tags, tag)
		if i < 0 {
			return nephos.Errorf(nephos.ErrNotFound, "Instance %s has no tag '%s'", id, tag)
		}
		return s.setTags(ctx, tx, row, slices.Delete(slices.Clone(row.Tags), i, i+1))
	})
	return err
}

func (s *Service) setTags(ctx context.Context, tx *store.Tx, row *serverRow, tags []string) error {
	if !slices.Contains([]string{Active, Paused, Stopped, Suspended}, row.VMState) {
		return refusal("update tags", row.ID, "vm_state", row.VMState)
	}
	if len(tags) > maxTags {
		return invalid("The number of tags exceeded the per-server limit %d", maxTags)
	}
	row.Tags = tags
	if err := row.emit(ctx, tx, "update"); err != nil {
		return err
	}
	return row.save(ctx, tx, "tags")
}
