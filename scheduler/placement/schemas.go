package placement

import (
	"math"
	"regexp"

	"github.com/nephos-cloud/nephos/httpapi"
)

// What names look like.
var (
	namePattern       = regexp.MustCompile(`^[A-Z0-9_]+$`)
	customPattern     = regexp.MustCompile(`^CUSTOM_[A-Z0-9_]+$`)
	uuidPattern       = regexp.MustCompile(`^[0-9a-fA-F-]{36}$`)
	suffixPattern     = regexp.MustCompile(`[a-zA-Z0-9_-]{1,64}`)
	limitPattern      = regexp.MustCompile(`^[1-9][0-9]*$`)
	typeFilterPattern = regexp.MustCompile(`^[A-Z0-9_]+$|^all|^unknown$`)
)

// The schemas of values.
var (
	anyString  = &schema{types: []string{"string"}}
	anyInteger = &schema{types: []string{"integer"}}
	uuidString = &schema{types: []string{"string"}, uuid: true}
	traitName  = &schema{types: []string{"string"}, minLen: 1, maxLen: 255}
	projectID  = &schema{types: []string{"string"}, minLen: 1, maxLen: 255}
	uuidList   = &schema{types: []string{"array"}, items: uuidString, unique: true}
	amounts    = &schema{
		types: []string{"object"}, minProps: 1, closed: true,
		patterns: []patternProp{{namePattern, &schema{types: []string{"integer"}, min: number(1)}}},
	}
)

func from(least float64) *schema {
	return &schema{types: []string{"integer"}, min: number(least), max: number(math.MaxInt32)}
}

// providerSchema is that of a provider's body.
func providerSchema(r *httpapi.Request, create bool) *schema {
	s := &schema{
		types: []string{"object"}, required: []string{"name"}, closed: true,
		props: []prop{{"name", &schema{types: []string{"string"}, maxLen: 200}}},
	}
	if create {
		s.props = append(s.props, prop{"uuid", uuidString})
	}
	if at(r, "1.14") {
		s.props = append(s.props, prop{"parent_provider_uuid", &schema{nullUUID: true}})
	}
	return s
}

func aggregatesSchema(r *httpapi.Request) *schema {
	if !at(r, "1.19") {
		return uuidList
	}
	return &schema{
		types: []string{"object"}, required: []string{"aggregates", "resource_provider_generation"}, closed: true,
		props: []prop{{"aggregates", uuidList}, {"resource_provider_generation", anyInteger}},
	}
}

// inventorySchema is that of one inventory, with what it must have besides.
func inventorySchema(required ...string) *schema {
	s := &schema{
		types: []string{"object"}, required: append([]string{"total"}, required...), closed: true,
		props: []prop{
			{"resource_provider_generation", anyInteger},
			{"total", from(1)},
			{"reserved", from(0)},
			{"min_unit", from(1)},
			{"max_unit", from(1)},
			{"step_size", from(1)},
			{"allocation_ratio", &schema{types: []string{"number"}, max: number(3.40282e+38)}},
		},
	}
	for _, name := range required {
		if name == "resource_class" {
			s.props = append(s.props, prop{name, &schema{types: []string{"string"}, pattern: namePattern}})
		}
	}
	return s
}

var (
	createInventorySchema = inventorySchema("resource_class")
	updateInventorySchema = inventorySchema("resource_provider_generation")
	inventoriesSchema     = &schema{
		types: []string{"object"}, required: []string{"resource_provider_generation", "inventories"}, closed: true,
		props: []prop{
			{"resource_provider_generation", anyInteger},
			{"inventories", &schema{types: []string{"object"}, patterns: []patternProp{{namePattern, inventorySchema()}}}},
		},
	}
	classSchema = &schema{
		types: []string{"object"}, required: []string{"name"}, closed: true,
		props: []prop{{"name", &schema{types: []string{"string"}, pattern: customPattern, maxLen: 255}}},
	}
	providerTraitsSchema = &schema{
		types: []string{"object"}, required: []string{"traits", "resource_provider_generation"}, closed: true,
		props: []prop{
			{"traits", &schema{types: []string{"array"}, items: traitName}},
			{"resource_provider_generation", anyInteger},
		},
	}
)

