package volume

import (
	"github.com/nephos-cloud/nephos"
)

// MaxSizeGiB bounds the size of one volume: 1 PiB.
const MaxSizeGiB = 1 << 20

// CheckID refuses, with ErrInvalid, an identifier that a driver could not use
// as a name: it has 1 to 100 ASCII letters, digits, dots, dashes and
// underscores, and starts with a letter or digit.
func CheckID(field, id string) error {
	if id == "" || len(id) > 100 {
		return nephos.Errorf(nephos.ErrInvalid, "%s must have 1 to 100 characters, not %d", field, len(id)).WithField(field)
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '-' || c == '_'):
		default:
			return nephos.Errorf(nephos.ErrInvalid, "%s %q has a character that is not allowed at byte %d", field, id, i).WithField(field)
		}
	}
	return nil
}

// Check refuses, with ErrInvalid, a spec that can never work.
func (s Spec) Check() error {
	if s.SizeGiB < 1 || s.SizeGiB > MaxSizeGiB {
		return nephos.Errorf(nephos.ErrInvalid, "volume size of %d GiB is not between 1 and %d", s.SizeGiB, MaxSizeGiB).WithField("size")
	}
	if s.Limits != nil {
		if err := s.Limits.Validate(); err != nil {
			return err
		}
	}
	if s.Encryption != nil && (s.Encryption.Format == "" || s.Secrets["passphrase"] == "") {
		return nephos.Errorf(nephos.ErrInvalid, "volume encryption needs a format and a passphrase").WithField("encryption")
	}
	return nil
}

// Check refuses, with ErrInvalid, an image that can never become a volume of
// sizeGiB.
func (i Image) Check(sizeGiB int) error {
	switch {
	case i.Body == nil:
		return nephos.Errorf(nephos.ErrInvalid, "image has no body")
	case i.Format != FormatRaw && i.Format != FormatQCOW2:
		return nephos.Errorf(nephos.ErrInvalid, "image format %q is neither raw nor qcow2", i.Format).WithField("disk_format")
	case i.VirtualSize > int64(sizeGiB)<<30:
		return nephos.Errorf(nephos.ErrInvalid, "image of %d bytes does not fit a volume of %d GiB", i.VirtualSize, sizeGiB).WithField("size")
	case i.Format == FormatRaw && i.Size > int64(sizeGiB)<<30:
		return nephos.Errorf(nephos.ErrInvalid, "image of %d bytes does not fit a volume of %d GiB", i.Size, sizeGiB).WithField("size")
	}
	return nil
}

// Check refuses, with ErrInvalid, an image that can never become a volume of
// sizeGiB.
func (i ImageLocation) Check(sizeGiB int) error {
	switch {
	case i.Location == "":
		return nephos.Errorf(nephos.ErrInvalid, "image has no location")
	case i.Format != FormatRaw && i.Format != FormatQCOW2:
		return nephos.Errorf(nephos.ErrInvalid, "image format %q is neither raw nor qcow2", i.Format).WithField("disk_format")
	case i.VirtualSize > int64(sizeGiB)<<30:
		return nephos.Errorf(nephos.ErrInvalid, "image of %d bytes does not fit a volume of %d GiB", i.VirtualSize, sizeGiB).WithField("size")
	}
	return nil
}

// The formats of a volume's content.
const (
	FormatRaw   = "raw"
	FormatQCOW2 = "qcow2"
)
