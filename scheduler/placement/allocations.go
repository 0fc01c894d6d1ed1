package placement

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

// incomplete is the project and user of consumers from before 1.8, which named
// none.
const incomplete = "00000000-0000-0000-0000-000000000000"

func (a *api) showAllocations(r *httpapi.Request) (*httpapi.Response, error) {
	all, err := a.store.Allocations(r.Context(), r.PathValue("consumer"))
	if err != nil {
		return nil, err
	}
	of := map[string]any{}
	for uuid, one := range all.Of {
		of[uuid] = map[string]any{"generation": one.Generation, "resources": one.Resources}
	}
	body := map[string]any{"allocations": of}
	if len(all.Of) > 0 {
		if at(r, "1.12") {
			body["project_id"], body["user_id"] = all.Consumer.ProjectID, all.Consumer.UserID
		}
		if at(r, "1.28") {
			body["consumer_generation"] = all.Generation
		}
		if at(r, "1.38") {
			body["consumer_type"] = all.Consumer.Type
			if all.Consumer.Type == "" {
				body["consumer_type"] = sqlstore.UnknownType
			}
		}
	}
	return a.modified(r, httpapi.OK(body), all.CreatedAt), nil
}

func (a *api) providerAllocations(r *httpapi.Request) (*httpapi.Response, error) {
	id := r.PathValue("uuid")
	p, list, err := a.store.ProviderAllocations(r.Context(), id)
	if err != nil {
		return nil, asMissing(err, "Resource provider '"+clip(id)+"' not found: ")
	}
	of := map[string]any{}
	var newest time.Time
	for _, c := range list {
		one := map[string]any{"resources": c.Of[id].Resources}
		if at(r, "1.28") {
			one["consumer_generation"] = c.Generation
		}
		of[c.Consumer.ID] = one
		if c.CreatedAt.After(newest) {
			newest = c.CreatedAt
		}
	}
	return a.modified(r, httpapi.OK(map[string]any{"allocations": of, "resource_provider_generation": p.Generation}), newest), nil
}

type allocationsBody struct {
	Allocations        json.RawMessage `json:"allocations"`
	ProjectID          *string         `json:"project_id"`
	UserID             *string         `json:"user_id"`
	ConsumerGeneration json.RawMessage `json:"consumer_generation"`
	Mappings           json.RawMessage `json:"mappings"`
	ConsumerType       *string         `json:"consumer_type"`
}

type allocationBody struct {
	Generation *int64               `json:"generation"`
	Resources  *scheduler.Resources `json:"resources"`
}

// listedAllocation is the form until 1.11.
type listedAllocation struct {
	Provider *struct {
		UUID *string `json:"uuid"`
	} `json:"resource_provider"`
	Resources *scheduler.Resources `json:"resources"`
}

