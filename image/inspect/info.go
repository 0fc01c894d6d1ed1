package inspect

// Format is a disk format, by the name that the Image API gives it in
// disk_format.
type Format string

// The formats. AKI, ARI and AMI have no marks of their own: content that
// matches nothing is [Raw], and [Check] accepts it for them.
const (
	Raw   Format = "raw"
	QCOW2 Format = "qcow2"
	VMDK  Format = "vmdk"
	VHD   Format = "vhd"
	VHDX  Format = "vhdx"
	VDI   Format = "vdi"
	ISO   Format = "iso"
	Ploop Format = "ploop"
	AKI   Format = "aki"
	ARI   Format = "ari"
	AMI   Format = "ami"
	LUKS  Format = "luks" // a bare LUKS container
	QED   Format = "qed"  // recognised in order to be refused
)

// Info is what the content of an image says of itself.
type Info struct {
	// Format is what the content is; [Raw] when it matches nothing. When it
	// matches more than one format this is the first of Formats, and Problems
	// holds a [Polyglot].
	Format Format
	// Formats is every format that the content matches; empty for raw.
	Formats []Format
	// Size is the length of the file in bytes.
	Size int64
	// VirtualSize is the size in bytes of the disk that a guest would see; 0
	// when the content does not tell. For raw content it is Size.
	VirtualSize int64
	// Subformat is the kind within the format: "fixed", "dynamic" or
	// "differencing" for VHD, VHDX and VDI, the lower-case createType of a
	// VMDK, "1" or "2" for LUKS.
	Subformat string
	// Compat is qcow2's compatibility level as qemu-img names it: "0.10" or "1.1".
	Compat string
	// BackingFile, BackingFormat and DataFile are what the headers name, cut to
	// valid UTF-8. Never open them.
	BackingFile, BackingFormat, DataFile string
	// Encrypted says that the content needs a secret to be read.
	Encrypted bool
	// PartitionTable is "gpt" or "mbr" when the first sector holds one, as raw
	// disks and bootable ISOs do. It is no format of its own.
	PartitionTable string
	// Problems is everything that speaks against the image.
	Problems []Problem
}

// Kind tells problems apart.
type Kind string

// The kinds of problems. All but [Note] make [Check] refuse an image.
const (
	// OutsideReference: the file refers to another file.
	OutsideReference Kind = "OutsideReference"
	// UnknownFeature: the file needs something that this package does not know,
	// so nothing can be said of its safety.
	UnknownFeature Kind = "UnknownFeature"
	// Unsupported: the format or subformat is known and not accepted.
	Unsupported Kind = "UnsupportedFormat"
	// Malformed: a header contradicts itself, the format or the file's length.
	Malformed Kind = "MalformedImage"
	// Polyglot: the content matches more than one format.
	Polyglot Kind = "AmbiguousFormat"
	// Encryption: the content is encrypted. See [Policy].
	Encryption Kind = "EncryptedImage"
	// Note: worth logging, no ground for refusal.
	Note Kind = "Note"
)

// Problem is one thing that speaks against an image.
type Problem struct {
	Kind   Kind
	Format Format
	// Detail says what was found. It quotes the file, shortened and escaped.
	Detail string
}

// Fatal reports whether the problem makes the image unacceptable.
func (p Problem) Fatal() bool { return p.Kind != Note }
