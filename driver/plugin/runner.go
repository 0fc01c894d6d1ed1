package plugin

import (
	"context"
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

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	gorunner "github.com/hashicorp/go-plugin/runner"

	"github.com/nephos-cloud/nephos/driver/plugin/internal/process"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/roots"
)

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
		proc.KillGroup()
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
