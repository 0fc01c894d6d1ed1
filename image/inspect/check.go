package inspect

import (
	"fmt"

	"github.com/nephos-cloud/nephos"
)

// Policy is what [Policy.Check] lets pass beyond the defaults.
type Policy struct {
	// AllowEncrypted accepts encrypted qcow2, and LUKS containers declared as
	// luks or raw, for clouds that hold the keys.
	AllowEncrypted bool
}

// Check is [Policy.Check] of the zero Policy.
func Check(info Info, declared Format) error { return Policy{}.Check(info, declared) }

// Check decides whether an image may be stored or used under the declared disk
// format. The error is a [*nephos.Error] of kind [nephos.ErrInvalid] whose
// message names the cause and whose Reason is "FormatMismatch" or the [Kind] of
// the first problem.
//
// Content must match the declared format and no other; raw, aki, ari and ami
// ask for content that matches no format at all. A partition table is raw
// content, and may stand in front of an ISO.
func (pol Policy) Check(info Info, declared Format) error {
	want := declared
	switch declared {
	case AKI, ARI, AMI:
		want = Raw
	case Raw, QCOW2, VMDK, VHD, VHDX, VDI, ISO, Ploop, LUKS, QED:
	default:
		return refuse("UnsupportedFormat", fmt.Sprintf("Disk format %s is not known.", quote(string(declared))))
	}
	for _, p := range info.Problems {
		if p.Kind == Polyglot {
			return refuse(string(Polyglot), fmt.Sprintf("Image declared as %s refused: %s.", declared, p.Detail))
		}
	}
	luksAsRaw := pol.AllowEncrypted && declared == Raw && info.Format == LUKS
	if info.Format != want && !luksAsRaw {
		return refuse("FormatMismatch",
			fmt.Sprintf("Image content does not match disk_format: declared %s, found %s.", declared, info.Format))
	}
	for _, p := range info.Problems {
		if !p.Fatal() || p.Kind == Encryption && pol.AllowEncrypted {
			continue
		}
		return refuse(string(p.Kind), fmt.Sprintf("Image declared as %s refused: %s.", declared, p.Detail))
	}
	return nil
}

func refuse(reason, message string) error {
	return (&nephos.Error{Kind: nephos.ErrInvalid, Message: message}).WithReason(reason).WithField("disk_format")
}
