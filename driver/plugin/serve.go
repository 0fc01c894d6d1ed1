package plugin

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/process"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
)

// ContractVersion is the version of the contract that this package speaks: that
// of the packages nephos.<kind>.v1 below proto/.
const ContractVersion = 1

// handshake is what both sides say first: the cookie tells a plugin that it was
// started by Nephos and not by hand.
var handshake = goplugin.HandshakeConfig{
	ProtocolVersion: ContractVersion, MagicCookieKey: "NEPHOS_PLUGIN", MagicCookieValue: "c3a1f6a5-0d6b-4d0e-8a55-nephos-driver",
}

const (
	pluginName = "driver" // between the two ends of go-plugin
	// maxMessage bounds one message. Bulk bytes never travel in messages.
	maxMessage = 16 << 20
)

// Serve runs the driver as a plugin until the host ends it or is gone, then
// closes it. It is the last call of an author's main. The driver is one of the
// four kinds, or an extension of the scheduler; what else it implements is what
// it offers.
//
// A driver that implements Describer says its name and version.
func Serve(d any) error {
	k, err := kindServed(d)
	if err != nil {
		return err
	}

	if os.Getenv(handshake.MagicCookieKey) != handshake.MagicCookieValue {
		return nephos.Errorf(nephos.ErrInvalid, "serving a plugin: this program is started by Nephos and does nothing by hand; try it with: go run github.com/nephos-cloud/nephos/driver/plugin/certify %s", os.Args[0])
	}
	var server atomic.Pointer[grpc.Server]
	go func() {
		// The host holds the other end; it ends when the host does, however.
		_, _ = io.Copy(io.Discard, os.Stdin)
		if s := server.Load(); s != nil {
			s.Stop()
		} else {
			os.Exit(1)
		}
	}()
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{ContractVersion: {pluginName: &glue{register: registrar(d, k)}}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			s := grpc.NewServer(append(append(opts, grpc.MaxRecvMsgSize(maxMessage)), wire.ServeTraced()...)...)
			server.Store(s)
			return s
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr, JSONFormat: true}),
	})
	if c, ok := d.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Describer is for drivers that have a name and a version to tell.
type Describer interface {
	Describe() (name, version string)
}

// Logger returns the log of a plugin for its author: what is written there
// arrives in the host's log with its level and attributes.
func Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// kindServed finds the kind of a driver.
func kindServed(d any) (*kind, error) {
	var found *kind
	for _, k := range kinds() {
		if !k.is(d) {
			continue
		}
		if found != nil {
			return nil, nephos.Errorf(nephos.ErrInvalid, "serving a plugin: %T is a %s driver and a %s driver: serve each kind by a program of its own", d, found.name, k.name)
		}
		found = k
	}
	if found == nil {
		return nil, nephos.Errorf(nephos.ErrInvalid, "serving a plugin: %T is no driver: it lacks methods of hypervisor.Driver, network.Driver, volume.Driver, blob.Driver and extension.Extension", d)
	}
	return found, nil
}

// registrar returns what registers the driver's services.
func registrar(d any, k *kind) func(*grpc.Server) {
	return func(s *grpc.Server) {
		driverv1.RegisterPluginServer(s, &pluginServer{kind: k, driver: d})
		k.register(s, d)
	}
}

type atomicProcess = atomic.Pointer[process.Process]

func unsupported(what string, d any) error {
	return fmt.Errorf("%s: %T does not offer it: %w", what, d, errors.ErrUnsupported)
}
