package glance

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/image"
)

// property is one property of a JSON schema, of the kinds that images need.
type property struct {
	Description string               `json:"description,omitempty"`
	Type        any                  `json:"type"` // a string, or []string
	ReadOnly    bool                 `json:"readOnly,omitempty"`
	WriteOnly   bool                 `json:"writeOnly,omitempty"`
	Pattern     string               `json:"pattern,omitempty"`
	MaxLength   int                  `json:"maxLength,omitempty"`
	MinLength   int                  `json:"minLength,omitempty"`
	Enum        []any                `json:"enum,omitempty"`
	Items       *property            `json:"items,omitempty"`
	Properties  map[string]*property `json:"properties,omitempty"`
	Required    []string             `json:"required,omitempty"`
	Additional  *bool                `json:"additionalProperties,omitempty"`
	Base        *bool                `json:"is_base,omitempty"`
}

const uuidPattern = `^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$`

var uuidForm = regexp.MustCompile(uuidPattern)

func orNull(t string) []string { return []string{"null", t} }

// enum lists the values that are allowed; null comes first.
func enum(null bool, values []string) []any {
	var out []any
	if null {
		out = append(out, nil)
	}
	for _, v := range values {
		out = append(out, v)
	}
	return out
}

// imageProperties describes what every image has, and what many have.
func imageProperties() map[string]*property {
	no := false
	props := map[string]*property{
		"id":               {Type: "string", Pattern: uuidPattern, Description: "An identifier for the image"},
		"name":             {Type: orNull("string"), MaxLength: 255, Description: "Descriptive name for the image"},
		"status":           {Type: "string", ReadOnly: true, Description: "Status of the image", Enum: enum(false, []string{"queued", "saving", "active", "killed", "deleted", "uploading", "importing", "pending_delete", "deactivated"})},
		"visibility":       {Type: "string", Description: "Scope of image accessibility", Enum: enum(false, []string{"community", "public", "private", "shared"})},
		"protected":        {Type: "boolean", Description: "If true, image will not be deletable."},
		"os_hidden":        {Type: "boolean", Description: "If true, image will not appear in default image list response."},
		"checksum":         {Type: orNull("string"), ReadOnly: true, MaxLength: 32, Description: "md5 hash of image contents."},
		"os_hash_algo":     {Type: orNull("string"), ReadOnly: true, MaxLength: 64, Description: "Algorithm to calculate the os_hash_value"},
		"os_hash_value":    {Type: orNull("string"), ReadOnly: true, MaxLength: 128, Description: "Hexdigest of the image contents using the algorithm specified by the os_hash_algo"},
		"owner":            {Type: orNull("string"), MaxLength: 255, Description: "Owner of the image"},
		"size":             {Type: orNull("integer"), ReadOnly: true, Description: "Size of image file in bytes"},
		"virtual_size":     {Type: orNull("integer"), ReadOnly: true, Description: "Virtual size of image in bytes"},
		"container_format": {Type: orNull("string"), Description: "Format of the container", Enum: enum(true, image.ContainerFormats())},
		"disk_format":      {Type: orNull("string"), Description: "Format of the disk", Enum: enum(true, image.DiskFormats())},
		"created_at":       {Type: "string", ReadOnly: true, Description: "Date and time of image registration"},
		"updated_at":       {Type: "string", ReadOnly: true, Description: "Date and time of the last image modification"},
		"tags":             {Type: "array", Description: "List of strings related to the image", Items: &property{Type: "string", MaxLength: 255}},
		"direct_url":       {Type: "string", ReadOnly: true, Description: "URL to access the image file kept in external store"},
		"min_ram":          {Type: "integer", Description: "Amount of ram (in MB) required to boot image."},
		"min_disk":         {Type: "integer", Description: "Amount of disk space (in GB) required to boot image."},
		"self":             {Type: "string", ReadOnly: true, Description: "An image self url"},
		"file":             {Type: "string", ReadOnly: true, Description: "An image file url"},
		"stores":           {Type: "string", ReadOnly: true, Description: "Store in which image data resides.  Only present when the operator has enabled multiple stores.  May be a comma-separated list of store identifiers."},
		"schema":           {Type: "string", ReadOnly: true, Description: "An image schema url"},
		"locations": {
			Type: "array", Description: "A set of URLs to access the image file kept in external store",
			Items: &property{
				Type: "object", Required: []string{"url", "metadata"},
				Properties: map[string]*property{
					"url":      {Type: "string", MaxLength: 255},
					"metadata": {Type: "object"},
					"validation_data": {
						Type: "object", WriteOnly: true, Additional: &no, Required: []string{"os_hash_algo", "os_hash_value"},
						Description: "Values to be used to populate the corresponding image properties. If the image status is not 'queued', values must exactly match those already contained in the image properties.",
						Properties: map[string]*property{
							"checksum":      {Type: "string", MinLength: 32, MaxLength: 32},
							"os_hash_algo":  {Type: "string", MaxLength: 64},
							"os_hash_value": {Type: "string", MaxLength: 128},
						},
					},
				},
			},
		},
	}
	maps.Copy(props, baseProperties())
	return props
}

