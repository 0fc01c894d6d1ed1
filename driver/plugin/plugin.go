// Package plugin runs drivers in other processes, over hashicorp/go-plugin and
// gRPC. It is the only bridge to them.
//
// An author's program calls [Serve] with a driver; Nephos calls
// [LaunchHypervisor] with the program's path and gets a driver of the same Go
// interface, with the same abilities and errors that keep their meaning. The
// contract between the two is the protobuf under proto/, one versioned package
// a kind, so a driver can be written in any language that has gRPC.
//
// So far the hypervisor's contract is bridged.
package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	hypervisorv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/hypervisor/v1"
)

// Handshake is what both sides say first: the cookie tells a plugin that it was
// started by Nephos and not by hand, the version is that of the bridge.
var handshake = goplugin.HandshakeConfig{
	ProtocolVersion: 1, MagicCookieKey: "NEPHOS_PLUGIN", MagicCookieValue: "c3a1f6a5-0d6b-4d0e-8a55-nephos-driver",
}

// maxMessage bounds one message. Bulk data never travels by gRPC.
const maxMessage = 16 << 20

// Serve runs the driver as a plugin until the other side ends it. It is the
// last call of an author's main. The driver must be a hypervisor.Driver.
func Serve(d any) error {
	set, err := plugins(d)
	if err != nil {
		return err
	}
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: handshake, Plugins: set,
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.MaxRecvMsgSize(maxMessage))...)
		},
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr, JSONFormat: true}),
	})
	return nil
}

func plugins(d any) (goplugin.PluginSet, error) {
	if hv, ok := d.(hypervisor.Driver); ok {
		return goplugin.PluginSet{"hypervisor": &hypervisorPlugin{driver: hv}}, nil
	}
	return nil, fmt.Errorf("serving a plugin: %T is no driver of a kind that has a contract", d)
}

// LaunchOptions say how to start a plugin.
type LaunchOptions struct {
	Args []string
	Env  []string     // all that the plugin sees of the environment
	Log  *slog.Logger // nil: discard
	// Secure pins the program by checksum; nil starts whatever the path names.
	Secure *goplugin.SecureConfig
}

// LaunchHypervisor starts the program and returns its driver. Closing the driver
// ends the program; guests run on.
func LaunchHypervisor(ctx context.Context, path string, opts LaunchOptions) (hypervisor.Driver, error) {
	dir, err := os.MkdirTemp("", "nephos-plugin")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, opts.Args...)
	cmd.Env = append(slices.Clone(opts.Env), goplugin.EnvUnixSocketDir+"="+dir)
	client := goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: handshake, Plugins: goplugin.PluginSet{"hypervisor": &hypervisorPlugin{dir: dir}},
		Cmd: cmd, AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, AutoMTLS: true, SkipHostEnv: true,
		SecureConfig:    opts.Secure,
		GRPCDialOptions: []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage))},
		Logger:          bridge(opts.Log, path),
	})
	stop := func() error {
		client.Kill()
		return os.RemoveAll(dir)
	}
	d, err := dispense(client)
	if err == nil {
		err = d.ask(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("launching the plugin %s: %w", path, err), stop())
	}
	d.stop = stop
	return d, nil
}

func dispense(client *goplugin.Client) (*remoteHypervisor, error) {
	conn, err := client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := conn.Dispense("hypervisor")
	if err != nil {
		return nil, err
	}
	d, ok := raw.(*remoteHypervisor)
	if !ok {
		return nil, fmt.Errorf("it serves %T", raw)
	}
	return d, nil
}

// bridge passes a plugin's log lines on.
func bridge(log *slog.Logger, path string) hclog.Logger {
	if log == nil {
		return hclog.NewNullLogger()
	}
	return hclog.New(&hclog.LoggerOptions{
		Level: hclog.Info, JSONFormat: false, DisableTime: true,
		Output: writerFunc(func(p []byte) (int, error) {
			log.Info("plugin", "path", path, "line", string(p))
			return len(p), nil
		}),
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

var _ io.Writer = writerFunc(nil)

// hypervisorPlugin is go-plugin's name for the two ends of one kind.
type hypervisorPlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	driver hypervisor.Driver // on the plugin's side
	dir    string            // on ours: where the plugin's sockets must lie
}

func (p *hypervisorPlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	if p.driver == nil {
		return nephos.Errorf(nephos.ErrInvalid, "no driver to serve")
	}
	hypervisorv1.RegisterHypervisorServer(s, &hypervisorServer{driver: p.driver, dir: os.Getenv(goplugin.EnvUnixSocketDir)})
	return nil
}

func (p *hypervisorPlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return &remoteHypervisor{client: hypervisorv1.NewHypervisorClient(conn), dir: p.dir}, nil
}
