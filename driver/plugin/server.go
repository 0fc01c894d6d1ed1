package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/hypervisor/v1"
)

// hypervisorServer is the plugin's side: it calls the driver.
type hypervisorServer struct {
	pb.UnimplementedHypervisorServer
	driver hypervisor.Driver
	dir    string // for the sockets of consoles
}

func (s *hypervisorServer) Abilities(ctx context.Context, _ *pb.AbilitiesRequest) (*pb.AbilitiesResponse, error) {
	names, err := hypervisor.AbilitiesOf(ctx, s.driver)
	if err != nil {
		return nil, toStatus(err)
	}
	out := &pb.AbilitiesResponse{Abilities: names}
	if hp, ok := s.driver.(hypervisor.HotPlugger); ok {
		out.HotPlugDisks, out.HotPlugNics = hp.HotPlug()
	}
	return out, nil
}

func (s *hypervisorServer) Info(ctx context.Context, _ *pb.InfoRequest) (*pb.InfoResponse, error) {
	h, err := s.driver.Info(ctx)
	return toInfo(h), toStatus(err)
}

func (s *hypervisorServer) Ensure(ctx context.Context, r *pb.EnsureRequest) (*pb.EnsureResponse, error) {
	return &pb.EnsureResponse{}, toStatus(s.driver.Ensure(ctx, r.GetId(), fromSpec(r.GetSpec())))
}

func (s *hypervisorServer) Start(ctx context.Context, r *pb.StartRequest) (*pb.StartResponse, error) {
	return &pb.StartResponse{}, toStatus(s.driver.Start(ctx, r.GetId()))
}

func (s *hypervisorServer) Stop(ctx context.Context, r *pb.StopRequest) (*pb.StopResponse, error) {
	return &pb.StopResponse{}, toStatus(s.driver.Stop(ctx, r.GetId(), hypervisor.StopOptions{Grace: time.Duration(r.GetGrace())}))
}

func (s *hypervisorServer) Destroy(ctx context.Context, r *pb.DestroyRequest) (*pb.DestroyResponse, error) {
	return &pb.DestroyResponse{}, toStatus(s.driver.Destroy(ctx, r.GetId()))
}

func (s *hypervisorServer) Get(ctx context.Context, r *pb.GetRequest) (*pb.GetResponse, error) {
	g, err := s.driver.Get(ctx, r.GetId())
	return &pb.GetResponse{Guest: toGuest(g)}, toStatus(err)
}

func (s *hypervisorServer) List(ctx context.Context, _ *pb.ListRequest) (*pb.ListResponse, error) {
	guests, err := s.driver.List(ctx)
	out := &pb.ListResponse{}
	for _, g := range guests {
		out.Guests = append(out.Guests, toGuest(g))
	}
	return out, toStatus(err)
}

// as calls an optional ability of the driver.
func as[T any](d hypervisor.Driver, f func(T) error) error {
	t, ok := d.(T)
	if !ok {
		return toStatus(errors.ErrUnsupported)
	}
	return toStatus(f(t))
}

func (s *hypervisorServer) Reboot(ctx context.Context, r *pb.RebootRequest) (*pb.RebootResponse, error) {
	return &pb.RebootResponse{}, as(s.driver, func(d hypervisor.Rebooter) error { return d.Reboot(ctx, r.GetId(), r.GetHard()) })
}

func (s *hypervisorServer) Pause(ctx context.Context, r *pb.PauseRequest) (*pb.PauseResponse, error) {
	return &pb.PauseResponse{}, as(s.driver, func(d hypervisor.Pauser) error { return d.Pause(ctx, r.GetId()) })
}

func (s *hypervisorServer) Unpause(ctx context.Context, r *pb.UnpauseRequest) (*pb.UnpauseResponse, error) {
	return &pb.UnpauseResponse{}, as(s.driver, func(d hypervisor.Pauser) error { return d.Unpause(ctx, r.GetId()) })
}

