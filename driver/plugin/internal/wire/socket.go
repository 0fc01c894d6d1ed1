package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nephos-cloud/nephos"
)

// Socket is a unix socket that the host listens on for one connection, by which
// a stream of one call travels.
type Socket struct {
	l    *net.UnixListener
	path string
	uid  int
}

// maxPath is what a unix socket's address can hold.
const maxPath = 107

// Listen makes a socket of a random name in the host's directory. Only the user
// uid gets in, unless it is negative.
func Listen(dir string, uid int) (*Socket, error) {
	path := filepath.Join(dir, rand.Text()[:16])
	if len(path) > maxPath {
		return nil, nephos.Errorf(nephos.ErrInvalid, "making a socket for a stream: the path %s is longer than %d bytes: choose a shorter directory for sockets", path, maxPath)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("making a socket for a stream: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil { // the directory is the host's own
		l.Close()
		return nil, fmt.Errorf("making a socket for a stream: %w", err)
	}
	return &Socket{l: l, path: path, uid: uid}, nil
}

// Path is what the plugin is told.
func (s *Socket) Path() string { return s.path }

// Accept waits for the plugin to connect, and closes the socket.
func (s *Socket) Accept(ctx context.Context) (net.Conn, error) {
	defer s.Close()
	stop := context.AfterFunc(ctx, s.Close)
	defer stop()
	for {
		conn, err := s.l.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, fmt.Errorf("waiting for the plugin to connect to a stream: %w", err)
		}
		if err := checkPeer(conn, s.uid); err == nil {
			return conn, nil
		}
		conn.Close()
	}
}

// Close gives the socket up; what was accepted stays.
func (s *Socket) Close() { _ = s.l.Close() }

// Accepted takes the connection that a plugin which has answered its call must
// have made already.
func (s *Socket) Accepted(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, acceptFor, errNotConnected)
	defer cancel()
	conn, err := s.Accept(ctx)
	if err != nil && context.Cause(ctx) == errNotConnected { //nolint:errorlint // our own value
		return nil, errNotConnected
	}
	return conn, err
}

// acceptFor is how long an answered plugin may take to have connected.
const acceptFor = 5 * time.Second

var errNotConnected = nephos.Errorf(nephos.ErrUnavailable, "the plugin answered, but did not connect to the stream's socket")

// Stream is the host's end of a stream that is read, or of a console.
type Stream struct {
	net.Conn
	r    io.Reader
	stop func() bool
	ctx  context.Context
}

// Reader returns a stream's content. It ends when ctx does.
func Reader(ctx context.Context, conn net.Conn) *Stream {
	return &Stream{Conn: conn, r: Receive(conn), ctx: ctx, stop: context.AfterFunc(ctx, func() { conn.Close() })}
}

// Console returns a stream of plain bytes both ways. It ends when ctx does.
func Console(ctx context.Context, conn net.Conn) *Stream {
	return &Stream{Conn: conn, r: conn, ctx: ctx, stop: context.AfterFunc(ctx, func() { conn.Close() })}
}

// Read implements io.Reader.
func (s *Stream) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil { // though all of it may have come already
		return 0, err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF && s.ctx.Err() != nil {
		err = s.ctx.Err()
	}
	return n, err
}

// Close ends the stream.
func (s *Stream) Close() error {
	s.stop()
	if err := s.Conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Dial is the plugin's end.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connecting to the stream of a call: %w", err)
	}
	return conn, nil
}
