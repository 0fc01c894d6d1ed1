package compute

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// Flavor is a size of server. Servers keep a copy of theirs, so that a flavor may
// be deleted while servers have it.
type Flavor struct {
	ID          string
	Name        string
	Description *string
	VCPUs       int     `bun:"vcpus"`
	MemoryMiB   int     `bun:"memory_mib"`
	DiskGiB     int     `bun:"disk_gib"`
	EphemeralGB int     `bun:"ephemeral_gib"` // GiB
	SwapMiB     int     `bun:"swap_mib"`
	RxTxFactor  float64 `bun:"rxtx_factor"`
	Disabled    bool
	Public      bool
	ExtraSpecs  map[string]string
}

// FlavorSpec describes a flavor to create. Amounts are bounded by 2^31-1.
type FlavorSpec struct {
	ID          string // empty: one is made
	Name        string // unique
	Description *string
	VCPUs       int
	MemoryMiB   int
	DiskGiB     int
	EphemeralGB int
	SwapMiB     int
	RxTxFactor  float64 // 0 means 1
	Private     bool    // only projects that are given access see it
}

// FlavorFilter narrows a list of flavors.
type FlavorFilter struct {
	// Public is for operators: nil lists all flavors. Others see the public ones
	// and those that their project has access to, whatever it says.
	Public     *bool
	MinRAM     int  // MiB
	MinDisk    int  // GiB
	ExtraSpecs bool // load them, where the caller may see them
}

// Flavors is what the Compute API's flavors need.
type Flavors interface {
	// CreateFlavor makes a flavor. A name or ID that is taken is ErrConflict.
	CreateFlavor(ctx context.Context, spec FlavorSpec) (Flavor, error)
	// Flavor returns a flavor that the caller may see. Its extra specs are nil
	// where the caller may not see those.
	Flavor(ctx context.Context, id string) (Flavor, error)
	// ListFlavors returns flavors by ID unless told otherwise, and whether more
	// follow. Sort keys are those of the API; an unknown marker is ErrInvalid.
	ListFlavors(ctx context.Context, f FlavorFilter, p nephos.Page) ([]Flavor, bool, error)
	// UpdateFlavor sets the description, which is all that can change.
	UpdateFlavor(ctx context.Context, id string, description *string) (Flavor, error)
	DeleteFlavor(ctx context.Context, id string) error
}

var _ Flavors = (*Service)(nil)

type flavorRow struct {
	bun.BaseModel `bun:"table:compute_flavors,alias:flavor"`
	Seq           int64 `bun:",pk,autoincrement"`
	Flavor
	CreatedAt time.Time
	UpdatedAt *time.Time
}

// maxAmount bounds whatever is counted.
const maxAmount = 1<<31 - 1

func (spec *FlavorSpec) check() error {
	spec.Name = strings.TrimSpace(spec.Name)
	if spec.Name == "" || len(spec.Name) > 255 {
		return invalid("Invalid input received: name must be 1 to 255 characters long.").WithField("name")
	}
	if len(spec.ID) > 255 {
		return invalid("Invalid input received: id must be at most 255 characters long.").WithField("id")
	}
	for _, a := range []struct {
		name      string
		value, lo int
	}{
		{"ram", spec.MemoryMiB, 1},
		{"vcpus", spec.VCPUs, 1},
		{"disk", spec.DiskGiB, 0},
		{"ephemeral", spec.EphemeralGB, 0},
		{"swap", spec.SwapMiB, 0},
	} {
		if a.value < a.lo {
			return invalid("Invalid input received: %s must be >= %d", a.name, a.lo).WithField(a.name)
		}
		if a.value > maxAmount {
			return invalid("Invalid input received: %s must be <= %d", a.name, maxAmount).WithField(a.name)
		}
	}
	if spec.RxTxFactor == 0 {
		spec.RxTxFactor = 1
	}
	if !(spec.RxTxFactor > 0 && spec.RxTxFactor <= 3.40282e+38) {
		return invalid("Invalid input received: 'rxtx_factor' argument must be a float between 0 and 3.40282e+38").WithField("rxtx_factor")
	}
	return nil
}

// CreateFlavor implements [Flavors].
func (s *Service) CreateFlavor(ctx context.Context, spec FlavorSpec) (Flavor, error) {
	if err := s.cfg.Policy.Enforce(ctx, flavorManageRule("create"), nil); err != nil {
		return Flavor{}, err
	}
	if err := spec.check(); err != nil {
		return Flavor{}, err
	}
	if spec.ID == "" {
		spec.ID = s.cfg.IDs.New()
	}
	f := Flavor{
		ID: spec.ID, Name: spec.Name, Description: spec.Description, VCPUs: spec.VCPUs, MemoryMiB: spec.MemoryMiB,
		DiskGiB: spec.DiskGiB, EphemeralGB: spec.EphemeralGB, SwapMiB: spec.SwapMiB, RxTxFactor: spec.RxTxFactor,
		Public: !spec.Private, ExtraSpecs: map[string]string{},
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "compute.create_flavor", f.ID)
		if err != nil {
			return err
		}
		if !first {
			row, err := loadFlavor(ctx, tx, id)
			f = row.Flavor
			return err
		}
		var taken []flavorRow
		if err := tx.NewSelect().Model(&taken).Where("flavor.id = ? OR flavor.name = ?", f.ID, f.Name).Scan(ctx); err != nil {
			return err
		}
		for _, t := range taken {
			if t.ID == f.ID {
				return nephos.Errorf(nephos.ErrConflict, "Flavor with ID %s already exists.", f.ID).WithField("id")
			}
		}
		if len(taken) > 0 {
			return nephos.Errorf(nephos.ErrConflict, "Flavor with name %s already exists.", f.Name).WithField("name")
		}
		row := flavorRow{Flavor: f, CreatedAt: tx.Now()}
		if _, err := tx.NewInsert().Model(&row).Returning("NULL").Exec(ctx); err != nil {
			return err
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "flavor.create", ResourceID: f.ID}, nil)
	})
	return f, err
}

