package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	gorunner "github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/process"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/roots"
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
	base    string // the directory of it all
}

// start runs the program and learns what it is.
func (p *Plugin) start(ctx context.Context) (_ *instance, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.opts.StartTimeout, fmt.Errorf("not ready within %v", p.opts.StartTimeout))
	defer cancel()
	if len(p.opts.SocketDir) > maxSocketDir {
		return nil, nephos.Errorf(nephos.ErrInvalid, "the directory for sockets %s is longer than %d bytes: choose a shorter one", p.opts.SocketDir, maxSocketDir)
	}
	base, err := os.MkdirTemp(p.opts.SocketDir, "nephos-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for its sockets: %w", err)
	}
	i := &instance{base: base, sockets: filepath.Join(base, "h"), uid: os.Getuid()}
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
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: base},
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

// maxSocketDir leaves room for the names below it: a unix socket's path has at
// most 107 bytes.
const maxSocketDir = 50

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

// socketDirs makes the host's directory for sockets. Where the plugin has a user
// of its own, that user may pass through, but changes nothing.
func (p *Plugin) socketDirs(i *instance) error {
	mode := os.FileMode(0o700)
	if p.opts.User != nil {
		mode = 0o711
	}
	err := errors.Join(os.Mkdir(i.sockets, 0o700), os.Chmod(i.sockets, mode), os.Chmod(i.base, mode))
	if err != nil {
		return fmt.Errorf("making a directory for its sockets: %w", err)
	}
	return nil
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
}

// stop asks the plugin to end, and kills it if it does not.
func (i *instance) stop() {
	timer := time.AfterFunc(stopWithin, i.proc.Kill)
	defer timer.Stop()
	i.client.Kill()
	i.kill()
}

// learn takes what the plugin said of itself.
func (i *instance) learn(k *kind, r *driverv1.DescribeResponse) error {
	if got := r.GetKind(); got != k.name {
		return nephos.Errorf(nephos.ErrInvalid, "it is a %.40q driver, and a %s driver is wanted: use it where %[1]q drivers are configured", got, k.name)
	}
	if len(r.GetAbilities()) > maxAbilities || len(r.GetName()) > maxName || len(r.GetVersion()) > maxName {
		return nephos.Errorf(nephos.ErrInvalid, "its description is too long: at most %d abilities, and %d bytes each of name and version", maxAbilities, maxName)
	}
	for _, a := range r.GetAbilities() {
		if !isName(a) {
			return nephos.Errorf(nephos.ErrInvalid, "it claims the ability %.80q, which is no name", a)
		}
	}
	i.extra = r
	i.about = Description{Contract: ContractVersion, Kind: k.name, Name: r.GetName(), Version: r.GetVersion()}
	i.about.Abilities = k.known(r.GetAbilities())
	for _, a := range r.GetAbilities() {
		if !slices.Contains(i.about.Abilities, a) {
			i.about.Unknown = append(i.about.Unknown, a)
		}
	}
	return nil
}

const (
	maxAbilities = 200
	maxName      = 200
)

func isName(s string) bool {
	if s == "" || len(s) > 80 {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

func describeError(err error) error {
	if status.Code(err) == codes.Unimplemented {
		return nephos.Errorf(nephos.ErrInvalid, "it does not serve nephos.driver.v1.Plugin: it is a plugin of something else, or older than this contract")
	}
	return fmt.Errorf("asking it what it is: %w", wire.FromStatus(err))
}

// glue is go-plugin's name for a plugin: here, its connection or its server.
type glue struct {
	goplugin.NetRPCUnsupportedPlugin
	register func(*grpc.Server)
}

func (g *glue) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	g.register(s)
	return nil
}

func (g *glue) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}

// parseHandshake checks the first line of a plugin and returns its socket.
func parseHandshake(line, dir string) (socket string, err error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", nephos.Errorf(nephos.ErrInvalid, format, args...)
	}
	parts := strings.Split(line, "|")
	if len(parts) < 5 {
		return refuse("its first line %.80q is no go-plugin handshake: is it a plugin?", line)
	}
	if parts[0] != strconv.Itoa(goplugin.CoreProtocolVersion) {
		return refuse("it speaks version %.20q of go-plugin's protocol, not %d: build it with a go-plugin of today", parts[0], goplugin.CoreProtocolVersion)
	}
	if parts[1] != strconv.Itoa(ContractVersion) {
		return refuse("it speaks version %.20q of the driver contract, and this Nephos version %d: use a plugin built for version %[2]d, or another Nephos", parts[1], ContractVersion)
	}
	if parts[4] != string(goplugin.ProtocolGRPC) {
		return refuse("it speaks %.20q, not grpc: serve it over gRPC", parts[4])
	}
	if parts[2] != "unix" || filepath.Dir(parts[3]) != dir {
		return refuse("it listens on %.20q %.200q: it must listen on a unix socket in the directory that PLUGIN_UNIX_SOCKET_DIR names", parts[2], parts[3])
	}
	if len(parts) < 6 || len(parts[5]) <= 50 {
		return refuse("it sent no certificate: serve with mutual TLS, trusting PLUGIN_CLIENT_CERT, and send its own as the sixth field of the handshake")
	}
	return parts[3], nil
}

