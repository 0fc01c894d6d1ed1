package hypervisor

import (
	"context"
	"fmt"
)

// Statistics is [Statistician]'s.
func (n *Node) Statistics(ctx context.Context, id string) (Statistics, error) {
	d, err := able[Statistician](n, CanStatistics, "count what is used by", id)
	if err != nil {
		return Statistics{}, err
	}
	var s Statistics
	err = n.call(ctx, "Statistics", id, n.opts.Deadline, func(ctx context.Context) (err error) {
		s, err = d.Statistics(ctx, id)
		return err
	})
	return s, err
}

// SetPassword is [PasswordSetter]'s.
func (n *Node) SetPassword(ctx context.Context, id, user, password string) error {
	d, err := able[PasswordSetter](n, CanSetPassword, "set a password of", id)
	if err != nil {
		return err
	}
	return n.change(ctx, "SetPassword", id, n.opts.Deadline, func(ctx context.Context) error {
		return d.SetPassword(ctx, id, user, password)
	})
}

// CheckMigration is [LiveMigrator]'s, on the source.
func (n *Node) CheckMigration(ctx context.Context, id string, dest Host) (MigrationCheck, error) {
	d, err := able[LiveMigrator](n, CanLiveMigrate, "check the migration of", id)
	if err != nil {
		return MigrationCheck{}, err
	}
	var c MigrationCheck
	err = n.call(ctx, "CheckMigration", id, n.opts.Deadline, func(ctx context.Context) (err error) {
		c, err = d.CheckMigration(ctx, id, dest)
		return err
	})
	return c, err
}

// PrepareMigration is [LiveMigrator]'s, on the destination.
func (n *Node) PrepareMigration(ctx context.Context, id string, spec Spec, opts PrepareOptions) (MigrationTarget, error) {
	d, err := able[LiveMigrator](n, CanLiveMigrate, "prepare the migration of", id)
	if err != nil {
		return MigrationTarget{}, err
	}
	if err := n.checkSpec(spec); err != nil {
		return MigrationTarget{}, fmt.Errorf("prepare the migration of guest %s: %w", id, err)
	}
	var t MigrationTarget
	err = n.change(ctx, "PrepareMigration", id, n.opts.EnsureDeadline, func(ctx context.Context) (err error) {
		t, err = d.PrepareMigration(ctx, id, spec, opts)
		return err
	})
	return t, err
}

// Migrate is [LiveMigrator]'s, on the source.
func (n *Node) Migrate(ctx context.Context, id string, target MigrationTarget, opts MigrateOptions) error {
	d, err := able[LiveMigrator](n, CanLiveMigrate, "migrate", id)
	if err != nil {
		return err
	}
	return n.change(ctx, "Migrate", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return d.Migrate(ctx, id, target, opts)
	})
}

// Migration is [LiveMigrator]'s, on either side.
func (n *Node) Migration(ctx context.Context, id string) (Migration, error) {
	d, err := able[LiveMigrator](n, CanLiveMigrate, "follow the migration of", id)
	if err != nil {
		return Migration{}, err
	}
	var m Migration
	err = n.call(ctx, "Migration", id, n.opts.Deadline, func(ctx context.Context) (err error) {
		m, err = d.Migration(ctx, id)
		return err
	})
	return m, err
}

// AbortMigration is [LiveMigrator]'s, on either side.
func (n *Node) AbortMigration(ctx context.Context, id string) error {
	d, err := able[LiveMigrator](n, CanLiveMigrate, "abort the migration of", id)
	if err != nil {
		return err
	}
	return n.change(ctx, "AbortMigration", id, n.opts.EnsureDeadline, func(ctx context.Context) error {
		return d.AbortMigration(ctx, id)
	})
}
