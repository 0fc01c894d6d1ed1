package hypervisor

import (
	"slices"
	"strings"
)

// cpuTraits are the standard traits of x86 processors' abilities, by the names
// that Linux has for these, and libvirt where it has others.
var cpuTraits = map[string]string{
	"3dnow": "3DNOW", "abm": "ABM", "lzcnt": "ABM", "aes": "AESNI", "avx": "AVX", "avx2": "AVX2",
	"avx512_bitalg": "AVX512BITALG", "avx512-bitalg": "AVX512BITALG", "avx512bw": "AVX512BW", "avx512cd": "AVX512CD",
	"avx512dq": "AVX512DQ", "avx512er": "AVX512ER", "avx512f": "AVX512F", "avx512ifma": "AVX512IFMA",
	"avx512pf": "AVX512PF", "avx512vbmi": "AVX512VBMI", "avx512_vbmi2": "AVX512VBMI2", "avx512vbmi2": "AVX512VBMI2",
	"avx512vl": "AVX512VL", "avx512_vnni": "AVX512VNNI", "avx512vnni": "AVX512VNNI",
	"avx512_vpopcntdq": "AVX512VPOPCNTDQ", "avx512-vpopcntdq": "AVX512VPOPCNTDQ",
	"bmi1": "BMI", "bmi2": "BMI2", "pclmulqdq": "CLMUL", "pclmuldq": "CLMUL", "f16c": "F16C", "fma": "FMA3", "fma4": "FMA4",
	"mmx": "MMX", "mpx": "MPX", "pcid": "INTEL_PCID", "pdpe1gb": "PDPE1GB", "rtm": "TSX", "sgx": "SGX",
	"sha_ni": "SHA", "sha-ni": "SHA", "sse": "SSE", "sse2": "SSE2", "pni": "SSE3", "sse3": "SSE3",
	"sse4_1": "SSE41", "sse4.1": "SSE41", "sse4_2": "SSE42", "sse4.2": "SSE42", "sse4a": "SSE4A", "ssse3": "SSSE3",
	"ibpb": "AMD_IBPB", "amd-ssbd": "AMD_SSBD", "virt_ssbd": "AMD_VIRT_SSBD", "virt-ssbd": "AMD_VIRT_SSBD", "amd-no-ssb": "AMD_NO_SSB",
	"md_clear": "INTEL_MD_CLEAR", "md-clear": "INTEL_MD_CLEAR", "spec-ctrl": "INTEL_SPEC_CTRL", "stibp": "STIBP",
	"sev": "AMD_SEV", "svm": "SVM", "vmx": "VMX", "tbm": "TBM", "xop": "XOP",
}

// beside512 are abilities that have a trait as companions of AVX-512 only.
var beside512 = map[string]string{
	"gfni": "AVX512GFNI", "vaes": "AVX512VAES", "vpclmulqdq": "AVX512VPCLMULQDQ",
}

// CPUTraits returns the standard traits (HW_CPU_X86_…) of what an x86 processor
// can do, by the names of /proc/cpuinfo or libvirt, sorted. Names without a
// trait are left out.
func CPUTraits(features []string) []string {
	var out []string
	for _, f := range features {
		name := cpuTraits[f]
		if more := beside512[f]; more != "" && slices.Contains(features, "avx512f") {
			name = more
		}
		if name != "" {
			out = append(out, "HW_CPU_X86_"+name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// architectures are those that have traits of their own, both as hardware and
// as what servers run on.
var architectures = []string{"x86_64", "aarch64", "ppc64le", "s390x", "riscv64", "mipsel"}

// imageTypes are the standard traits of formats of base images.
var imageTypes = map[string]string{
	"raw": "RAW", "qcow2": "QCOW2", "iso": "ISO", "vmdk": "VMDK", "vhd": "VHD", "vhdx": "VHDX", "vdi": "VDI", "ploop": "PLOOP",
}

// Traits returns all that is so about the host by the Placement API's names,
// sorted: what the driver told, and what follows from the processor, the formats
// of images and the driver's abilities.
func (n *Node) Traits(h Host) []string {
	// Tags of devices are told by the metadata, whatever runs the guest.
	out := slices.Concat([]string{"COMPUTE_NODE", "COMPUTE_DEVICE_TAGGING"}, h.Traits)
	if slices.Contains(architectures, h.Arch) {
		out = append(out, "COMPUTE_ARCH_"+strings.ToUpper(h.Arch))
		if h.Arch != "riscv64" { // which has no name as hardware
			out = append(out, "HW_ARCH_"+strings.ToUpper(h.Arch))
		}
	}
	if h.Arch == "x86_64" || h.Arch == "i686" {
		out = append(out, CPUTraits(h.CPUFeatures)...)
	}
	for _, format := range h.Formats {
		if name := imageTypes[format]; name != "" {
			out = append(out, "COMPUTE_IMAGE_TYPE_"+name)
		}
	}
	disks, nics := n.HotPlug()
	if disks {
		out = append(out, "COMPUTE_VOLUME_ATTACH", "COMPUTE_VOLUME_ATTACH_WITH_TAG")
	}
	if nics {
		out = append(out, "COMPUTE_NET_ATTACH_INTERFACE", "COMPUTE_NET_ATTACH_INTERFACE_WITH_TAG")
	}
	if n.Can(CanResizeDisk) {
		out = append(out, "COMPUTE_VOLUME_EXTEND")
	}
	slices.Sort(out)
	return slices.Compact(out)
}