// runner starts the process for go-plugin.
type runner struct {
	plugin   *Plugin
	instance *instance
	ctx      context.Context
	config   *goplugin.ClientConfig
	running  atomicProcess
	cmd      *exec.Cmd
	dir      string // of the plugin's socket
	line     string
	socket   string
	err      error
}

// adopt is go-plugin's RunnerFunc.
func (r *runner) adopt(_ hclog.Logger, cmd *exec.Cmd, dir string) (gorunner.Runner, error) {
	r.cmd, r.dir = cmd, dir
	if cmd.Env, r.err = hostCertificate(r.config.TLSConfig, cmd.Env); r.err != nil {
		return nil, r.err
	}
	if u := r.plugin.opts.User; u != nil {
		if err := os.Lchown(dir, int(u.UID), int(u.GID)); err != nil {
			r.err = fmt.Errorf("giving the directory of its socket to user %d: %w: only root can run a plugin as another user", u.UID, err)
			return nil, r.err
		}
	}
	return r, nil
}

// Start implements gorunner.Runner.
func (r *runner) Start(context.Context) error {
	r.err = r.start()
	return r.err
}

func (r *runner) start() error {
	p := r.plugin
	env := append(slices.Clone(p.opts.Env), r.cmd.Env...)
	if path, err := filepath.Abs(p.path); err == nil {
		env = append(env, "NEPHOS_PLUGIN_PATH="+path)
	}
	if p.opts.Dir != "" {
		env = append(env, "NEPHOS_PLUGIN_DIR="+p.opts.Dir)
	}
	proc, err := process.Start(p.program, process.Options{
		Args: p.opts.Args, Env: env, User: (*process.User)(p.opts.User), Limits: process.Limits(p.opts.Limits),
		Stderr: p.words, Stdout: process.NewLog(p.log, p.opts.Clock, slog.LevelInfo),
	})
	if err != nil {
		return err
	}
	r.instance.proc = proc
	r.running.Store(proc)
	if r.ctx.Err() != nil {
		proc.Kill()
	}
	line, err := proc.FirstLine(r.ctx)
	if err == nil {
		r.line = line
		r.socket, err = parseHandshake(line, r.dir)
	}
	if err != nil {
		proc.Kill()
		_ = proc.Wait()
	}
	return err
}

// dial connects to the plugin's socket, and to nothing that it may have put a
// link to.
func (r *runner) dial(ctx context.Context, _ string) (net.Conn, error) {
	f, err := roots.Roots{r.dir}.Open("connecting", r.socket)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", socketName(f))
}

// untilExit is an output that go-plugin may read to its end.
type untilExit struct {
	io.Reader
	proc *process.Process
}

func (u untilExit) Read(p []byte) (int, error) {
	if u.Reader != nil {
		if n, err := u.Reader.Read(p); err == nil {
			return n, nil
		}
	}
	<-u.proc.Exited()
	return 0, io.EOF
}

func (untilExit) Close() error { return nil }

// The rest of gorunner.Runner. What the process writes has been taken care of.

func (r *runner) Stdout() io.ReadCloser {
	return untilExit{strings.NewReader(r.line + "\n"), r.instance.proc}
}
func (r *runner) Stderr() io.ReadCloser           { return untilExit{nil, r.instance.proc} }
func (r *runner) Name() string                    { return r.plugin.path }
func (r *runner) Diagnose(context.Context) string { return "" }
func (r *runner) Wait(context.Context) error      { return r.instance.proc.Wait() }

// ID is empty when nothing was started, and there is nothing to end.
func (r *runner) ID() string {
	if r.instance.proc == nil {
		return ""
	}
	return strconv.Itoa(r.instance.proc.PID())
}

func (r *runner) Kill(context.Context) error {
	r.instance.proc.Kill()
	return nil
}

func (r *runner) PluginToHost(network, addr string) (string, string, error) {
	return network, addr, nil
}

func (r *runner) HostToPlugin(network, addr string) (string, string, error) {
	return network, addr, nil
}
