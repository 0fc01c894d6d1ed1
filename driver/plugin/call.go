package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
)

// handle lets Of find the plugin in a driver that embeds it.
func (p *Plugin) handle() *Plugin { return p }

// Abilities implements the kinds' Abilitier.
func (p *Plugin) Abilities(context.Context) ([]string, error) {
	d, err := p.Describe()
	return d.Abilities, err
}

// traits are the constants of the plugin's abilities.
func (p *Plugin) traits() *driverv1.Traits {
	i, err := p.instance()
	if err != nil {
		return nil
	}
	return i.extra.GetTraits()
}

// failed gives an error of a call its meaning.
func (p *Plugin) failed(ctx context.Context, i *instance, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && brokenOff(err) {
		why := "it broke off the connection: " + status.Convert(err).Message()
		if end := i.ended(ctx); end != nil {
			why = end.Error() + " before it had answered; it is started again"
		}
		return nephos.Errorf(nephos.ErrUnavailable, "calling the plugin %s: %s", p.path, why)
	}
	err = wire.FromStatus(err)
	if ctx.Err() != nil && errors.Is(err, nephos.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ctx.Err(), err) // the call was cut short here
	}
	return err
}

// call makes one call of a plugin's service.
func call[C, Q, R any](ctx context.Context, p *Plugin, client func(grpc.ClientConnInterface) C, f func(C, context.Context, Q, ...grpc.CallOption) (R, error), q Q) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	i, err := p.instance()
	if err != nil {
		return none, err
	}
	r, err := f(client(i.conn), ctx, q)
	if err != nil {
		return none, p.failed(ctx, i, err)
	}
	return r, nil
}

// receive makes a call whose content comes by a socket.
func (p *Plugin) receive(ctx context.Context, f func(socket string) error) (io.ReadCloser, error) {
	conn, err := p.connected(ctx, f)
	if err != nil {
		return nil, err
	}
	return wire.Reader(ctx, conn), nil
}

// connected makes a call that connects to a socket before it answers.
func (p *Plugin) connected(ctx context.Context, f func(socket string) error) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i, err := p.instance()
	if err != nil {
		return nil, err
	}
	s, err := wire.Listen(i.sockets, i.uid)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := f(s.Path()); err != nil {
		return nil, err
	}
	return s.Accepted(ctx)
}

// send makes a call that takes content by a socket, and returns how much of it
// was sent; whole says that the plugin took it all. An error of the content
// comes before one of the call.
func (p *Plugin) send(ctx context.Context, body io.Reader, f func(socket string) error) (sent int64, whole bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, false, err
	}
	i, err := p.instance()
	if err != nil {
		return 0, false, err
	}
	s, err := wire.Listen(i.sockets, i.uid)
	if err != nil {
		return 0, false, err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var content bool
	var sendErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		var conn net.Conn
		if conn, sendErr = s.Accept(inner); sendErr != nil {
			return
		}
		defer conn.Close()
		stop := context.AfterFunc(inner, func() { conn.Close() })
		defer stop()
		sent, content, sendErr = wire.Send(conn, body)
	}()
	err = f(s.Path())
	cancel() // whatever it has not taken it does not want
	<-done   // the content is the caller's again
	if content {
		return sent, false, fmt.Errorf("reading the content: %w", sendErr)
	}
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err) // the content broke off because of that
	}
	return sent, sendErr == nil && err == nil, err
}

// allow refuses a path that the plugin has no business with.
func (p *Plugin) allow(what, path string) error {
	if p.anywhere {
		return nil
	}
	return p.roots.Allow(what, path)
}

// connection checks where a connection leads.
func (p *Plugin) connection(what string, c driver.Connection) (driver.Connection, error) {
	if c.Path != "" {
		if err := p.allow(what, c.Path); err != nil {
			return driver.Connection{}, err
		}
	}
	if err := p.places(what, c.Options); err != nil {
		return driver.Connection{}, err
	}
	return c, nil
}

// places checks the paths among named values; a root itself is one that the
// plugin may name.
func (p *Plugin) places(what string, values map[string]string) error {
	for key, value := range values {
		if strings.HasPrefix(value, "/") && !slices.Contains(p.roots, value) {
			if err := p.allow(what+": "+key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// same refuses an answer about something else.
func same(what, got, want string) error {
	if got != want {
		return fmt.Errorf("asking the plugin for %s %s: it answered with %.80q", what, want, got)
	}
	return nil
}

// unique refuses a list with an ID twice, or with what is no ID.
func unique[T any](what string, list []T, id func(T) string, check func(string) error) error {
	seen := make(map[string]bool, len(list))
	for _, item := range list {
		key := id(item)
		if err := check(key); err != nil {
			// Its meaning is the plugin's fault, not the caller's.
			return fmt.Errorf("listing %s: the plugin answered with a bad ID: %v", what, err) //nolint:errorlint // see above
		}
		if seen[key] {
			return fmt.Errorf("listing %s: the plugin answered with %s twice", what, key)
		}
		seen[key] = true
	}
	return nil
}

func itself(s string) string { return s }

// recover waits until a plugin that ended runs again.
func (p *Plugin) recover(ctx context.Context, ended *instance) {
	if ended.proc == nil {
		return
	}
	select {
	case <-ended.proc.Exited():
		_ = p.await(ctx, ended)
	case <-time.After(endWithin): // it ended the stream, and lives
	case <-ctx.Done():
	case <-p.closed:
	}
}

// ended returns how the process ended whose connection broke, or nil if it lives.
func (i *instance) ended(ctx context.Context) error {
	if i.proc == nil {
		return nil
	}
	select {
	case <-i.proc.Exited():
		return i.proc.Err()
	case <-time.After(reapWithin): // a connection ends a moment before its process
	case <-ctx.Done():
	}
	return nil
}

// reapWithin is how long the end of a process may come after its connection's, for
// errors to tell of it.
const reapWithin = 100 * time.Millisecond

// endWithin is how long a process may be seen to live after its connection.
const endWithin = time.Second

// brokenOff tells whether gRPC itself ended a stream, because the plugin is gone,
// and not the plugin.
func brokenOff(err error) bool {
	s, ok := status.FromError(err)
	return ok && len(s.Details()) == 0 && (s.Code() == codes.Unavailable || s.Code() == codes.Canceled)
}

// follow turns a stream of events into a channel. The channel closes when ctx or
// the plugin ends; in the second case once the plugin runs again, so that a
// reader can subscribe and list at once. Events that check refuses are dropped.
func follow[M, E any](ctx context.Context, p *Plugin, open func(ctx context.Context, conn grpc.ClientConnInterface) (grpc.ServerStreamingClient[M], error), convert func(*M) E, check func(E) error) (<-chan E, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	i, err := p.instance()
	if err != nil {
		return nil, err
	}
	stream, err := open(ctx, i.conn)
	if err != nil {
		return nil, p.failed(ctx, i, err)
	}
	md, err := stream.Header()
	if err == nil && md == nil { // it ended without a header
		_, err = stream.Recv()
	}
	if err != nil {
		return nil, p.failed(ctx, i, err)
	}
	events := make(chan E)
	go func() {
		defer close(events)
		for {
			m, err := stream.Recv()
			if err != nil {
				if ctx.Err() == nil && brokenOff(err) {
					p.recover(ctx, i)
				}
				return
			}
			e := convert(m)
			if err := check(e); err != nil {
				p.log.Warn("dropping an event", "error", err)
				continue
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			case <-p.closed:
				return
			}
		}
	}()
	return events, nil
}
