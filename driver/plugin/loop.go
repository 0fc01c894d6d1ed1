package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/roots"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
)

// LoopOptions say how [Loop] treats a driver. The zero value works.
type LoopOptions struct {
	// Roots are the directories below which paths that it names must lie; nil
	// allows any.
	Roots []string
	// Log gets what is dropped; nil discards.
	Log *slog.Logger
}

// Loop serves the driver in this process and returns it as it is behind a real
// gRPC connection and real sockets, without a process, a certificate or a
// supervisor: for tests that a driver passes its suite over the wire as well.
// Closing what it returns closes the driver. D is as for [Launch].
func Loop[D any](ctx context.Context, d D, opts LoopOptions) (_ D, err error) {
	var none D
	k, err := kindOf(&d)
	if err != nil {
		return none, err
	}
	may, err := roots.Check(opts.Roots)
	if err != nil {
		return none, err
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	register := registrar(d, k)
	dir, err := os.MkdirTemp("", "nephos-")
	if err != nil {
		return none, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return none, err
	}
	server := grpc.NewServer(append([]grpc.ServerOption{grpc.MaxRecvMsgSize(maxMessage)}, wire.ServeTraced()...)...)
	register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient("unix:"+l.Addr().String(), append(wire.DialTraced(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))...)
	if err != nil {
		server.Stop()
		return none, err
	}
	p := &Plugin{kind: k, path: fmt.Sprintf("%T", d), roots: may, anywhere: opts.Roots == nil, log: opts.Log, closed: make(chan struct{}), done: make(chan struct{})}
	p.end = func() error {
		err := conn.Close()
		server.Stop()
		if c, ok := any(d).(io.Closer); ok {
			err = errors.Join(err, c.Close())
		}
		return errors.Join(err, <-served, os.RemoveAll(dir))
	}
	i := &instance{conn: conn, sockets: dir, uid: -1}
	if err := p.describe(ctx, i); err != nil {
		return none, errors.Join(err, conn.Close())
	}
	p.set(i, nil)
	return k.remote(p).(D), nil
}

// closeLoop ends what Loop began, once.
func (p *Plugin) closeLoop() (err error) {
	p.closing.Do(func() {
		close(p.closed)
		p.set(nil, nephos.Errorf(nephos.ErrUnavailable, "the plugin %s was closed", p.path))
		err = p.end()
	})
	return err
}