// allocationsSchema is that of one consumer's allocations. Clearing says that
// there may be none.
func allocationsSchema(r *httpapi.Request, clearing bool) *schema {
	s := &schema{types: []string{"object"}, required: []string{"allocations"}, closed: true, closedFirst: at(r, "1.12")}
	if at(r, "1.12") {
		of := &schema{types: []string{"object"}, closed: true, patterns: []patternProp{{uuidPattern, &schema{
			types: []string{"object"}, required: []string{"resources"}, closed: true,
			props: []prop{{"generation", anyInteger}, {"resources", amounts}},
		}}}}
		if !clearing {
			of.minProps = 1
		}
		s.props = []prop{{"allocations", of}}
	} else {
		s.props = []prop{{"allocations", &schema{types: []string{"array"}, minItems: 1, items: &schema{
			types: []string{"object"}, required: []string{"resource_provider", "resources"}, closed: true,
			props: []prop{
				{"resource_provider", &schema{
					types: []string{"object"}, required: []string{"uuid"}, closed: true, closedFirst: true,
					props: []prop{{"uuid", uuidString}},
				}},
				{"resources", amounts},
			},
		}}}}
	}
	if at(r, "1.8") {
		s.props = append(s.props, prop{"project_id", projectID}, prop{"user_id", projectID})
		s.required = append(s.required, "project_id", "user_id")
	}
	if at(r, "1.28") {
		s.props = append(s.props, prop{"consumer_generation", &schema{types: []string{"integer", "null"}}})
		s.required = append(s.required, "consumer_generation")
	}
	if at(r, "1.34") {
		s.props = append(s.props, prop{"mappings", &schema{
			types: []string{"object"}, minProps: 1,
			patterns: []patternProp{{suffixPattern, &schema{types: []string{"array"}, minItems: 1, items: uuidString}}},
		}})
	}
	if at(r, "1.38") {
		s.props = append(s.props, prop{"consumer_type", &schema{types: []string{"string"}, pattern: namePattern, minLen: 1, maxLen: 255}})
		s.required = append(s.required, "consumer_type")
	}
	return s
}

// consumersSchema is that of many consumers' allocations.
func consumersSchema(r *httpapi.Request) *schema {
	return &schema{
		types: []string{"object"}, minProps: 1, closed: true, closedFirst: true,
		patterns: []patternProp{{uuidPattern, allocationsSchema(r, true)}},
	}
}

func reshaperSchema(r *httpapi.Request) *schema {
	allocations := consumersSchema(r)
	allocations.minProps = 0
	return &schema{
		types: []string{"object"}, required: []string{"inventories", "allocations"}, closed: true,
		props: []prop{
			{"inventories", &schema{types: []string{"object"}, minProps: 1, closed: true, patterns: []patternProp{{uuidPattern, inventoriesSchema}}}},
			{"allocations", allocations},
		},
	}
}

// query is the schema of a query with the named parameters.
func query(props ...prop) *schema {
	return &schema{types: []string{"object"}, closed: true, props: props}
}

func providersQuery(r *httpapi.Request) *schema {
	s := query(prop{"name", anyString}, prop{"uuid", uuidString})
	for _, p := range []struct {
		since, name string
		*schema
	}{{"1.3", "member_of", anyString}, {"1.4", "resources", anyString}, {"1.14", "in_tree", uuidString}, {"1.18", "required", anyString}} {
		if at(r, p.since) {
			s.props = append(s.props, prop{p.name, p.schema})
		}
	}
	return s
}

var traitsQuery = query(prop{"name", anyString}, prop{"associated", anyString})

func usagesQuery(r *httpapi.Request) *schema {
	s := query(prop{"project_id", projectID}, prop{"user_id", projectID})
	s.required = []string{"project_id"}
	if at(r, "1.38") {
		s.props = append(s.props, prop{"consumer_type", &schema{types: []string{"string"}, pattern: typeFilterPattern, minLen: 1, maxLen: 255}})
	}
	return s
}

func candidatesQuery(r *httpapi.Request) *schema {
	s := query()
	if at(r, "1.16") {
		s.props = append(s.props, prop{"limit", &schema{types: []string{"integer", "string"}, pattern: limitPattern, minLen: 1}})
	}
	if !at(r, "1.25") {
		s.required = []string{"resources"}
		s.props = append([]prop{{"resources", anyString}}, s.props...)
		for _, p := range []struct{ since, name string }{{"1.17", "required"}, {"1.21", "member_of"}} {
			if at(r, p.since) {
				s.props = append(s.props, prop{p.name, anyString})
			}
		}
		return s
	}
	s.props = append(s.props, prop{"group_policy", &schema{types: []string{"string"}, enum: []string{"none", "isolate"}}})
	for _, p := range []struct{ since, name string }{{"1.35", "root_required"}, {"1.36", "same_subtree"}} {
		if at(r, p.since) {
			s.props = append(s.props, prop{p.name, anyString})
		}
	}
	names := numberedGroups
	switch {
	case at(r, "1.33"):
		names = namedGroups
	case at(r, "1.31"):
		names = numberedTreeGroups
	}
	for _, name := range names {
		s.patterns = append(s.patterns, patternProp{name, anyString})
	}
	return s
}

// The parameters of request groups, by the microversions that have them.
var (
	numberedGroups     = groups(`([1-9][0-9]*)?$`, "resources", "required", "member_of")
	numberedTreeGroups = groups(`([1-9][0-9]*)?$`, "resources", "required", "member_of", "in_tree")
	namedGroups        = groups(`([a-zA-Z0-9_-]{1,64})?$`, "resources", "required", "member_of", "in_tree")
)

func groups(suffix string, names ...string) (list []*regexp.Regexp) {
	for _, name := range names {
		list = append(list, regexp.MustCompile("^"+name+suffix))
	}
	return list
}
