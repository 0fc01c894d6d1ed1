package placement

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/pyrepr"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

type inventory struct {
	Total    int64 `json:"total"`
	Reserved int64 `json:"reserved"`
	MinUnit  int64 `json:"min_unit"`
	MaxUnit  int64 `json:"max_unit"`
	StepSize int64 `json:"step_size"`
	Ratio    ratio `json:"allocation_ratio"`
	// Generation is shown with a single inventory, unless it is 0.
	Generation int64 `json:"resource_provider_generation,omitempty"`
}

// ratio is written with a point, as Placement does: clients in languages that
// tell integers from other numbers show it as it is.
type ratio float64

func (r ratio) MarshalJSON() ([]byte, error) {
	n := json.Number(strconv.FormatFloat(float64(r), 'e', -1, 64))
	return []byte(pyrepr.Number(n)), nil
}

func renderInventory(i sqlstore.Inventory, generation int64) inventory {
	return inventory{i.Total, i.Reserved, i.MinUnit, i.MaxUnit, i.StepSize, ratio(i.Ratio), generation}
}

func (a *api) inventories(r *httpapi.Request, p sqlstore.Provider, list []sqlstore.Inventory) *httpapi.Response {
	out := map[string]inventory{}
	var newest time.Time
	for _, i := range list {
		out[i.Class] = renderInventory(i, 0)
		if i.UpdatedAt.After(newest) {
			newest = i.UpdatedAt
		}
	}
	resp := a.modified(r, httpapi.OK(map[string]any{"resource_provider_generation": p.Generation, "inventories": out}), newest)
	if len(list) == 0 {
		resp.Header.Del("Last-Modified") // nothing was
	}
	return resp
}

func (a *api) listInventories(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("uuid")
	p, list, err := a.store.Inventories(r.Context(), id)
	if err != nil {
		return nil, asMissing(err, "No resource provider with uuid "+clip(id)+" found : ")
	}
	return a.inventories(r, p, list), nil
}

func (a *api) showInventory(r *httpapi.Request) (*httpapi.Response, error) {
	id, class := r.PathValue("uuid"), r.PathValue("class")
	p, list, err := a.store.Inventories(r.Context(), id)
	if err != nil {
		return nil, asMissing(err, "No resource provider with uuid "+clip(id)+" found : ")
	}
	for _, i := range list {
		if i.Class == class {
			return a.modified(r, httpapi.OK(renderInventory(i, p.Generation)), i.UpdatedAt), nil
		}
	}
	return nil, nephos.Errorf(nephos.ErrNotFound, "No inventory of class %s for %s", clip(class), id)
}

type inventoryBody struct {
	Class      *string  `json:"resource_class"`
	Generation *int64   `json:"resource_provider_generation"`
	Total      *int64   `json:"total"`
	Reserved   *int64   `json:"reserved"`
	MinUnit    *int64   `json:"min_unit"`
	MaxUnit    *int64   `json:"max_unit"`
	StepSize   *int64   `json:"step_size"`
	Ratio      *float64 `json:"allocation_ratio"`
}

// read returns the inventory, with the defaults of what the body leaves out.
func (b inventoryBody) read(class string) sqlstore.Inventory {
	inv := sqlstore.Inventory{Class: class, MinUnit: 1, MaxUnit: math.MaxInt32, StepSize: 1, Ratio: 1}
	for _, f := range []struct{ value, to *int64 }{
		{b.Total, &inv.Total}, {b.Reserved, &inv.Reserved}, {b.MinUnit, &inv.MinUnit}, {b.MaxUnit, &inv.MaxUnit}, {b.StepSize, &inv.StepSize},
	} {
		if f.value != nil {
			*f.to = *f.value
		}
	}
	if b.Ratio != nil {
		inv.Ratio = *b.Ratio
	}
	return inv
}

// checkCapacity says whether something can be had of the inventories.
func checkCapacity(r *httpapi.Request, verb, uuid string, list ...sqlstore.Inventory) error {
	all, than := at(r, "1.26"), "greater than or equal to"
	if all {
		than = "greater than"
	}
	for _, inv := range list {
		capacity := math.Trunc(float64(inv.Total-inv.Reserved) * inv.Ratio)
		if capacity < 0 || capacity == 0 && !all {
			return nephos.Errorf(nephos.ErrInvalid, "Unable to %s inventory for resource provider %s: Invalid inventory for '%s' on resource provider '%s'. "+
				"The reserved value is %s total.", verb, uuid, inv.Class, uuid, than).WithField("reserved")
		}
	}
	return nil
}

