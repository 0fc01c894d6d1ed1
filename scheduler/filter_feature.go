package scheduler

import (
	"slices"
	"strings"
)

// GuestFeatureFilter turns every host away from a server that asks, by its flavor
// or image, for something that guests and their owners rely on and no hypervisor
// driver can be told to give: better no server than one that only looks like it.
// It always runs.
type GuestFeatureFilter struct{}

// Name implements [Filter].
func (GuestFeatureFilter) Name() string { return "GuestFeatureFilter" }

// feature is an extra spec and an image property that ask for something.
type feature struct {
	spec, property string
	asks           func(value string) bool
}

func isSet(v string) bool { return v != "" }

func isTrue(v string) bool {
	return slices.Contains([]string{"1", "t", "true", "on", "y", "yes"}, strings.ToLower(strings.TrimSpace(v)))
}

func isRequired(v string) bool { return v == "required" }

func features() []feature {
	return []feature{
		{"hw:cpu_realtime", "hw_cpu_realtime", isTrue},
		{"hw:mem_encryption", "hw_mem_encryption", isTrue},
		{"hw:locked_memory", "hw_locked_memory", isTrue},
		{"hw:ephemeral_encryption", "hw_ephemeral_encryption", isTrue},
		{"hw:pmem", "", isSet},
		{"hw:tpm_version", "hw_tpm_version", isSet},
		{"hw:tpm_model", "hw_tpm_model", isSet},
		{"hw:viommu_model", "hw_viommu_model", isSet},
		{"os:secure_boot", "os_secure_boot", isRequired},
		{"accel:device_profile", "", isSet},
	}
}

// Prepare implements [Filter].
func (GuestFeatureFilter) Prepare(req *Request) Check {
	if len(req.ExtraSpecs) == 0 && len(req.ImageProperties) == 0 {
		return Check{}
	}
	for _, f := range features() {
		name, v := f.spec, req.ExtraSpecs[f.spec]
		if !f.asks(v) {
			name, v = f.property, req.ImageProperties[f.property]
		}
		if f.asks(v) {
			verdict := Verdict{Reason: "do not offer " + name, Want: clip(v), Fix: "use a flavor and an image without " + name}
			return Check{Shared: true, Host: func(HostView) Verdict { return verdict }}
		}
	}
	return Check{}
}
