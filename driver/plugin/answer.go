package plugin

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// pluginServer is what every plugin serves.
type pluginServer struct {
	driverv1.UnimplementedPluginServer
	kind   *kind
	driver any
}

func (s *pluginServer) Describe(ctx context.Context, _ *driverv1.DescribeRequest) (*driverv1.DescribeResponse, error) {
	abilities, err := s.kind.offered(ctx, s.driver)
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	r := &driverv1.DescribeResponse{Kind: s.kind.name, Abilities: abilities, Traits: traitsOf(s.driver)}
	if d, ok := s.driver.(Describer); ok {
		r.Name, r.Version = d.Describe()
	}
	return r, nil
}

// traitsOf are the constants of the driver's abilities.
func traitsOf(d any) *driverv1.Traits {
	t := &driverv1.Traits{}
	if h, ok := d.(hypervisor.HotPlugger); ok {
		disks, nics := h.HotPlug()
		if disks {
			t.HotPlug = append(t.HotPlug, "disks")
		}
		if nics {
			t.HotPlug = append(t.HotPlug, "nics")
		}
	}
	if e, ok := d.(volume.Encrypter); ok { // and hypervisor.DiskDecrypter
		t.EncryptionFormats = e.EncryptionFormats()
	}
	if m, ok := d.(volume.MultiAttacher); ok {
		t.MultiAttachHosts = int64(m.MultiAttach())
	}
	if q, ok := d.(network.QoSDriver); ok {
		t.QosRules = q.QoSRules()
	}
	if k, ok := d.(network.TrunkDriver); ok {
		t.Segmentation = k.Segmentation()
	}
	return t
}

// as calls an ability of the driver.
func as[T, R any](d any, what string, f func(T) (*R, error)) (*R, error) {
	t, ok := d.(T)
	if !ok {
		return nil, wire.ToStatus(unsupported(what, d))
	}
	r, err := f(t)
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	return r, nil
}

// done answers a call that has nothing to tell but its error.
func done[R any](r *R, err error) (*R, error) {
	if err != nil {
		return nil, wire.ToStatus(err)
	}
	return r, nil
}

// body is the content that comes by a socket; it connects when it is read from.
type body struct {
	ctx    context.Context
	socket string
	once   sync.Once
	stream *wire.Stream
	err    error
}

func (b *body) Read(p []byte) (int, error) {
	b.once.Do(func() {
		conn, err := wire.Dial(b.ctx, b.socket)
		if err != nil {
			b.err = err
			return
		}
		b.stream = wire.Reader(b.ctx, conn)
	})
	if b.err != nil {
		return 0, b.err
	}
	return b.stream.Read(p)
}

func (b *body) Close() {
	b.once.Do(func() { b.err = io.ErrClosedPipe })
	if b.stream != nil {
		b.stream.Close()
	}
}

// taking calls f with the content that comes by the socket.
func taking(ctx context.Context, socket string, f func(io.Reader) error) error {
	b := &body{ctx: ctx, socket: socket}
	defer b.Close()
	return f(b)
}

// giving sends what open opens by the socket. It returns once it is connected;
// what was opened lives on until it is sent or the host hangs up.
func giving(ctx context.Context, socket string, open func(context.Context) (io.ReadCloser, error)) error {
	// The call's context ends with the answer.
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	r, err := open(inner)
	if err != nil {
		stop()
		cancel()
		return err
	}
	conn, err := wire.Dial(ctx, socket)
	if err != nil {
		stop()
		cancel()
		r.Close()
		return err
	}
	stop()
	go func() {
		defer cancel()
		defer r.Close()
		defer conn.Close()
		go func() {
			_, _ = io.Copy(io.Discard, conn) // the host says nothing, but hangs up
			cancel()
		}()
		_, _, _ = wire.Send(conn, r)
	}()
	return nil
}

// joining connects a stream both ways with the socket.
func joining(ctx context.Context, socket string, open func(context.Context) (io.ReadWriteCloser, error)) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	stream, err := open(inner)
	if err != nil {
		stop()
		cancel()
		return err
	}
	conn, err := wire.Dial(ctx, socket)
	if err != nil {
		stop()
		cancel()
		stream.Close()
		return err
	}
	stop()
	go func() {
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, _ = io.Copy(stream, conn)
			stream.Close() // ends the other direction
		})
		_, _ = io.Copy(conn, stream)
		conn.Close()
		wg.Wait()
	}()
	return nil
}

// report sends events until there are no more.
func report[M, E any](events <-chan E, stream grpc.ServerStreamingServer[M], convert func(E) *M) error {
	// The header tells the host that nothing is missed from here on.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	for e := range events {
		if err := stream.Send(convert(e)); err != nil {
			return err
		}
	}
	if err := stream.Context().Err(); err != nil {
		return wire.ToStatus(err)
	}
	return nil
}
