package image

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/nephos-cloud/nephos"
)

const (
	maxText  = 255           // characters of names, tags and names of properties
	maxValue = 65535         // bytes of a property's value
	maxInt   = math.MaxInt32 // of min_disk and min_ram
)

// uuidPattern is the form of an image's ID.
const uuidPattern = `^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$`

var uuidForm = regexp.MustCompile(uuidPattern)

// readOnly are attributes that only the service sets.
var readOnly = []string{
	"created_at", "updated_at", "status", "checksum", "size", "virtual_size", "direct_url",
	"self", "file", "schema", "id", "os_hash_algo", "os_hash_value", "stores",
}

// reserved are names that no property takes.
var reserved = []string{"location", "locations", "deleted", "deleted_at"}

// attributes are the names of what an update sets other than properties.
var attributes = []string{
	"name", "visibility", "owner", "disk_format", "container_format", "min_disk", "min_ram",
	"protected", "os_hidden", "tags",
}

// reservedPrefix begins the names that the service keeps for itself.
const reservedPrefix = "os_glance_"

// mismatch is the error for a value that an attribute does not take, in the
// words of the API's schema.
func mismatch(field, format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, "Provided object does not match schema 'image': %s", fmt.Sprintf(format, args...)).WithField(field)
}

func checkText(field, s string, max int) error {
	if utf8.RuneCountInString(s) > max {
		return mismatch(field, "'%s' is too long", clip(s))
	}
	return checkUTF8(field, s)
}

func checkUTF8(field, s string) error {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return mismatch(field, "%s must be UTF-8 text without NUL", field)
	}
	return nil
}

func checkEnum(field, s string, values []string) error {
	if s == "" || slices.Contains(values, s) {
		return nil
	}
	return mismatch(field, "'%s' is not one of ['%s']", clip(s), strings.Join(values, "', '"))
}

func checkMin(field string, n int64) error {
	switch {
	case n < 0:
		return nephos.Errorf(nephos.ErrInvalid, "Invalid value '%d' for parameter '%s': Cannot be a negative value", n, field).WithField(field)
	case n > maxInt:
		return nephos.Errorf(nephos.ErrInvalid, "'%s' value out of range, must not exceed %d.", field, maxInt).WithField(field)
	}
	return nil
}

func visibilities() []string { return []string{Community, Public, Private, Shared} }

// check refuses what cannot be an image.
func (l Limits) check(img Image) error {
	if !uuidForm.MatchString(img.ID) {
		return mismatch("id", "'%s' does not match '%s'", clip(img.ID), uuidPattern)
	}
	if img.Name != nil {
		if err := checkText("name", *img.Name, maxText); err != nil {
			return err
		}
	}
	if img.Visibility == "" {
		return mismatch("visibility", "'' is not one of ['%s']", strings.Join(visibilities(), "', '"))
	}
	for _, e := range []error{
		checkEnum("visibility", img.Visibility, visibilities()),
		checkEnum("disk_format", img.DiskFormat, DiskFormats()),
		checkEnum("container_format", img.ContainerFormat, ContainerFormats()),
		checkText("owner", img.Owner, maxText),
		checkMin("min_disk", img.MinDisk),
		checkMin("min_ram", img.MinRAM),
	} {
		if e != nil {
			return e
		}
	}
	for _, t := range img.Tags {
		if err := checkText("tags", t, maxText); err != nil {
			return err
		}
	}
	if err := l.checkTags(len(img.Tags)); err != nil {
		return err
	}
	for k, v := range img.Properties {
		if err := checkProperty(k, v); err != nil {
			return err
		}
	}
	return l.checkProperties(len(img.Properties))
}

func checkProperty(k, v string) error {
	if slices.Contains(readOnly, k) {
		return readOnlyError(k)
	}
	if slices.Contains(reserved, k) || strings.HasPrefix(k, reservedPrefix) || slices.Contains(attributes, k) {
		return reservedError(k)
	}
	switch {
	case k == "":
		return nephos.Errorf(nephos.ErrInvalid, "The name of a custom property must not be empty.")
	case utf8.RuneCountInString(k) > maxText:
		return nephos.Errorf(nephos.ErrInvalid, "Custom property should not be greater than 255 characters.")
	case len(v) > maxValue:
		return mismatch(clip(k), "the value of '%s' is too long", clip(k))
	}
	if err := checkUTF8("the name of a custom property", k); err != nil {
		return err
	}
	return checkUTF8(k, v)
}

func readOnlyError(name string) error {
	return nephos.Errorf(nephos.ErrForbidden, "Attribute '%s' is read-only.", clip(name)).WithField(clip(name))
}

func reservedError(name string) error {
	return nephos.Errorf(nephos.ErrForbidden, "Attribute '%s' is reserved.", clip(name)).WithField(clip(name))
}

// sortedSet returns the tags once each, in order.
func sortedSet(tags []string) []string {
	set := slices.Clone(tags)
	slices.Sort(set)
	return slices.Compact(set)
}
