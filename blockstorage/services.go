package blockstorage

import (
	"context"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// The components that operators see.
const (
	componentScheduler = "cinder-scheduler"
	componentVolume    = "cinder-volume"
)

// Component is a part of the service, as operators see it.
type Component struct {
	Binary, Host, Zone string
	Up                 bool
	At                 time.Time // when this was so
	// Disabled: an operator wants no new volumes there. What lives there stays.
	Disabled bool
	// Reason is the last that an operator gave, kept when the component is enabled
	// again, as in Cinder.
	Reason *string
	// Frozen: an operator wants nothing new on the backend until it is thawed.
	Frozen bool
}

// ComponentUpdate says whether a component takes new volumes.
type ComponentUpdate struct {
	Binary, Host string
	Disabled     bool
	Reason       *string // nil leaves what is kept
}

// Components is what the Block Storage API's services need.
type Components interface {
	// Components lists the parts of the service.
	Components(ctx context.Context) ([]Component, error)
	// UpdateComponent disables or enables one. A pool whose component is disabled is
	// chosen for no volume, whether it is new or is to move.
	UpdateComponent(ctx context.Context, u ComponentUpdate) error
	// FreezeHost disables the backend at a host and marks it as frozen, and thaws it.
	FreezeHost(ctx context.Context, host string, frozen bool) error
	// FailOverHost would have a backend's replica take over; no pool has one, so
	// that it is refused.
	FailOverHost(ctx context.Context, host string) error
}

var _ Components = (*Service)(nil)

// componentRow is what operators said of a component.
type componentRow struct {
	bun.BaseModel `bun:"table:blockstorage_components,alias:component"`
	Name          string `bun:"binary_name,pk"`
	Host          string `bun:",pk"`
	Disabled      bool
	Reason        *string
	Frozen        bool
}

// Components implements [Components]. The pools are asked whether they are up.
func (s *Service) Components(ctx context.Context) ([]Component, error) {
	if err := s.enforce(ctx, "volume_extension:services:index", own(ctx)); err != nil {
		return nil, err
	}
	return s.components(ctx)
}

// HostComponents implements [Backends].
func (s *Service) HostComponents(ctx context.Context) ([]Component, error) {
	if err := s.enforce(ctx, "volume_extension:hosts", own(ctx)); err != nil {
		return nil, err
	}
	return s.components(ctx)
}

func (s *Service) components(ctx context.Context) ([]Component, error) {
	now := s.cfg.Clock.Now()
	out := []Component{{Binary: componentScheduler, Host: s.cfg.HostName, Zone: s.cfg.Zone, Up: true, At: now}}
	for _, pool := range s.pools.All() {
		_, err := pool.Stats(ctx)
		out = append(out, Component{Binary: componentVolume, Host: s.host(s.pools.NameOf(pool)), Zone: s.cfg.Zone, Up: err == nil, At: now})
	}
	rows, err := s.componentRows(ctx)
	for i, c := range out {
		for _, row := range rows {
			if row.Name == c.Binary && row.Host == c.Host {
				out[i].Disabled, out[i].Reason, out[i].Frozen = row.Disabled, row.Reason, row.Frozen
			}
		}
	}
	return out, err
}

func (s *Service) componentRows(ctx context.Context) ([]componentRow, error) {
	var rows []componentRow
	err := s.cfg.Store.Reader().NewSelect().Model(&rows).Scan(ctx)
	return rows, err
}

// disabledHosts are the hosts that operators want no new volumes on.
func (s *Service) disabledHosts(ctx context.Context) (map[string]bool, error) {
	rows, err := s.componentRows(ctx)
	out := map[string]bool{}
	for _, row := range rows {
		if row.Name == componentVolume && row.Disabled {
			out[row.Host] = true
		}
	}
	return out, err
}

// maxReason bounds the reason for disabling a component, in characters.
const maxReason = 255

// UpdateComponent implements [Components].
func (s *Service) UpdateComponent(ctx context.Context, u ComponentUpdate) error {
	if err := s.enforce(ctx, "volume_extension:services:update", own(ctx)); err != nil {
		return err
	}
	if u.Reason != nil {
		if n := utf8.RuneCountInString(strings.TrimSpace(*u.Reason)); n == 0 || n > maxReason {
			return invalidInput("disabled_reason", "disabled_reason must have 1 to %d characters.", maxReason)
		}
	}
	all, err := s.components(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(all, func(c Component) bool { return c.Binary == u.Binary && c.Host == u.Host }) {
		return nephos.Errorf(nephos.ErrNotFound, "Service %s could not be found on host %s.", clip(u.Binary), clip(u.Host))
	}
	row := componentRow{Name: u.Binary, Host: u.Host, Disabled: u.Disabled, Reason: u.Reason}
	columns := []string{"disabled"}
	if u.Reason != nil {
		columns = append(columns, "reason")
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.writeComponent(ctx, tx, row, columns...) })
}

// writeComponent keeps what an operator said in the columns.
func (s *Service) writeComponent(ctx context.Context, tx *store.Tx, row componentRow, columns ...string) error {
	write := tx.NewInsert().Model(&row).On("CONFLICT (binary_name, host) DO UPDATE")
	for _, c := range columns {
		write = write.Set(c + " = excluded." + c)
	}
	if _, err := write.Returning("NULL").Exec(ctx); err != nil {
		return err
	}
	return s.emit(ctx, tx, "service.update", row.Host, "", nil)
}

// backendAt finds the backend that replication is to change.
func (s *Service) backendAt(ctx context.Context, rule, host string) (Component, error) {
	for _, r := range []string{"volume_extension:services:update", rule} {
		if err := s.enforce(ctx, r, own(ctx)); err != nil {
			return Component{}, err
		}
	}
	all, err := s.components(ctx)
	if err != nil {
		return Component{}, err
	}
	for _, c := range all {
		if c.Binary == componentVolume && c.Host == host {
			return c, nil
		}
	}
	return Component{}, nephos.Errorf(nephos.ErrInvalid, "No service found with host=%s", clip(host)).WithField("host")
}

func errReplication(format string, args ...any) error {
	return invalidInput("host", "No service could be changed: "+format, args...)
}

// FreezeHost implements [Components].
func (s *Service) FreezeHost(ctx context.Context, host string, frozen bool) error {
	rule, expected := "volume:freeze_host", "False"
	if !frozen {
		rule, expected = "volume:thaw_host", "True"
	}
	c, err := s.backendAt(ctx, rule, host)
	if err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var rows []componentRow
		if err := tx.NewSelect().Model(&rows).Where("binary_name = ? AND host = ?", c.Binary, c.Host).Scan(ctx); err != nil {
			return err
		}
		if was := len(rows) == 1 && rows[0].Frozen; was == frozen {
			return errReplication("frozen in ['%s'] must be %s to failover.", c.Host, expected)
		}
		reason := map[bool]string{true: "frozen"}[frozen]
		row := componentRow{Name: c.Binary, Host: c.Host, Disabled: frozen, Reason: &reason, Frozen: frozen}
		return s.writeComponent(ctx, tx, row, "disabled", "reason", "frozen")
	})
}

// FailOverHost implements [Components].
func (s *Service) FailOverHost(ctx context.Context, host string) error {
	c, err := s.backendAt(ctx, "volume:failover_host", host)
	if err != nil {
		return err
	}
	return errReplication("replication_status in ['%s'] must be ['enabled', 'failed-over'] and must be up to failover.", c.Host)
}