// Flavor implements [Flavors].
func (s *Service) Flavor(ctx context.Context, id string) (Flavor, error) {
	if err := s.cfg.Policy.Enforce(ctx, ruleFlavors, nil); err != nil {
		return Flavor{}, err
	}
	f, err := s.visibleFlavor(ctx, id)
	if !s.seesExtraSpecs(ctx) {
		f.ExtraSpecs = nil
	}
	return f, err
}

// UpdateFlavor implements [Flavors].
func (s *Service) UpdateFlavor(ctx context.Context, id string, description *string) (Flavor, error) {
	if err := s.cfg.Policy.Enforce(ctx, flavorManageRule("update"), nil); err != nil {
		return Flavor{}, err
	}
	if description != nil && len(*description) > 65535 {
		return Flavor{}, invalid("Invalid input received: description must be at most 65535 bytes long.").WithField("description")
	}
	var f Flavor
	err := s.changeFlavor(ctx, id, "flavor.update", func(_ context.Context, _ *store.Tx, row *flavorRow) error {
		row.Description = description
		return nil
	}, &f)
	if !s.seesExtraSpecs(ctx) {
		f.ExtraSpecs = nil
	}
	return f, err
}

// changeFlavor loads a flavor, changes it and saves what can change.
func (s *Service) changeFlavor(ctx context.Context, id, event string,
	change func(ctx context.Context, tx *store.Tx, row *flavorRow) error, out *Flavor,
) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, err := loadFlavor(ctx, tx, id)
		if err != nil {
			return err
		}
		row.ExtraSpecs = maps.Clone(row.ExtraSpecs)
		if err := change(ctx, tx, &row); err != nil {
			return err
		}
		now := tx.Now()
		row.UpdatedAt = &now
		_, err = tx.NewUpdate().Model(&row).Column("description", "extra_specs", "updated_at").WherePK().Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
		*out = row.Flavor
		return tx.Emit(ctx, store.Event{Service: "compute", Type: event, ResourceID: id}, nil)
	})
}

// DeleteFlavor implements [Flavors].
func (s *Service) DeleteFlavor(ctx context.Context, id string) error {
	if err := s.cfg.Policy.Enforce(ctx, flavorManageRule("delete"), nil); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadFlavor(ctx, tx, id); err != nil {
			return err
		}
		for _, q := range []string{
			"DELETE FROM compute_flavor_access WHERE flavor_id = ?",
			"DELETE FROM compute_flavors WHERE id = ?",
		} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		return tx.Emit(ctx, store.Event{Service: "compute", Type: "flavor.delete", ResourceID: id}, nil)
	})
}

func flavorNotFound(id string) error { return nephos.NotFound("Flavor", clip(id)) }

func loadFlavor(ctx context.Context, db bun.IDB, id string) (flavorRow, error) {
	var rows []flavorRow
	if err := db.NewSelect().Model(&rows).Where("flavor.id = ?", id).Scan(ctx); err != nil {
		return flavorRow{}, err
	}
	if len(rows) == 0 {
		return flavorRow{}, flavorNotFound(id)
	}
	return rows[0], nil
}

// visibleFlavor returns a flavor that the caller may see.
func (s *Service) visibleFlavor(ctx context.Context, id string) (Flavor, error) {
	var rows []flavorRow
	q := s.cfg.Store.Reader().NewSelect().Model(&rows).Where("flavor.id = ?", id)
	if !s.isAdmin(ctx) {
		q = q.Where("(flavor.public OR "+accessible+")", caller(ctx).ProjectID)
	}
	if err := q.Scan(ctx); err != nil {
		return Flavor{}, err
	}
	if len(rows) == 0 {
		return Flavor{}, flavorNotFound(id)
	}
	return rows[0].Flavor, nil
}

// accessible says that a project was given access to the flavor.
const accessible = "EXISTS (SELECT 1 FROM compute_flavor_access a WHERE a.flavor_id = flavor.id AND a.project_id = ?)"

// isAdmin reports whether the caller runs the cloud.
func (s *Service) isAdmin(ctx context.Context) bool {
	return s.cfg.Policy.Allowed(ctx, "context_is_admin", nil)
}

func (s *Service) seesExtraSpecs(ctx context.Context) bool {
	return s.cfg.Policy.Allowed(ctx, extraSpecsRule("index"), ownProject(ctx))
}

// bootFlavor returns the flavor with its extra specs, if the context's caller
// may boot from it: ErrNotFound otherwise.
func (s *Service) bootFlavor(ctx context.Context, id string) (Flavor, error) {
	f, err := s.visibleFlavor(ctx, id)
	if err == nil && f.Disabled {
		return Flavor{}, flavorNotFound(id)
	}
	return f, err
}
