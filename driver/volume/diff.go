package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/nephos-cloud/nephos"
)

// diffMagic begins a difference. Records follow: a kind, the offset and the
// length in bytes (big-endian, 64 bits), and of data its bytes. The end record's
// offset is the volume's size.
const diffMagic = "NEPHOS-DIFF-1\n"

const (
	diffData = 'D'
	diffZero = 'Z'
	diffEnd  = 'E'
)

// MaxDiffExtent bounds the length of one extent of data in a difference: 16 MiB.
const MaxDiffExtent = 16 << 20

// Extent is a part of a volume that a difference changes.
type Extent struct {
	Offset, Length int64 // bytes
	Zero           bool  // it reads as zeros; no data follows
}

// DiffWriter writes a difference: extents in ascending order that do not
// overlap, then the end.
type DiffWriter struct {
	w    io.Writer
	next int64
	err  error
}

// NewDiffWriter writes a difference's beginning and returns its writer.
func NewDiffWriter(w io.Writer) (*DiffWriter, error) {
	if _, err := io.WriteString(w, diffMagic); err != nil {
		return nil, fmt.Errorf("beginning a difference: %w", err)
	}
	return &DiffWriter{w: w}, nil
}

func (d *DiffWriter) record(kind byte, offset, length int64) error {
	if d.err != nil {
		return d.err
	}
	if offset < d.next || length < 0 {
		return nephos.Errorf(nephos.ErrInvalid, "writing a difference: %d bytes at %d after %d", length, offset, d.next)
	}
	var head [17]byte
	head[0] = kind
	binary.BigEndian.PutUint64(head[1:], uint64(offset))
	binary.BigEndian.PutUint64(head[9:], uint64(length))
	if _, err := d.w.Write(head[:]); err != nil {
		d.err = fmt.Errorf("writing a difference: %w", err)
		return d.err
	}
	d.next = offset + length
	return nil
}

// Data writes an extent of bytes, at most MaxDiffExtent in a record: a longer one
// becomes several.
func (d *DiffWriter) Data(offset int64, p []byte) error {
	for len(p) > 0 {
		n := min(len(p), MaxDiffExtent)
		if err := d.record(diffData, offset, int64(n)); err != nil {
			return err
		}
		if _, err := d.w.Write(p[:n]); err != nil {
			d.err = fmt.Errorf("writing a difference: %w", err)
			return d.err
		}
		p, offset = p[n:], offset+int64(n)
	}
	return d.err
}

// Zero writes an extent of zeros.
func (d *DiffWriter) Zero(offset, length int64) error {
	if length == 0 {
		return d.err
	}
	return d.record(diffZero, offset, length)
}

// Close writes the end: without it a reader knows that something is missing.
// size is the volume's, in bytes.
func (d *DiffWriter) Close(size int64) error {
	if err := d.record(diffEnd, size, 0); err != nil {
		return err
	}
	d.err = errors.New("writing a difference: it is closed")
	return nil
}

// DiffReader reads a difference. What it reads is checked: extents ascend, do
// not overlap, and lie within the size that the end tells.
type DiffReader struct {
	r    io.Reader
	left int64 // data of the extent at hand
	next int64
	size int64
	done bool
}

// NewDiffReader reads a difference's beginning and returns its reader.
func NewDiffReader(r io.Reader) (*DiffReader, error) {
	magic := make([]byte, len(diffMagic))
	if _, err := io.ReadFull(r, magic); err != nil {
		return nil, fmt.Errorf("reading a difference: %w", whole(err))
	}
	if string(magic) != diffMagic {
		return nil, nephos.Errorf(nephos.ErrInvalid, "reading a difference: it does not begin as one")
	}
	return &DiffReader{r: r}, nil
}

// whole is the error of something that ended too early.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Next returns the next extent, whose data Read then returns, or io.EOF after
// the end. Data of the extent before that was not read is skipped.
func (d *DiffReader) Next() (Extent, error) {
	if d.done {
		return Extent{}, io.EOF
	}
	if d.left > 0 {
		if _, err := io.Copy(io.Discard, d); err != nil {
			return Extent{}, err
		}
	}
	var head [17]byte
	if _, err := io.ReadFull(d.r, head[:]); err != nil {
		return Extent{}, fmt.Errorf("reading a difference: %w", whole(err))
	}
	offset, length := int64(binary.BigEndian.Uint64(head[1:])), int64(binary.BigEndian.Uint64(head[9:]))
	if offset < d.next || length < 0 || offset+length < offset || offset+length > MaxSizeGiB<<30 {
		return Extent{}, nephos.Errorf(nephos.ErrInvalid, "reading a difference: %d bytes at %d after %d", length, offset, d.next)
	}
	switch kind := head[0]; {
	case kind == diffEnd && length == 0:
		d.size, d.done = offset, true
		return Extent{}, io.EOF
	case kind == diffData && length > 0 && length <= MaxDiffExtent:
		d.left = length
	case kind == diffZero && length > 0:
	default:
		return Extent{}, nephos.Errorf(nephos.ErrInvalid, "reading a difference: a record of kind %q with %d bytes", kind, length)
	}
	d.next = offset + length
	return Extent{Offset: offset, Length: length, Zero: head[0] == diffZero}, nil
}

// Read reads the data of the extent that Next returned; io.EOF is its end.
func (d *DiffReader) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	n, err := d.r.Read(p[:min(int64(len(p)), d.left)])
	d.left -= int64(n)
	if err != nil && d.left > 0 {
		return n, fmt.Errorf("reading a difference: %w", whole(err))
	}
	return n, nil
}

// Size returns the volume's size in bytes, once Next has returned io.EOF.
func (d *DiffReader) Size() int64 { return d.size }
