package plugin

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	blobv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/blob/v1"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
	"github.com/nephos-cloud/nephos/driver/volume"
)

// liar answers whatever a test wants it to.
type liar struct {
	conn    driver.Connection
	volumes []volume.Volume
	seen    context.Context

	location volume.Location
}

type volumeLiar struct {
	volume.Driver
	l *liar
}

func (v *volumeLiar) Get(ctx context.Context, _ string) (volume.Volume, error) {
	v.l.seen = ctx
	return v.l.volumes[0], nil
}
func (v *volumeLiar) List(context.Context) ([]volume.Volume, error) { return v.l.volumes, nil }
func (v *volumeLiar) Connect(context.Context, string, volume.Connector) (driver.Connection, error) {
	return v.l.conn, nil
}

func (v *volumeLiar) Attach(context.Context, string, driver.Connection) (driver.Connection, error) {
	return v.l.conn, nil
}
func (v *volumeLiar) Detach(context.Context, string) error       { return nil }
func (v *volumeLiar) Attached(context.Context) ([]string, error) { return []string{"a", "../b"}, nil }

func (v *volumeLiar) Abilities(context.Context) ([]string, error) {
	return []string{"Attacher", "TimeTraveller"}, nil
}

func (v *volumeLiar) Location(context.Context, string) (volume.Location, error) {
	return v.l.location, nil
}

func (v *volumeLiar) MigrateIn(context.Context, string, volume.Spec, volume.Location) error {
	return nil
}
func (v *volumeLiar) Close() error { return nil }

func looped[D interface{ Close() error }](t *testing.T, d D, o LoopOptions) D {
	t.Helper()
	remote, err := Loop(t.Context(), d, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, remote.Close()) })
	return remote
}

func TestPathsOutsideTheRootsAreRefused(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	for _, path := range []string{filepath.Join(root, "good"), filepath.Join(root, "dir", "good"), filepath.Join(outside, "secret")} {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(root, "link")))
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "linked")))
	require.NoError(t, os.Symlink("dir", filepath.Join(root, "inner")))
	l := &liar{}
	d := looped[volume.Driver](t, &volumeLiar{l: l}, LoopOptions{Roots: []string{root}})
	connect := func(c driver.Connection) error {
		l.conn = c
		_, err := d.Connect(t.Context(), "v", volume.Connector{AttachmentID: "a"})
		_, err2 := d.(volume.Attacher).Attach(t.Context(), "a", driver.Connection{})
		require.Equal(t, err == nil, err2 == nil)
		return err
	}
	require.NoError(t, connect(driver.Connection{Type: "rbd"}), "no path")
	require.NoError(t, connect(driver.Connection{Type: "file", Path: filepath.Join(root, "good")}))
	require.NoError(t, connect(driver.Connection{Type: "file", Path: filepath.Join(root, "dir", "good")}))
	require.NoError(t, connect(driver.Connection{Type: "nbd", Options: map[string]string{"socket": filepath.Join(root, "good"), "export": "v"}}))
	for _, path := range []string{
		"/etc/shadow", filepath.Join(outside, "secret"), root + "/../" + filepath.Base(outside) + "/secret",
		filepath.Join(root, "link"), filepath.Join(root, "linked", "secret"), filepath.Join(root, "inner", "good"),
		root + "x/good", "good", "./good", root + "//good", filepath.Join(root, "absent"), root, "/proc/self/root/etc/shadow",
	} {
		err := connect(driver.Connection{Type: "file", Path: path})
		require.ErrorIs(t, err, nephos.ErrForbidden, path)
		require.ErrorContains(t, err, "the plugin named the path")
		if filepath.IsAbs(path) && path != root {
			require.ErrorIs(t, connect(driver.Connection{Type: "nbd", Options: map[string]string{"socket": path}}), nephos.ErrForbidden, path)
		}
	}
}

func TestALocationOutsideTheRootsIsRefused(t *testing.T) {
	root := t.TempDir()
	l := &liar{}
	d := looped[volume.Driver](t, &volumeLiar{l: l}, LoopOptions{Roots: []string{root}})
	for path, kind := range map[string]error{root: nil, "v": nil, "/etc/shadow": nephos.ErrForbidden, root + "/../x": nephos.ErrForbidden} {
		l.location = volume.Location{Type: "file", Name: "v", Options: map[string]string{"dir": path}}
		_, err := d.(volume.Migrator).Location(t.Context(), "v")
		require.ErrorIs(t, err, kind, path)
		l.location = volume.Location{Type: "file", Name: path}
		_, err = d.(volume.Migrator).Location(t.Context(), "v")
		require.ErrorIs(t, err, kind, path)
	}
}