func (a *api) createInventory(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("uuid")
	if _, err := a.store.Provider(r.Context(), id); err != nil {
		return nil, err
	}
	var b inventoryBody
	if err := decode(r, createInventorySchema, &b); err != nil {
		return nil, err
	}
	inv := b.read(*b.Class)
	if err := checkCapacity(r, "create", id, inv); err != nil {
		return nil, err
	}
	p, err := a.store.AddInventory(r.Context(), id, inv)
	if err != nil {
		return nil, err
	}
	return a.modified(r, httpapi.Created(renderInventory(inv, p.Generation)).
		Set("Location", r.Link("/resource_providers/"+id+"/inventories/"+inv.Class, nil)), time.Time{}), nil
}

type inventoriesBody struct {
	Generation  *int64                    `json:"resource_provider_generation"`
	Inventories *map[string]inventoryBody `json:"inventories"`
}

func (b inventoriesBody) read(uuid string) ([]sqlstore.Inventory, error) {
	var list []sqlstore.Inventory
	for _, class := range slices.Sorted(maps.Keys(*b.Inventories)) {
		one := (*b.Inventories)[class]
		if !isName(class) { // whose value no schema has seen
			return nil, nephos.Errorf(nephos.ErrInvalid, "Unknown resource class in inventory for resource provider %s: No such resource class %s.", uuid, clip(class)).WithField("inventories")
		}
		list = append(list, one.read(class))
	}
	if len(list) > maxNames {
		return nil, nephos.Errorf(nephos.ErrTooLarge, "a provider has at most %d inventories", maxNames)
	}
	return list, nil
}

func (a *api) setInventories(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("uuid")
	p, err := a.store.Provider(r.Context(), id)
	if err != nil {
		return nil, err
	}
	var b inventoriesBody
	if err := decode(r, inventoriesSchema, &b); err != nil {
		return nil, err
	}
	list, err := b.read(id)
	if err != nil {
		return nil, err
	}
	if *b.Generation == p.Generation { // else the store says so
		if err := checkCapacity(r, "update", id, list...); err != nil {
			return nil, err
		}
	}
	if p, err = a.store.SetInventories(r.Context(), id, b.Generation, list); err != nil {
		return nil, err
	}
	return a.inventories(r, p, list), nil
}

func (a *api) updateInventory(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("uuid")
	p, err := a.store.Provider(r.Context(), id)
	if err != nil {
		return nil, err
	}
	var b inventoryBody
	if err := decode(r, updateInventorySchema, &b); err != nil {
		return nil, err
	}
	inv := b.read(r.PathValue("class"))
	if *b.Generation == p.Generation {
		if _, err := a.store.Class(r.Context(), inv.Class); err != nil {
			return nil, err
		}
	}
	if *b.Generation == p.Generation { // else the store says so
		if err := checkCapacity(r, "update", id, inv); err != nil {
			return nil, err
		}
	}
	if p, err = a.store.UpdateInventory(r.Context(), id, b.Generation, inv); err != nil {
		return nil, err
	}
	return a.modified(r, httpapi.OK(renderInventory(inv, p.Generation)), time.Time{}), nil
}

func (a *api) deleteInventories(r *httpapi.Request) (*httpapi.Response, error) {
	if !at(r, "1.5") {
		return nil, errMethod
	}
	_, err := a.store.SetInventories(r.Context(), r.PathValue("uuid"), nil, nil)
	return nil, err
}

func (a *api) deleteInventory(r *httpapi.Request) (*httpapi.Response, error) {
	id, class := r.PathValue("uuid"), r.PathValue("class")
	if _, err := a.store.Provider(r.Context(), id); err != nil {
		return nil, err
	}
	if _, err := a.store.Class(r.Context(), class); err != nil {
		return nil, asMissing(err, "No inventory of class "+clip(class)+" found for delete: ")
	}
	return nil, a.store.DeleteInventory(r.Context(), id, class)
}
