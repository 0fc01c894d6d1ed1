package plugin

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/process"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
)

// instance is one run of a plugin's program.
type instance struct {
	conn    grpc.ClientConnInterface
	about   Description
	extra   *driverv1.DescribeResponse
	sockets string // the host's directory for streams' sockets
	uid     int    // of the plugin, or negative
	proc    *process.Process
	client  *goplugin.Client
	base    string   // the directory of it all
	lock    *os.File // held as long as the directory is in use
}

// start runs the program and learns what it is.
func (p *Plugin) start(ctx context.Context) (_ *instance, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.opts.StartTimeout, fmt.Errorf("not ready within %v", p.opts.StartTimeout))
	defer cancel()
	if len(p.opts.SocketDir) > maxSocketDir {
		return nil, nephos.Errorf(nephos.ErrInvalid, "the directory for sockets %s is longer than %d bytes: choose a shorter one", p.opts.SocketDir, maxSocketDir)
	}
	i := &instance{uid: os.Getuid()}
	if p.opts.User != nil {
		i.uid = int(p.opts.User.UID)
	}
	defer func() {
		if err != nil {
			i.kill()
		}
	}()
	if err := p.socketDirs(i); err != nil {
		return nil, err
	}
	r := &runner{plugin: p, instance: i, ctx: ctx}
	r.config = &goplugin.ClientConfig{
		HandshakeConfig:  handshake,
		VersionedPlugins: map[int]goplugin.PluginSet{ContractVersion: {pluginName: &glue{}}},
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC}, AutoMTLS: true, SkipHostEnv: true,
		StartTimeout:     p.opts.StartTimeout + time.Second, // ours comes first, and explains itself
		RunnerFunc:       r.adopt,
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: i.base},
		GRPCDialOptions: append(wire.DialTraced(),
			grpc.WithContextDialer(r.dial),
			grpc.WithMaxHeaderListSize(64<<10),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))),
		SyncStdout: process.NewLog(p.log, p.opts.Clock, slog.LevelInfo),
		SyncStderr: p.words,
		Logger:     hclog.NewNullLogger(),
	}
	i.client = goplugin.NewClient(r.config)
	// A plugin that hangs anywhere on the way is ended with the context.
	stop := context.AfterFunc(ctx, func() {
		if proc := r.running.Load(); proc != nil {
			proc.Kill()
		}
	})
	defer stop()
	if err := i.connect(p, ctx); err != nil {
		switch {
		case r.err != nil:
			return nil, p.lastWords(r.err)
		case ctx.Err() != nil:
			return nil, p.lastWords(nephos.Errorf(nephos.ErrUnavailable, "it made its handshake, but never answered: %w", context.Cause(ctx)))
		case i.proc != nil && i.proc.Err() != nil:
			return nil, p.lastWords(nephos.Errorf(nephos.ErrUnavailable, "%v after its handshake", i.proc.Err()))
		default:
			return nil, p.lastWords(err)
		}
	}
	return i, nil
}

// lastWords adds what the plugin said to the error of its start.
func (p *Plugin) lastWords(err error) error {
	if said := p.words.LastWords(); said != "" {
		return fmt.Errorf("%w (it said: %s)", err, strings.ReplaceAll(said, "\n", " "))
	}
	return err
}

func (i *instance) connect(p *Plugin, ctx context.Context) error {
	protocol, err := i.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(pluginName)
	if err != nil {
		return err
	}
	i.conn = raw.(*grpc.ClientConn)
	return p.describe(ctx, i)
}

// kill ends the instance at once and clears up.
func (i *instance) kill() {
	if i.proc != nil {
		i.proc.Kill()
		_ = i.proc.Wait()
	}
	if i.client != nil {
		i.client.Kill()
	}
	if i.base != "" {
		_ = os.RemoveAll(i.base)
	}
	if i.lock != nil {
		i.lock.Close()
	}
}

// stop asks the plugin to end, and kills it if it does not.
func (i *instance) stop() {
	timer := time.AfterFunc(stopWithin, i.proc.Kill)
	defer timer.Stop()
	i.client.Kill()
	i.kill()
}