func TestWithoutRootsNoPathIsAllowed(t *testing.T) {
	l := &liar{conn: driver.Connection{Type: "file", Path: "/etc/passwd"}}
	d := looped[volume.Driver](t, &volumeLiar{l: l}, LoopOptions{Roots: []string{}})
	_, err := d.Connect(t.Context(), "v", volume.Connector{})
	require.ErrorIs(t, err, nephos.ErrForbidden)
	require.ErrorContains(t, err, "declare the directories that it may use")
}

func TestRootsAreChecked(t *testing.T) {
	for _, root := range []string{"", "/", "relative", "/tmp/..", "/tmp/", "/nowhere", "/etc/passwd"} {
		_, err := Loop[volume.Driver](t.Context(), &volumeLiar{}, LoopOptions{Roots: []string{root}})
		require.ErrorIs(t, err, nephos.ErrInvalid, root)
	}
}

func TestAnswersAboutSomethingElseAreRefused(t *testing.T) {
	l := &liar{volumes: []volume.Volume{{ID: "other"}}}
	d := looped[volume.Driver](t, &volumeLiar{l: l}, LoopOptions{})
	_, err := d.Get(t.Context(), "v")
	require.EqualError(t, err, `asking the plugin for volume v: it answered with "other"`)
	for _, ids := range [][]string{{"v", "v"}, {""}, {"../../etc"}, {strings.Repeat("x", 1000)}} {
		l.volumes = nil
		for _, id := range ids {
			l.volumes = append(l.volumes, volume.Volume{ID: id})
		}
		_, err = d.List(t.Context())
		require.ErrorContains(t, err, "listing volumes: the plugin answered with")
		require.NotErrorIs(t, err, nephos.ErrInvalid, "the caller did nothing wrong")
	}
	_, err = d.(volume.Attacher).Attached(t.Context())
	require.ErrorContains(t, err, "bad ID")
}

func TestThingsThatCannotBeAreRefused(t *testing.T) {
	l := &liar{}
	d := looped[volume.Driver](t, &volumeLiar{l: l}, LoopOptions{})
	for says, v := range map[string]volume.Volume{
		"a size of -5 GiB":      {SizeGiB: -5, Format: "raw"},
		"a size of 1048577 GiB": {SizeGiB: volume.MaxSizeGiB + 1, Format: "raw"},
		`the format "raw\x00"`:  {SizeGiB: 1, Format: "raw\x00"},
	} {
		v.ID = "v"
		l.volumes = []volume.Volume{v}
		_, err := d.Get(t.Context(), "v")
		require.ErrorContains(t, err, says)
		require.NotErrorIs(t, err, nephos.ErrInvalid, "the caller did nothing wrong")
		_, err = d.List(t.Context())
		require.ErrorContains(t, err, says)
	}
	require.ErrorContains(t, saneGuest(hypervisor.Guest{ID: "g", State: "flying"}), `the state "flying"`)
	require.ErrorContains(t, saneObject(blob.Object{ID: "o", Size: -1}), "a size of -1 bytes")
}

func TestUnknownAbilitiesAreIgnoredAndTold(t *testing.T) {
	d := looped[volume.Driver](t, &volumeLiar{l: &liar{}}, LoopOptions{})
	names, err := volume.AbilitiesOf(t.Context(), d)
	require.NoError(t, err)
	require.Equal(t, []string{"Attacher"}, names)

	// What a plugin in another language may say.
	k, err := kindNamed(Volume)
	require.NoError(t, err)
	i := &instance{}
	require.NoError(t, i.learn(k, &driverv1.DescribeResponse{Kind: Volume, Abilities: []string{"Cloner", "TimeTraveller", "Cloner", "Attacher"}}))
	require.Equal(t, []string{"Attacher", "Cloner"}, i.about.Abilities)
	require.Equal(t, []string{"TimeTraveller"}, i.about.Unknown)
	i = &instance{}
	require.NoError(t, i.learn(k, &driverv1.DescribeResponse{
		Kind: Volume, Abilities: []string{"MultiAttacher"}, Traits: &driverv1.Traits{MultiAttachHosts: -1},
	}))
	require.Equal(t, []string{"MultiAttacher"}, i.about.Abilities, "what it says of an ability counts")
	require.Empty(t, i.about.Unknown)
	for _, bad := range []*driverv1.DescribeResponse{
		{},
		{Kind: Blob},
		{Kind: Volume, Name: strings.Repeat("x", 300)},
		{Kind: Volume, Version: "1\x1b[31m"},
		{Kind: Volume, Abilities: []string{""}},
		{Kind: Volume, Abilities: []string{"rm -rf"}},
		{Kind: Volume, Abilities: slices.Repeat([]string{"A"}, 500)},
	} {
		err := i.learn(k, bad)
		require.ErrorIs(t, err, nephos.ErrInvalid)
		require.Less(t, len(err.Error()), 300)
	}
}