func memberProperties() map[string]*property {
	return map[string]*property{
		"member_id":  {Type: "string", Description: "An identifier for the image member (tenantId)"},
		"image_id":   {Type: "string", Pattern: uuidPattern, Description: "An identifier for the image"},
		"created_at": {Type: "string", Description: "Date and time of image member creation"},
		"updated_at": {Type: "string", Description: "Date and time of last modification of image member"},
		"status":     {Type: "string", Description: "The status of this image member", Enum: enum(false, []string{image.Pending, image.Accepted, image.Rejected})},
		"schema":     {Type: "string", ReadOnly: true},
	}
}

func (a *api) schemaRoutes() []httpapi.Route {
	img := map[string]any{
		"name": "image", "properties": imageProperties(), "additionalProperties": map[string]string{"type": "string"},
		"links": []httpapi.Link{{Rel: "self", Href: "{self}"}, {Rel: "enclosure", Href: "{file}"}, {Rel: "describedby", Href: "{schema}"}},
	}
	member := map[string]any{"name": "member", "properties": memberProperties()}
	text := map[string]string{"type": "string"}
	images := map[string]any{
		"name": "images",
		"properties": map[string]any{
			"images": map[string]any{"type": "array", "items": img}, "first": text, "next": text, "schema": text,
		},
		"links": []httpapi.Link{{Rel: "first", Href: "{first}"}, {Rel: "next", Href: "{next}"}, {Rel: "describedby", Href: "{schema}"}},
	}
	members := map[string]any{
		"name": "members",
		"properties": map[string]any{
			"members": map[string]any{"type": "array", "items": member}, "schema": text,
		},
		"links": []httpapi.Link{{Rel: "describedby", Href: "{schema}"}},
	}
	var routes []httpapi.Route
	for name, doc := range map[string]any{"image": img, "images": images, "member": member, "members": members} {
		raw, err := json.Marshal(doc)
		if err != nil {
			panic(err) // it is made of nothing that could fail
		}
		routes = append(routes, httpapi.Route{
			// A schema is the same for everybody: any good token will do.
			Pattern: "GET /v2/schemas/" + name, Rules: []string{"@"},
			Handler: func(*httpapi.Request) (*httpapi.Response, error) { return httpapi.OK(json.RawMessage(raw)), nil },
		})
	}
	return routes
}

// validate holds an image's attributes against the schema.
func validate(attrs map[string]any) error {
	props := imageProperties()
	names := make([]string, 0, len(attrs))
	for k := range attrs {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, name := range names {
		p := props[name]
		if p == nil {
			p = &property{Type: "string"}
		}
		if why := p.mismatch(attrs[name]); why != "" {
			return invalid("Provided object does not match schema 'image': %s", why).WithField(clip(name))
		}
	}
	return nil
}

// mismatch says why a value is not one of the property, "" if it is.
func (p *property) mismatch(v any) string {
	types, ok := p.Type.([]string)
	if !ok {
		types = []string{p.Type.(string)}
	}
	if !slices.ContainsFunc(types, func(t string) bool { return isType(v, t) }) {
		return repr(v) + " is not of type '" + strings.Join(types, "', '") + "'"
	}
	if len(p.Enum) > 0 && !slices.Contains(p.Enum, v) {
		values := make([]string, len(p.Enum))
		for i, e := range p.Enum {
			values[i] = repr(e)
		}
		return repr(v) + " is not one of [" + strings.Join(values, ", ") + "]"
	}
	switch v := v.(type) {
	case string:
		switch n := utf8.RuneCountInString(v); {
		case p.MaxLength > 0 && n > p.MaxLength:
			return repr(v) + " is too long"
		case n < p.MinLength:
			return repr(v) + " is too short"
		case p.Pattern == uuidPattern && !uuidForm.MatchString(v):
			return repr(v) + " does not match '" + p.Pattern + "'"
		}
	case []any:
		for _, e := range v {
			if p.Items != nil {
				if why := p.Items.mismatch(e); why != "" {
					return why
				}
			}
		}
	case map[string]any:
		for _, k := range p.Required {
			if _, ok := v[k]; !ok {
				return "'" + k + "' is a required property"
			}
		}
		for k, e := range v {
			if sub := p.Properties[k]; sub != nil {
				if why := sub.mismatch(e); why != "" {
					return why
				}
			}
		}
	}
	return ""
}

func isType(v any, name string) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case json.Number:
		_, err := v.Int64()
		return name == "integer" && err == nil
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// native turns a value that fits the schema into what package image takes.
func native(v any) any {
	switch v := v.(type) {
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return nil
		}
		return n
	case []any:
		list := make([]string, 0, len(v))
		for _, e := range v {
			s, _ := e.(string)
			list = append(list, s)
		}
		return list
	}
	return v
}
