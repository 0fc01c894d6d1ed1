package inspect

import (
	"fmt"
	"math"
	"strings"
)

// parser looks for one format. It sets found.match as soon as the content's
// mark is seen, and fills in the rest. An error of the view is returned as it
// is; any other error, and those of a file that ends early, become a
// [Malformed] problem if the mark was there, and are dropped if not.
type parser func(v *view, found *finding) error

// finding is what a parser learnt.
type finding struct {
	match                                bool
	virtualSize                          int64
	subformat, compat                    string
	backingFile, backingFormat, dataFile string
	encrypted                            bool
	problems                             []Problem
}

func (f *finding) problem(kind Kind, format string, args ...any) {
	f.problems = append(f.problems, Problem{Kind: kind, Detail: fmt.Sprintf(format, args...)})
}

// setSize takes a size in units of so many bytes, and refuses what no int64 holds.
func (f *finding) setSize(count, unit uint64) {
	if unit != 0 && count > math.MaxInt64/unit {
		f.problem(Malformed, "the virtual size of %d times %d bytes is out of range", count, unit)
		return
	}
	f.virtualSize = int64(count * unit)
}

type formatParser struct {
	format Format
	parse  parser
}

// formats lists the parsers, those first that a probing program believes first.
func formats() []formatParser {
	return []formatParser{
		{QCOW2, parseQCOW2},
		{QED, parseQED},
		{VMDK, parseVMDK},
		{VHDX, parseVHDX},
		{VDI, parseVDI},
		{LUKS, parseLUKS},
		{Ploop, parsePloop},
		{VHD, parseVHD},
		{ISO, parseISO},
	}
}

// summarize makes one answer of all findings.
func summarize(probes []probe, size int64, head []byte) Info {
	info := Info{Format: Raw, Size: size}
	for i := range probes {
		found := &probes[i].found
		if !found.match {
			continue
		}
		format := probes[i].format
		info.Formats = append(info.Formats, format)
		for _, p := range found.problems {
			p.Format = format
			info.Problems = append(info.Problems, p)
		}
		if len(info.Formats) > 1 {
			continue
		}
		info.Format = format
		info.VirtualSize = found.virtualSize
		info.Subformat, info.Compat = found.subformat, found.compat
		info.BackingFile, info.BackingFormat = found.backingFile, found.backingFormat
		info.DataFile = found.dataFile
		info.Encrypted = found.encrypted
	}
	switch len(info.Formats) {
	case 0:
		info.VirtualSize = size
	case 1:
	default:
		names := make([]string, len(info.Formats))
		for i, f := range info.Formats {
			names[i] = string(f)
		}
		info.Problems = append(info.Problems, Problem{
			Kind: Polyglot, Format: info.Format,
			Detail: "the content matches several formats: " + strings.Join(names, ", "),
		})
	}
	if f := info.Format; f == Raw || f == ISO || f == VHD {
		table, notes := partitionTable(head)
		info.PartitionTable = table
		for _, n := range notes {
			info.Problems = append(info.Problems, Problem{Kind: Note, Format: info.Format, Detail: n})
		}
	}
	return info
}

// text makes a string of a header's bytes: up to the first NUL, valid UTF-8.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return strings.ToValidUTF8(s, "\uFFFD")
}

// quote shortens and escapes what a file says, for messages.
func quote(s string) string {
	if r := []rune(s); len(r) > 100 {
		return fmt.Sprintf("%q...", string(r[:100]))
	}
	return fmt.Sprintf("%q", s)
}