func TestAPortOfNoBusiness(t *testing.T) {
	d := looped[network.Driver](t, &portLiar{}, LoopOptions{Roots: []string{t.TempDir()}})
	for id, says := range map[string]string{
		"namespace": "the plugin named the path", "long": "which cannot be one", "slash": "which cannot be one", "inventory": "",
	} {
		_, err := d.EnsurePort(t.Context(), id, network.Port{})
		if says != "" {
			require.ErrorContains(t, err, says, id)
		}
	}
	_, err := d.List(t.Context())
	require.ErrorContains(t, err, "p twice")
}

type portLiar struct{ network.Driver }

func (*portLiar) EnsurePort(_ context.Context, id string, _ network.Port) (network.Binding, error) {
	return map[string]network.Binding{
		"namespace": {Device: "tap0", Namespace: "/proc/1/ns/net"}, "long": {Device: strings.Repeat("x", 16)}, "slash": {Device: "../lo"},
	}[id], nil
}

func (*portLiar) List(context.Context) (network.Inventory, error) {
	return network.Inventory{Ports: []string{"p", "q", "p"}}, nil
}
func (*portLiar) Close() error { return nil }

// rawBlob is a plugin that does not keep to the streams' rules.
type rawBlob struct {
	blobv1.UnimplementedBlobServer
}

func (*rawBlob) Get(ctx context.Context, q *blobv1.GetRequest) (*blobv1.GetResponse, error) {
	if q.GetId() == "absent" {
		return &blobv1.GetResponse{}, nil
	}
	conn, err := net.Dial("unix", q.GetSocket())
	if err != nil {
		return nil, err
	}
	go func() {
		defer conn.Close()
		switch q.GetId() {
		case "cut":
			_, _ = conn.Write([]byte{0, 0, 0, 9, 'h', 'e'})
		case "short":
			_, _ = conn.Write([]byte{0, 0, 0, 2, 'h', 'e', 0, 0, 0, 0})
		case "large":
			_, _ = conn.Write([]byte{0x7f, 0, 0, 0})
		case "fault":
			_, _, _ = wire.Send(conn, iotest.ErrReader(nephos.NotFound("chunk", "3")))
		case "fills": // for as long as anybody listens
			for {
				if _, err := conn.Write(append([]byte{0, 1, 0, 0}, make([]byte, 1<<16)...)); err != nil {
					return
				}
			}
		}
	}()
	return &blobv1.GetResponse{}, nil
}

func (*rawBlob) Put(context.Context, *blobv1.PutRequest) (*blobv1.PutResponse, error) {
	return &blobv1.PutResponse{Size: 5}, nil // without having read a byte
}

func (*rawBlob) Stat(_ context.Context, q *blobv1.StatRequest) (*blobv1.StatResponse, error) {
	if q.GetId() == "odd" {
		return nil, status.Error(codes.Code(77), strings.Repeat("\xff", 1<<15))
	}
	return &blobv1.StatResponse{}, nil
}

func (*rawBlob) List(_ *blobv1.ListRequest, s grpc.ServerStreamingServer[blobv1.ListResponse]) error {
	return s.Send(&blobv1.ListResponse{Objects: []*blobv1.Object{{Id: "/etc/passwd"}}})
}

func (*rawBlob) Location(_ context.Context, q *blobv1.LocationRequest) (*blobv1.LocationResponse, error) {
	return &blobv1.LocationResponse{Location: map[string]string{"file": "file:///etc/shadow", "path": "/etc/shadow", "FILE": "FILE:/etc/shadow", "rbd": "rbd://a/b/c/d"}[q.GetId()]}, nil
}

