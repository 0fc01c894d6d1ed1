package http

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/nephos-cloud/nephos"
)

// body reads what was asked for, and notices when it is less or too much.
type body struct {
	ctx  context.Context
	rc   io.ReadCloser
	id   string
	left int64 // bytes to come; -1 if the server did not tell
	room int64 // bytes that the limit leaves
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	if err := b.ctx.Err(); err != nil { // what has arrived already is not read either
		return 0, err
	}
	most := int64(len(p))
	if b.left > 0 {
		most = min(most, b.left)
	} else {
		most = min(most, b.room+1)
	}
	n, err := b.rc.Read(p[:most])
	b.room -= int64(n)
	if b.left > 0 {
		b.left -= int64(n)
	}
	switch {
	case b.room < 0:
		return 0, nephos.Errorf(nephos.ErrTooLarge, "reading object %s: it exceeds the limit", b.id)
	case err == nil, b.left == 0:
		return n, nil
	case b.ctx.Err() != nil:
		return n, b.ctx.Err()
	case errors.Is(err, io.EOF) && b.left < 0:
		return n, io.EOF
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, fmt.Errorf("reading object %s: %w", b.id, meaning(err))
}

// Close implements io.Closer.
func (b *body) Close() error { return b.rc.Close() }
