package inspect

import (
	"math"
	"strconv"
	"strings"
)

// vmdkDescriptor reads a descriptor line by line and takes nothing that it does
// not understand. The text is case-insensitive and ends at the first NUL.
func vmdkDescriptor(desc string, found *finding) {
	desc, _, _ = strings.Cut(desc, "\x00")
	if !printable([]byte(desc)) {
		found.problem(Malformed, "the VMDK descriptor is not ASCII text")
		desc = strings.ToValidUTF8(desc, "\uFFFD")
	}
	lower := strings.ToLower(desc)
	// Some readers search the text for these words and find them in comments.
	if strings.Count(lower, "createtype") != 1 {
		found.problem(Malformed, "the VMDK descriptor gives createType %d times, not once", strings.Count(lower, "createtype"))
	}
	extents, sectors := 0, uint64(0)
	for line := range strings.Lines(desc) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, isField := strings.Cut(line, "=")
		first, _, _ := strings.Cut(strings.ToLower(line), " ")
		switch {
		case strings.HasPrefix(strings.ToLower(line), "ddb."):
		case first == "rw" || first == "rdonly" || first == "noaccess":
			extents++
			if n := vmdkExtent(line, found); n <= math.MaxUint64-sectors {
				sectors += n
			}
		case isField && !strings.ContainsAny(strings.TrimSpace(key), " \t"):
			vmdkField(strings.ToLower(strings.TrimSpace(key)), strings.Trim(strings.TrimSpace(value), `"`), found)
		default:
			found.problem(Malformed, "line %s of the VMDK descriptor is not understood", quote(line))
		}
		if len(found.problems) > 16 {
			return
		}
	}
	if found.backingFile == "" && strings.Contains(lower, "parentfilenamehint") {
		found.problem(OutsideReference, "the VMDK descriptor names a parent file")
	}
	if extents != 1 {
		found.problem(OutsideReference, "the VMDK descriptor names %d extents, not one", extents)
	}
	if found.virtualSize == 0 {
		found.setSize(sectors, 512)
	}
}

func vmdkField(key, value string, found *finding) {
	switch key {
	case "createtype":
		found.subformat = strings.ToLower(value)
		if len(found.subformat) > 64 {
			found.subformat = found.subformat[:64]
		}
	case "parentcid":
		if !strings.EqualFold(value, "ffffffff") {
			found.problem(OutsideReference, "the VMDK descriptor gives a parent's content id %s", quote(value))
		}
	case "parentfilenamehint":
		found.backingFile = value
		found.problem(OutsideReference, "the image names a parent file %s", quote(value))
	case "changetrackpath":
		found.problem(OutsideReference, "the image names a change tracking file %s", quote(value))
	}
}

// vmdkExtent checks one extent line (access, sectors, type, name in quotes) and
// returns its sectors.
func vmdkExtent(line string, found *finding) uint64 {
	fields := strings.Fields(line)
	if len(fields) < 3 {
		found.problem(Malformed, "extent %s is not understood", quote(line))
		return 0
	}
	sectors, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		found.problem(Malformed, "extent %s has no valid size", quote(line))
	}
	if kind := strings.ToLower(fields[2]); kind != "sparse" {
		found.problem(OutsideReference, "extent %s is not within the file", quote(line))
	}
	if strings.ContainsAny(line, `/\`) || strings.Contains(line, "..") {
		found.problem(OutsideReference, "extent %s names a path", quote(line))
	}
	return sectors
}
