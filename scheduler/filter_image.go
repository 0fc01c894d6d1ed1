package scheduler

import (
	"strconv"
	"strings"
)

// ImagePropertiesFilter turns away hosts that cannot run the image: by
// hw_architecture, img_hv_type, hw_vm_mode and img_hv_requested_version, or
// their older names architecture, hypervisor_type, vm_mode and
// hypervisor_version_requires.
type ImagePropertiesFilter struct {
	// DefaultArchitecture holds for images that name none; empty: any.
	DefaultArchitecture string
}

// Name implements [Filter].
func (ImagePropertiesFilter) Name() string { return "ImagePropertiesFilter" }

// Prepare implements [Filter].
func (f ImagePropertiesFilter) Prepare(req *Request) Check {
	prop := func(names ...string) string {
		for _, n := range names {
			if v := req.ImageProperties[n]; v != "" {
				return v
			}
		}
		return ""
	}
	arch := prop("hw_architecture", "architecture")
	if arch == "" {
		arch = f.DefaultArchitecture
	}
	want := Guest{
		Arch:   canonicalArch(arch),
		HVType: canonicalHVType(prop("img_hv_type", "hypervisor_type")),
		VMMode: canonicalVMMode(prop("hw_vm_mode", "vm_mode")),
	}
	if want == (Guest{}) {
		return Check{}
	}
	version := prop("img_hv_requested_version", "hypervisor_version_requires")
	return Check{Shared: true, Host: func(h HostView) Verdict {
		supported := guests(h)
		for _, g := range supported {
			if !g.runs(want) {
				continue
			}
			has, known := h.Attribute("hypervisor_version")
			if version == "" || !known || has == "" || has == "0" || versionSatisfies(dotted(has), version) {
				return Verdict{}
			}
			return Verdict{Reason: "have another hypervisor version than the image needs", Want: version, Saw: dotted(has)}
		}
		return Verdict{Reason: "cannot run the image", Want: want.String(), Saw: guestList(supported), Fix: "use an image for the host's architecture and hypervisor"}
	}}
}

// guests returns what the host runs; one that lists nothing may still say so in
// its attributes.
func guests(h HostView) []Guest {
	if s := h.Supported(); len(s) > 0 {
		return s
	}
	a := h.profile().attributes
	g := Guest{Arch: a["arch"], HVType: a["hypervisor_type"], VMMode: a["vm_mode"]}
	if g == (Guest{}) {
		return nil
	}
	return []Guest{g}
}

func (g Guest) runs(want Guest) bool {
	return (want.Arch == "" || want.Arch == canonicalArch(g.Arch)) &&
		(want.HVType == "" || want.HVType == canonicalHVType(g.HVType)) &&
		(want.VMMode == "" || want.VMMode == canonicalVMMode(g.VMMode))
}

// String writes the guest as "x86_64/kvm/hvm", with * for any.
func (g Guest) String() string {
	part := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	return part(g.Arch) + "/" + part(g.HVType) + "/" + part(g.VMMode)
}

func guestList(gs []Guest) string {
	var parts []string
	for i, g := range gs {
		if i == 8 {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, g.String())
	}
	return strings.Join(parts, ", ")
}

func canonicalArch(s string) string {
	switch s = strings.ToLower(s); s {
	case "i386", "i486", "i586", "x86_32", "x86_32p":
		return "i686"
	case "amd64":
		return "x86_64"
	}
	return s
}

func canonicalHVType(s string) string {
	if s = strings.ToLower(s); s == "xapi" {
		return "xen"
	}
	return s
}

func canonicalVMMode(s string) string {
	switch s = strings.ToLower(s); s {
	case "pv":
		return "xen"
	case "hv":
		return "hvm"
	case "baremetal":
		return "hvm"
	}
	return s
}

// dotted writes a hypervisor version as Nova keeps it, 6002003, as "6.2.3".
func dotted(s string) string {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1000 {
		return s
	}
	return strconv.FormatInt(n/1000000, 10) + "." + strconv.FormatInt(n/1000%1000, 10) + "." + strconv.FormatInt(n%1000, 10)
}

// versionSatisfies says whether a version meets a predicate such as
// ">=6.0, <7.0". A predicate that cannot be read is met by none.
func versionSatisfies(version, predicate string) bool {
	v, ok := parseVersion(version)
	if !ok {
		return false
	}
	for part := range strings.SplitSeq(predicate, ",") {
		part = strings.TrimSpace(part)
		n := len(part) - len(strings.TrimLeft(part, "<>=!"))
		w, ok := parseVersion(strings.TrimSpace(part[n:]))
		if !ok {
			return false
		}
		c := compareVersions(v, w)
		switch part[:n] {
		case ">":
			ok = c > 0
		case ">=":
			ok = c >= 0
		case "<":
			ok = c < 0
		case "<=":
			ok = c <= 0
		case "==":
			ok = c == 0
		case "!=":
			ok = c != 0
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}

func parseVersion(s string) ([]int, bool) {
	var out []int
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || len(out) == 8 {
			return nil, false
		}
		out = append(out, n)
	}
	return out, true
}

func compareVersions(a, b []int) int {
	for i := range max(len(a), len(b)) {
		var x, y int
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return x - y
		}
	}
	return 0
}
