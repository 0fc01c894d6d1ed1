package sqlstore

import (
	"encoding/json"
	"regexp"
	"slices"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

type providerRow struct {
	bun.BaseModel `bun:"table:placement_providers,alias:provider"`

	UUID       string `bun:",pk"`
	Name       string
	Generation int64 // rises with every change
	Uncounted  int64 // changes that Provider.Generation leaves out
	Consumers  int64
	ParentUUID string
	RootUUID   string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

type hostRow struct {
	bun.BaseModel `bun:"table:placement_hosts,alias:host"`

	HostID       string `bun:",pk"`
	ProviderUUID string
	Revision     int64
	Description  string
}

type inventoryRow struct {
	bun.BaseModel `bun:"table:placement_inventories,alias:inventory"`

	ProviderUUID string `bun:",pk"`
	Class        string `bun:",pk"`
	Total        int64
	Reserved     int64
	MinUnit      int64
	MaxUnit      int64
	StepSize     int64
	Ratio        float64
	Capacity     int64
	Used         int64
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// inventory is the row in the scheduler's terms, with the same capacity.
func (r inventoryRow) inventory() scheduler.Inventory {
	inv := scheduler.Inventory{
		Total: r.Total, Reserved: r.Reserved, Ratio: min(r.Ratio, maxRatio),
		MinUnit: r.MinUnit, MaxUnit: r.MaxUnit, StepSize: r.StepSize,
	}
	if r.Ratio <= 0 { // to the scheduler, 0 is the default of the class
		inv.Ratio, inv.Reserved = 1, r.Total
	}
	return inv
}

// maxRatio is the greatest allocation ratio that the scheduler takes.
const maxRatio = 1e6

type consumerRow struct {
	bun.BaseModel `bun:"table:placement_consumers,alias:consumer"`

	UUID       string `bun:",pk"`
	Generation int64
	ProjectID  string
	UserID     string
	Type       string
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

type allocationRow struct {
	bun.BaseModel `bun:"table:placement_allocations,alias:allocation"`

	ConsumerUUID string `bun:",pk"`
	ProviderUUID string `bun:",pk"`
	Class        string `bun:",pk"`
	Used         int64
	CreatedAt    time.Time
}

type nameRow struct {
	Name      string `bun:",pk"`
	CreatedAt time.Time
}

type traitRow struct {
	bun.BaseModel `bun:"table:placement_traits,alias:trait"`
	nameRow
}

type classRow struct {
	bun.BaseModel `bun:"table:placement_classes,alias:class"`
	nameRow
}

type providerTraitRow struct {
	bun.BaseModel `bun:"table:placement_provider_traits,alias:provider_trait"`

	ProviderUUID string `bun:",pk"`
	Trait        string `bun:",pk"`
}

type providerAggregateRow struct {
	bun.BaseModel `bun:"table:placement_provider_aggregates,alias:provider_aggregate"`

	ProviderUUID  string `bun:",pk"`
	AggregateUUID string `bun:",pk"`
}

type explanationRow struct {
	bun.BaseModel `bun:"table:placement_explanations,alias:explanation"`

	Seq          int64 `bun:",pk,autoincrement"`
	RequestID    string
	ConsumerUUID string
	At           time.Time
	Body         string
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// ProviderID returns the UUID of the resource provider that stands for a host:
// the host's own id where that is a UUID, else one made of it.
func ProviderID(hostID string) string {
	if uuidPattern.MatchString(hostID) {
		return hostID
	}
	return nephos.ChildID("placement/host", hostID)
}

// describe writes what is kept of a host as text: all but what the rows have.
func describe(h scheduler.Host) (string, error) {
	h.Used, h.NumInstances, h.Generation = nil, 0, 0
	h.Traits = slices.Sorted(slices.Values(h.Traits))
	b, err := json.Marshal(h)
	return string(b), err
}

func undescribe(text string) (scheduler.Host, error) {
	var h scheduler.Host
	err := json.Unmarshal([]byte(text), &h)
	return h, err
}
