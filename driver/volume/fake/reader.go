package fake

import (
	"context"
	"io"
)

// reader reads a volume: its content, and zeros up to its size. It writes itself
// in large pieces, since tests read many GiB of zeros.
type reader struct {
	ctx     context.Context
	content []byte
	size    int64 // of what is left, content included
}

var zeroPiece [1 << 20]byte

// piece returns up to n of the next bytes.
func (r *reader) piece(n int) ([]byte, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	if r.size == 0 {
		return nil, io.EOF
	}
	p := r.content
	if len(p) == 0 {
		p = zeroPiece[:]
	}
	p = p[:min(len(p), n, int(min(r.size, 1<<30)))]
	return p, nil
}

func (r *reader) skip(n int) {
	r.content = r.content[min(n, len(r.content)):]
	r.size -= int64(n)
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	next, err := r.piece(len(p))
	n := copy(p, next)
	r.skip(n)
	return n, err
}

// WriteTo implements io.WriterTo.
func (r *reader) WriteTo(w io.Writer) (total int64, err error) {
	for {
		next, err := r.piece(1 << 30)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(next)
		r.skip(n)
		if total += int64(n); err != nil {
			return total, err
		}
	}
}

// Close implements io.Closer.
func (r *reader) Close() error { return nil }