// rawly serves what is no driver.
func rawly(t *testing.T) blob.Driver {
	d := looped[blob.Driver](t, nothing{}, LoopOptions{Roots: []string{t.TempDir()}})
	p, _ := Of(d)
	server := grpc.NewServer()
	blobv1.RegisterBlobServer(server, &rawBlob{})
	dir, err := os.MkdirTemp("", "s")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	require.NoError(t, err)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("unix:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	p.now.conn = conn
	return d
}

type nothing struct{ blob.Driver }

func (nothing) Close() error { return nil }

func TestStreamsThatBreakTheRules(t *testing.T) {
	d := rawly(t)
	read := func(id string, length int64) error {
		r, err := d.Get(t.Context(), id, 0, length)
		require.NoError(t, err)
		defer r.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<20))
		require.LessOrEqual(t, n, int64(1<<20))
		return err
	}
	require.ErrorIs(t, read("cut", -1), io.ErrUnexpectedEOF)
	require.ErrorIs(t, read("short", 5), io.ErrUnexpectedEOF)
	require.ErrorContains(t, read("large", -1), "a frame of")
	require.ErrorIs(t, read("fault", -1), nephos.ErrNotFound, "an error in the middle keeps its meaning")
	require.ErrorContains(t, read("fills", 10), "more than was asked for")
	require.NoError(t, read("fills", -1), "a reader that has enough hangs up")

	_, err := d.Put(t.Context(), "o", strings.NewReader("hello"), 5)
	require.ErrorContains(t, err, "claims to have stored 5 bytes, but took 0")
	_, err = d.Put(t.Context(), "o", iotest.ErrReader(errors.New("the sender is gone")), 5)
	require.Error(t, err)
	_, err = d.Stat(t.Context(), "o")
	require.ErrorContains(t, err, "answered with")
	_, err = d.Stat(t.Context(), "odd")
	require.Error(t, err)
	require.Less(t, len(err.Error()), 5000)
	require.ErrorContains(t, d.List(t.Context(), func(blob.Object) bool { return true }), "bad ID")

	for _, id := range []string{"file", "path", "FILE"} {
		_, err = d.(blob.Locator).Location(t.Context(), id)
		require.Error(t, err, id)
	}
	where, err := d.(blob.Locator).Location(t.Context(), "rbd")
	require.NoError(t, err)
	require.Equal(t, "rbd://a/b/c/d", where)
}

func TestAStreamEndsWithItsContext(t *testing.T) {
	d := rawly(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := d.Get(ctx, "fills", 0, -1)
	require.NoError(t, err)
	defer r.Close()
	cancel()
	_, err = io.Copy(io.Discard, r)
	require.ErrorIs(t, err, context.Canceled)
}

func TestTracesGoOn(t *testing.T) {
	l := &liar{volumes: []volume.Volume{{ID: "v", Format: "raw"}}}
	d := looped[volume.Driver](t, &volumeLiar{l: l}, LoopOptions{})
	provider := sdktrace.NewTracerProvider()
	ctx, span := provider.Tracer("test").Start(t.Context(), "request")
	ctx = metadata.AppendToOutgoingContext(ctx, "mine", "1")
	_, err := d.Get(ctx, "v")
	require.NoError(t, err)
	got := trace.SpanContextFromContext(l.seen)
	require.Equal(t, span.SpanContext().TraceID(), got.TraceID())
	require.True(t, got.IsSampled())

	_, err = d.Get(t.Context(), "v")
	require.NoError(t, err)
	require.False(t, trace.SpanContextFromContext(l.seen).IsValid())
}

func TestServeRefusesWhatIsNoDriverOrTwo(t *testing.T) {
	require.ErrorIs(t, Serve(1), nephos.ErrInvalid)
	err := Serve(&volumeLiar{})
	require.ErrorContains(t, err, "is started by Nephos")
}

func TestEventsOfNobody(t *testing.T) {
	var log bytes.Buffer
	d := looped[hypervisor.Driver](t, &eventLiar{}, LoopOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	events, err := d.(hypervisor.Eventer).Events(t.Context())
	require.NoError(t, err)
	require.Equal(t, "good", (<-events).ID)
	require.Contains(t, log.String(), "dropping an event")
}

type eventLiar struct{ hypervisor.Driver }

func (*eventLiar) Events(ctx context.Context) (<-chan hypervisor.Event, error) {
	c := make(chan hypervisor.Event, 2)
	c <- hypervisor.Event{ID: "../bad", At: time.Unix(1, 0)}
	c <- hypervisor.Event{ID: "good", At: time.Unix(1, 0)}
	close(c)
	return c, nil
}
func (*eventLiar) Close() error { return nil }
