package placement

import (
	"math"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/httpapi/schema"
)

// What names look like.
var (
	namePattern       = schema.Match(`^[A-Z0-9_]+$`)
	customPattern     = schema.Match(`^CUSTOM_[A-Z0-9_]+$`)
	uuidPattern       = schema.Match(`^[0-9a-fA-F-]{36}$`)
	suffixPattern     = schema.Match(`[a-zA-Z0-9_-]{1,64}`)
	limitPattern      = schema.Match(`^[1-9][0-9]*$`)
	typeFilterPattern = schema.Match(`^[A-Z0-9_]+$|^all|^unknown$`)
)

// The schemas of values.
var (
	typeString = []string{"string"}
	typeObject = []string{"object"}

	anyString  = schema.Schema{Types: typeString}
	anyInteger = schema.Schema{Types: []string{"integer"}}
	uuidString = schema.Schema{Types: typeString, Format: isUUID}
	uuidOrNull = schema.Schema{OneOf: []schema.Schema{uuidString, {Types: []string{"null"}}}}
	traitName  = schema.Schema{Types: typeString, MinLength: 1, MaxLength: 255}
	projectID  = traitName
	uuidList   = schema.Schema{Types: []string{"array"}, Items: &uuidString, Unique: true}
	amounts    = schema.Schema{Types: typeObject, MinProps: 1, Patterns: matching(namePattern, schema.Schema{Types: []string{"integer"}, Minimum: schema.Bound(1)})}
)

func isUUID(text string) error {
	if _, ok := normalUUID(text); !ok {
		return schema.NotA("uuid")
	}
	return nil
}

func from(least float64) schema.Schema {
	return schema.Schema{Types: []string{"integer"}, Minimum: schema.Bound(least), Maximum: schema.Bound(math.MaxInt32)}
}

func prop(name string, s schema.Schema) schema.Prop { return schema.Named(name, s) }

// object is an object with just these properties, of which some are needed.
func object(required []string, props ...schema.Prop) schema.Schema {
	return schema.Schema{Types: typeObject, Required: required, Props: props}
}

// matching are properties whose names match.
func matching(names *schema.Pattern, s schema.Schema) []schema.PatternProp {
	return []schema.PatternProp{{Pattern: names, Value: s}}
}

// providerSchema is that of a provider's body.
func providerSchema(r *httpapi.Request, create bool) schema.Schema {
	s := object([]string{"name"}, prop("name", schema.Schema{Types: typeString, MaxLength: 200}))
	if create {
		s.Props = append(s.Props, prop("uuid", uuidString))
	}
	if at(r, "1.14") {
		s.Props = append(s.Props, prop("parent_provider_uuid", uuidOrNull))
	}
	return s
}

func aggregatesSchema(r *httpapi.Request) schema.Schema {
	if !at(r, "1.19") {
		return uuidList
	}
	return object([]string{"aggregates", "resource_provider_generation"}, prop("aggregates", uuidList), prop("resource_provider_generation", anyInteger))
}

// inventorySchema is that of one inventory, with what it must have besides.
func inventorySchema(required ...string) schema.Schema {
	s := object(append([]string{"total"}, required...),
		prop("resource_provider_generation", anyInteger),
		prop("total", from(1)),
		prop("reserved", from(0)),
		prop("min_unit", from(1)),
		prop("max_unit", from(1)),
		prop("step_size", from(1)),
		prop("allocation_ratio", schema.Schema{Types: []string{"number"}, Maximum: schema.Bound(3.40282e+38)}))
	for _, name := range required {
		if name == "resource_class" {
			s.Props = append(s.Props, prop(name, schema.Schema{Types: typeString, Pattern: namePattern}))
		}
	}
	return s
}

var (
	createInventorySchema = inventorySchema("resource_class")
	updateInventorySchema = inventorySchema("resource_provider_generation")
	inventoriesSchema     = object([]string{"resource_provider_generation", "inventories"},
		prop("resource_provider_generation", anyInteger),
		prop("inventories", schema.Schema{Types: typeObject, Open: true, Patterns: matching(namePattern, inventorySchema())}))
	classSchema          = object([]string{"name"}, prop("name", schema.Schema{Types: typeString, Pattern: customPattern, MaxLength: 255}))
	providerTraitsSchema = object([]string{"traits", "resource_provider_generation"},
		prop("traits", schema.Schema{Types: []string{"array"}, Items: &traitName}),
		prop("resource_provider_generation", anyInteger))

	allocationSchema       = object([]string{"resources"}, prop("generation", anyInteger), prop("resources", amounts))
	listedAllocationSchema = object([]string{"resource_provider", "resources"}, prop("resource_provider", allocatedSchema), prop("resources", amounts))
	allocatedSchema        = schema.Schema{Types: typeObject, Required: []string{"uuid"}, Props: []schema.Prop{prop("uuid", uuidString)}, UnknownFirst: true}
	mappingsSchema         = schema.Schema{
		Types: typeObject, MinProps: 1, Open: true,
		Patterns: matching(suffixPattern, schema.Schema{Types: []string{"array"}, MinItems: 1, Items: &uuidString}),
	}
)

