package driver

import "github.com/nephos-cloud/nephos"

// Limits bound the traffic of a disk. Zero is without bound; of a kind of
// traffic either the total or reads and writes apart are bounded. The Max values
// are what a burst may reach for a moment.
type Limits struct {
	TotalBytesSec, ReadBytesSec, WriteBytesSec          int64 `json:",omitempty"`
	TotalIOPS, ReadIOPS, WriteIOPS                      int64 `json:",omitempty"`
	TotalBytesSecMax, ReadBytesSecMax, WriteBytesSecMax int64 `json:",omitempty"`
	TotalIOPSMax, ReadIOPSMax, WriteIOPSMax             int64 `json:",omitempty"`
	// SizeIOPS is how many bytes count as one operation; zero counts each as one.
	SizeIOPS int64 `json:",omitempty"`
}

// Encryption says how a disk's bytes are encrypted where they are stored. The
// passphrase is not part of it: it travels among the secrets.
type Encryption struct {
	Format  string // luks (version 1) or luks2
	Cipher  string `json:",omitempty"` // such as aes-xts-plain64; empty: the format's default
	KeyBits int    `json:",omitempty"` // zero: the format's default
}

// Validate returns an error that wraps ErrInvalid and names the field when the
// limits contradict themselves.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name               string
		total, read, write int64
	}{
		{"BytesSec", l.TotalBytesSec, l.ReadBytesSec, l.WriteBytesSec},
		{"IOPS", l.TotalIOPS, l.ReadIOPS, l.WriteIOPS},
		{"BytesSecMax", l.TotalBytesSecMax, l.ReadBytesSecMax, l.WriteBytesSecMax},
		{"IOPSMax", l.TotalIOPSMax, l.ReadIOPSMax, l.WriteIOPSMax},
	} {
		switch {
		case f.total < 0 || f.read < 0 || f.write < 0:
			return nephos.Errorf(nephos.ErrInvalid, "limits: %s is negative", f.name).WithField(f.name)
		case f.total > 0 && (f.read > 0 || f.write > 0):
			return nephos.Errorf(nephos.ErrInvalid, "limits: %s has a total, and reads and writes apart; give one or the other", f.name).WithField(f.name)
		}
	}
	if l.SizeIOPS < 0 {
		return nephos.Errorf(nephos.ErrInvalid, "limits: SizeIOPS is negative").WithField("SizeIOPS")
	}
	return nil
}

// IsZero tells whether nothing is bounded.
func (l Limits) IsZero() bool { return l == Limits{} }