func (s *hypervisorServer) Suspend(ctx context.Context, r *pb.SuspendRequest) (*pb.SuspendResponse, error) {
	return &pb.SuspendResponse{}, as(s.driver, func(d hypervisor.Suspender) error { return d.Suspend(ctx, r.GetId()) })
}

func (s *hypervisorServer) Resume(ctx context.Context, r *pb.ResumeRequest) (*pb.ResumeResponse, error) {
	return &pb.ResumeResponse{}, as(s.driver, func(d hypervisor.Suspender) error { return d.Resume(ctx, r.GetId()) })
}

func (s *hypervisorServer) Snapshot(ctx context.Context, r *pb.SnapshotRequest) (*pb.SnapshotResponse, error) {
	return &pb.SnapshotResponse{}, as(s.driver, func(d hypervisor.Snapshotter) error {
		return d.Snapshot(ctx, r.GetId(), r.GetDisk(), r.GetPath())
	})
}

func (s *hypervisorServer) ConsoleLog(ctx context.Context, r *pb.ConsoleLogRequest) (*pb.ConsoleLogResponse, error) {
	out := &pb.ConsoleLogResponse{}
	return out, as(s.driver, func(d hypervisor.ConsoleLogger) (err error) {
		out.Log, err = d.ConsoleLog(ctx, r.GetId(), r.GetMax())
		return err
	})
}

func (s *hypervisorServer) Diagnostics(ctx context.Context, r *pb.DiagnosticsRequest) (*pb.DiagnosticsResponse, error) {
	out := &pb.DiagnosticsResponse{}
	return out, as(s.driver, func(d hypervisor.Diagnoser) error {
		values, err := d.Diagnostics(ctx, r.GetId())
		if err != nil {
			return err
		}
		out.Json, err = json.Marshal(values)
		return err
	})
}

func (s *hypervisorServer) Events(_ *pb.EventsRequest, stream grpc.ServerStreamingServer[pb.EventsResponse]) error {
	return as(s.driver, func(d hypervisor.Eventer) error {
		events, err := d.Events(stream.Context())
		if err != nil {
			return err
		}
		// The header tells the other side that nothing is missed from here on.
		if err := stream.SendHeader(nil); err != nil {
			return err
		}
		for e := range events {
			err := stream.Send(&pb.EventsResponse{Id: e.ID, State: string(e.State), At: toTime(e.At), Guest: e.Guest})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// Console offers the driver's stream on a socket for one connection.
func (s *hypervisorServer) Console(ctx context.Context, r *pb.ConsoleRequest) (*pb.ConsoleResponse, error) {
	out := &pb.ConsoleResponse{}
	return out, as(s.driver, func(d hypervisor.Consoler) error {
		// The call's context ends with the answer; the stream lives on.
		stream, err := d.Console(context.WithoutCancel(ctx), r.GetId(), hypervisor.ConsoleKind(r.GetKind()))
		if err != nil {
			return err
		}
		dir, err := os.MkdirTemp(s.dir, "console")
		if err != nil {
			stream.Close()
			return err
		}
		out.Socket = filepath.Join(dir, "s")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: out.Socket, Net: "unix"})
		if err != nil {
			stream.Close()
			return errors.Join(err, os.RemoveAll(dir))
		}
		go offer(l, stream, dir)
		return nil
	})
}

// offerFor is how long an offered console waits to be taken.
const offerFor = 10 * time.Second

func offer(l *net.UnixListener, stream io.ReadWriteCloser, dir string) {
	defer os.RemoveAll(dir)
	defer stream.Close()
	defer l.Close()
	if err := l.SetDeadline(time.Now().Add(offerFor)); err != nil {
		return
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		return
	}
	defer conn.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(stream, conn)
		stream.Close() // ends the other direction
	})
	_, _ = io.Copy(conn, stream)
	conn.Close()
	wg.Wait()
}