// allocationsSchema is that of one consumer's allocations. Clearing says that
// there may be none.
func allocationsSchema(r *httpapi.Request, clearing bool) schema.Schema {
	of := schema.Schema{Types: []string{"array"}, MinItems: 1, Items: &listedAllocationSchema}
	if at(r, "1.12") {
		of = schema.Schema{Types: typeObject, Patterns: matching(uuidPattern, allocationSchema)}
		if !clearing {
			of.MinProps = 1
		}
	}
	s := object([]string{"allocations"}, prop("allocations", of))
	s.UnknownFirst = at(r, "1.12")
	if at(r, "1.8") {
		s.Props = append(s.Props, prop("project_id", projectID), prop("user_id", projectID))
		s.Required = append(s.Required, "project_id", "user_id")
	}
	if at(r, "1.28") {
		s.Props = append(s.Props, prop("consumer_generation", schema.Schema{Types: []string{"integer", "null"}}))
		s.Required = append(s.Required, "consumer_generation")
	}
	if at(r, "1.34") {
		s.Props = append(s.Props, prop("mappings", mappingsSchema))
	}
	if at(r, "1.38") {
		s.Props = append(s.Props, prop("consumer_type", schema.Schema{Types: typeString, Pattern: namePattern, MinLength: 1, MaxLength: 255}))
		s.Required = append(s.Required, "consumer_type")
	}
	return s
}

// consumersSchema is that of many consumers' allocations.
func consumersSchema(r *httpapi.Request) schema.Schema {
	return schema.Schema{Types: typeObject, MinProps: 1, UnknownFirst: true, Patterns: matching(uuidPattern, allocationsSchema(r, true))}
}

func reshaperSchema(r *httpapi.Request) schema.Schema {
	allocations := consumersSchema(r)
	allocations.MinProps = 0
	return object([]string{"inventories", "allocations"},
		prop("inventories", schema.Schema{Types: typeObject, MinProps: 1, Patterns: matching(uuidPattern, inventoriesSchema)}),
		prop("allocations", allocations))
}

func providersQuery(r *httpapi.Request) schema.Schema {
	s := object(nil, prop("name", anyString), prop("uuid", uuidString))
	for _, p := range []struct{ since, name string }{{"1.3", "member_of"}, {"1.4", "resources"}, {"1.18", "required"}} {
		if at(r, p.since) {
			s.Props = append(s.Props, prop(p.name, anyString))
		}
	}
	if at(r, "1.14") {
		s.Props = append(s.Props, prop("in_tree", uuidString))
	}
	return s
}

var traitsQuery = object(nil, prop("name", anyString), prop("associated", anyString))

func usagesQuery(r *httpapi.Request) schema.Schema {
	s := object([]string{"project_id"}, prop("project_id", projectID), prop("user_id", projectID))
	if at(r, "1.38") {
		s.Props = append(s.Props, prop("consumer_type", schema.Schema{Types: typeString, Pattern: typeFilterPattern, MinLength: 1, MaxLength: 255}))
	}
	return s
}

func candidatesQuery(r *httpapi.Request) schema.Schema {
	s := object(nil)
	if at(r, "1.16") {
		s.Props = append(s.Props, prop("limit", schema.Schema{Types: []string{"integer", "string"}, Pattern: limitPattern, MinLength: 1}))
	}
	since := func(version, name string) {
		if at(r, version) {
			s.Props = append(s.Props, prop(name, anyString))
		}
	}
	if !at(r, "1.25") {
		s.Required = []string{"resources"}
		s.Props = append([]schema.Prop{prop("resources", anyString)}, s.Props...)
		since("1.17", "required")
		since("1.21", "member_of")
		return s
	}
	s.Props = append(s.Props, prop("group_policy", schema.Schema{Types: typeString, Enum: []any{"none", "isolate"}}))
	since("1.35", "root_required")
	since("1.36", "same_subtree")
	switch {
	case at(r, "1.33"):
		s.Patterns = namedGroups
	case at(r, "1.31"):
		s.Patterns = numberedTreeGroups
	default:
		s.Patterns = numberedGroups
	}
	return s
}

// The parameters of request groups, by the microversions that have them.
var (
	numberedGroups     = groups(`([1-9][0-9]*)?$`, "resources", "required", "member_of")
	numberedTreeGroups = groups(`([1-9][0-9]*)?$`, "resources", "required", "member_of", "in_tree")
	namedGroups        = groups(`([a-zA-Z0-9_-]{1,64})?$`, "resources", "required", "member_of", "in_tree")
)

func groups(suffix string, names ...string) (list []schema.PatternProp) {
	for _, name := range names {
		list = append(list, schema.PatternProp{Pattern: schema.Match("^" + name + suffix), Value: anyString})
	}
	return list
}