// read checks the body by the microversion's schema. Clearing says that the
// allocations may be empty.
func (b allocationsBody) read(r *httpapi.Request, consumer string, clearing bool) (sqlstore.AllocationSpec, error) {
	spec := sqlstore.AllocationSpec{
		Consumer: sqlstore.Consumer{ID: consumer, ProjectID: incomplete, UserID: incomplete},
		KeepType: !at(r, "1.38"), Check: at(r, "1.28"), Of: map[string]scheduler.Resources{},
	}
	fail := func(err error) (sqlstore.AllocationSpec, error) { return sqlstore.AllocationSpec{}, err }
	for _, f := range []struct{ from, to *string }{{b.ProjectID, &spec.Consumer.ProjectID}, {b.UserID, &spec.Consumer.UserID}, {b.ConsumerType, &spec.Consumer.Type}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if b.ConsumerGeneration != nil {
		if err := r.DecodeValue(b.ConsumerGeneration, "consumer_generation", &spec.Generation); err != nil {
			return fail(err)
		}
	}
	if b.Mappings != nil {
		var m map[string][]string
		if err := r.DecodeValue(b.Mappings, "mappings", &m); err != nil {
			return fail(err)
		}
		if len(m) == 0 {
			return fail(invalid("mappings", "{} does not have enough properties"))
		}
	}
	if at(r, "1.12") {
		return spec, b.readMap(r, &spec, clearing)
	}
	return spec, b.readList(r, &spec)
}

func (b allocationsBody) readMap(r *httpapi.Request, spec *sqlstore.AllocationSpec, clearing bool) error {
	var of map[string]allocationBody
	if err := r.DecodeValue(b.Allocations, "allocations", &of); err != nil {
		return err
	}
	if of == nil {
		return invalid("allocations", "None is not of type 'object'")
	}
	if len(of) == 0 && !clearing {
		return invalid("allocations", "{} does not have enough properties")
	}
	for _, key := range slices.Sorted(maps.Keys(of)) {
		uuid, ok := normalUUID(key)
		if !ok || len(key) != 36 {
			return invalid("allocations", "'%s' does not match any of the regexes: '^[0-9a-fA-F-]{36}$'", clip(key))
		}
		if of[key].Resources == nil {
			return required("resources")
		}
		if err := addResources(spec, uuid, *of[key].Resources); err != nil {
			return err
		}
	}
	return nil
}

func (b allocationsBody) readList(r *httpapi.Request, spec *sqlstore.AllocationSpec) error {
	var list []listedAllocation
	if err := r.DecodeValue(b.Allocations, "allocations", &list); err != nil {
		return err
	}
	if len(list) == 0 {
		return invalid("allocations", "[] is too short")
	}
	for _, one := range list {
		if one.Provider == nil {
			return required("resource_provider")
		}
		if one.Provider.UUID == nil {
			return required("uuid")
		}
		if one.Resources == nil {
			return required("resources")
		}
		uuid, ok := normalUUID(*one.Provider.UUID)
		if !ok {
			return invalid("uuid", "'%s' is not a 'uuid'", clip(*one.Provider.UUID))
		}
		if err := addResources(spec, uuid, *one.Resources); err != nil {
			return err
		}
	}
	return nil
}

func addResources(spec *sqlstore.AllocationSpec, uuid string, amounts scheduler.Resources) error {
	if len(amounts) == 0 {
		return invalid("resources", "{} does not have enough properties")
	}
	for class, n := range amounts {
		if !isName(class) {
			return invalid("resources", "'%s' does not match any of the regexes: '^[A-Z0-9_]+$'", clip(class))
		}
		if n < 1 {
			return invalid("resources", "%d is less than the minimum of 1", n)
		}
	}
	of := scheduler.Resources{}
	for class, n := range amounts {
		of[class] = min(n, math.MaxInt32+1) // no inventory gives as much
	}
	spec.Of[uuid] = of
	return nil
}

// asUnallocated words the absence of a class as the operation does.
func asUnallocated(err error, before string) error {
	var e *nephos.Error
	if errors.As(err, &e) && e.Field == sqlstore.FieldClass {
		return nephos.Errorf(nephos.ErrInvalid, "%s%w", before, err).WithField(e.Field)
	}
	return err
}

func (a *api) setAllocations(r *httpapi.Request) (*httpapi.Response, error) {
	consumer, ok := normalUUID(r.PathValue("consumer"))
	if !ok {
		return nil, nephos.Errorf(nephos.ErrInvalid, "Malformed consumer_uuid: %s", clip(r.PathValue("consumer"))).WithField("consumer_uuid")
	}
	var b allocationsBody
	if err := decode(r, allocationsSchema(r, at(r, "1.28")), &b); err != nil {
		return nil, err
	}
	spec, err := b.read(r, consumer, at(r, "1.28"))
	if err != nil {
		return nil, err
	}
	return nil, asUnallocated(a.store.SetAllocations(r.Context(), []sqlstore.AllocationSpec{spec}), "Unable to allocate inventory for consumer "+consumer+": ")
}

// specs reads the allocations of several consumers.
func specs(r *httpapi.Request, bodies map[string]allocationsBody) ([]sqlstore.AllocationSpec, error) {
	if len(bodies) > maxNames {
		return nil, nephos.Errorf(nephos.ErrTooLarge, "one request has at most %d consumers", maxNames)
	}
	list := make([]sqlstore.AllocationSpec, 0, len(bodies))
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(bodies)) {
		uuid, ok := normalUUID(key)
		if !ok || len(key) != 36 || seen[uuid] {
			return nil, invalid("body", "'%s' does not match any of the regexes: '^[0-9a-fA-F-]{36}$'", clip(key))
		}
		seen[uuid] = true
		spec, err := bodies[key].read(r, uuid, true)
		if err != nil {
			return nil, err
		}
		list = append(list, spec)
	}
	return list, nil
}

func (a *api) manageAllocations(r *httpapi.Request) (*httpapi.Response, error) {
	var bodies map[string]allocationsBody
	if err := decode(r, consumersSchema(r), &bodies); err != nil {
		return nil, err
	}
	list, err := specs(r, bodies)
	if err != nil {
		return nil, err
	}
	return nil, asUnallocated(a.store.SetAllocations(r.Context(), list), "Unable to allocate inventory ")
}

func (a *api) deleteAllocations(r *httpapi.Request) (*httpapi.Response, error) {
	return nil, a.store.DeleteAllocations(r.Context(), r.PathValue("consumer"))
}

func (a *api) reshape(r *httpapi.Request) (*httpapi.Response, error) {
	var b struct {
		Inventories *map[string]inventoriesBody `json:"inventories"`
		Allocations *map[string]allocationsBody `json:"allocations"`
	}
	if err := decode(r, reshaperSchema(r), &b); err != nil {
		return nil, err
	}
	if len(*b.Inventories) > maxNames {
		return nil, nephos.Errorf(nephos.ErrTooLarge, "one request has at most %d providers", maxNames)
	}
	inventories, generations := map[string][]sqlstore.Inventory{}, map[string]int64{}
	for _, key := range slices.Sorted(maps.Keys(*b.Inventories)) {
		uuid, ok := normalUUID(key)
		if !ok || len(key) != 36 {
			return nil, invalid("inventories", "'%s' does not match any of the regexes: '^[0-9a-fA-F-]{36}$'", clip(key))
		}
		list, err := (*b.Inventories)[key].read(uuid)
		if err != nil {
			return nil, err
		}
		inventories[uuid], generations[uuid] = list, *(*b.Inventories)[key].Generation
	}
	list, err := specs(r, *b.Allocations)
	if err != nil {
		return nil, err
	}
	return nil, asUnallocated(a.store.Reshape(r.Context(), inventories, generations, list), "malformed reshaper data: ")
}
