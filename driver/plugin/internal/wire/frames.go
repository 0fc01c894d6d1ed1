package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/protobuf/proto"

	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
)

// The bounds of a stream's frames.
const (
	maxFrame = 1 << 20
	maxFault = 64 << 10
	maxZeros = 1 << 30
	failed   = 0xffffffff
	zeros    = 0xfffffffe
)

// ErrBrokenOff is what a reader gets from a stream whose sender went away
// without an end.
var ErrBrokenOff = fmt.Errorf("the stream broke off: %w", io.ErrUnexpectedEOF)

// Send copies the content into frames and ends the stream well, or with the
// content's error. It returns how many bytes it sent; content tells whether an
// error is the content's own and not the connection's.
func Send(conn net.Conn, r io.Reader) (n int64, content bool, err error) {
	buf := make([]byte, 4+64<<10)
	nothing := make([]byte, 64<<10)
	empty := 0 // zeros that were read and not sent
	for {
		m, err := r.Read(buf[4:])
		if m > 0 && bytes.Equal(buf[4:4+m], nothing[:m]) {
			empty += m
		} else if m > 0 {
			if err := sendZeros(conn, &empty); err != nil {
				return n, false, err
			}
			binary.BigEndian.PutUint32(buf, uint32(m))
			if _, err := conn.Write(buf[:4+m]); err != nil {
				return n, false, err
			}
		}
		n += int64(m)
		if empty >= flushZeros || err != nil {
			if err := sendZeros(conn, &empty); err != nil {
				return n, false, err
			}
		}
		if err == io.EOF {
			_, err := conn.Write(make([]byte, 4))
			return n, false, err
		}
		if err != nil {
			fault, merr := proto.Marshal(Fault(err))
			if merr == nil {
				head := binary.BigEndian.AppendUint32(nil, failed)
				head = binary.BigEndian.AppendUint32(head, uint32(len(fault)))
				_, _ = conn.Write(append(head, fault...))
			}
			return n, true, err
		}
	}
}

// flushZeros is how many zeros are kept back at most.
const flushZeros = 16 << 20

// sendZeros sends what volumes are mostly made of.
func sendZeros(conn net.Conn, n *int) error {
	if *n == 0 {
		return nil
	}
	head := binary.BigEndian.AppendUint32(nil, zeros)
	head = binary.BigEndian.AppendUint32(head, uint32(*n))
	*n = 0
	_, err := conn.Write(head)
	return err
}

// Receive reads a stream's content. Its reader gives io.EOF only at a good end.
func Receive(r io.Reader) io.Reader { return &receiver{r: r} }

type receiver struct {
	r    io.Reader
	left uint32 // of the frame
	zero bool   // which is one of zeros
	err  error
}

// Read implements io.Reader.
func (r *receiver) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.err == nil && r.left == 0 {
		r.err = r.head()
	}
	if r.err != nil {
		return 0, r.err
	}
	if r.zero {
		n := min(len(p), int(r.left))
		clear(p[:n])
		r.left -= uint32(n)
		return n, nil
	}
	n, err := r.r.Read(p[:min(len(p), int(r.left))])
	r.left -= uint32(n)
	if err != nil && (err != io.EOF || r.left > 0 || n == 0) {
		r.err = broken(err)
		if n == 0 {
			return 0, r.err
		}
	}
	return n, nil
}

// head reads the head of the next frame; io.EOF is the good end.
func (r *receiver) head() error {
	var head [4]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return broken(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	switch {
	case n == 0:
		return io.EOF
	case n <= maxFrame:
		r.left, r.zero = n, false
		return nil
	case n != failed && n != zeros:
		return fmt.Errorf("reading a stream: a frame of %d bytes, at most %d are allowed", n, maxFrame)
	}
	kind := n
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return broken(err)
	}
	n = binary.BigEndian.Uint32(head[:])
	if kind == zeros {
		if n > maxZeros {
			return fmt.Errorf("reading a stream: %d zeros, at most %d are allowed in a frame", n, maxZeros)
		}
		r.left, r.zero = n, true
		return nil
	}
	if n > maxFault {
		return fmt.Errorf("reading a stream: an error of %d bytes, at most %d are allowed", n, maxFault)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r.r, text); err != nil {
		return broken(err)
	}
	var f driverv1.Fault
	if err := proto.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("reading a stream: the error that ends it: %w", err)
	}
	return Err(&f)
}

func broken(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrBrokenOff
	}
	return fmt.Errorf("%w: %w", ErrBrokenOff, err)
}
