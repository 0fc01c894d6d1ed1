package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
)

// maxLine bounds the first line; its longest part is a certificate.
const maxLine = 16 << 10

// FirstLine reads the first line of the program's standard output, without its
// end. It is called once. The error says in one line what is the matter and
// what to do.
func (p *Process) FirstLine(ctx context.Context) (string, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.stdout.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := p.output.ReadSlice('\n')
	switch {
	case err == nil:
		said := strings.TrimSpace(string(line))
		p.pump.Go(func() { drain(p.output, p.rest) })
		return said, nil
	case errors.Is(err, bufio.ErrBufferFull):
		return "", nephos.Errorf(nephos.ErrInvalid, "it wrote more than %d bytes without an end of line where its handshake should be: is it a plugin?", maxLine)
	case ctx.Err() != nil:
		return "", silent(ctx, line)
	case err == io.EOF, os.IsTimeout(err): // its end sets a deadline, too
		select {
		case <-p.exited:
			return "", nephos.Errorf(nephos.ErrInvalid, "%v before its handshake: is it a plugin that this version of Nephos knows?", p.err)
		case <-ctx.Done():
			return "", nephos.Errorf(nephos.ErrInvalid, "it closed its standard output without a handshake: is it a plugin?")
		}
	default:
		return "", fmt.Errorf("reading its handshake: %w", err)
	}
}

func silent(ctx context.Context, line []byte) error {
	said := "nothing"
	if len(line) > 0 {
		said = fmt.Sprintf("only %.80q", line)
	}
	return nephos.Errorf(nephos.ErrUnavailable,
		"it said %s on its standard output before the time was up: is it a plugin? Look at its log, or allow it more time: %w", said, context.Cause(ctx))
}
