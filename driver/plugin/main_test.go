package plugin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver"
	blobfile "github.com/nephos-cloud/nephos/driver/blob/file"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	fakenetwork "github.com/nephos-cloud/nephos/driver/network/fake"
	"github.com/nephos-cloud/nephos/driver/volume"
	volumefile "github.com/nephos-cloud/nephos/driver/volume/file"
)

// The test binary is also the plugins that the tests launch, and a host that
// is killed: what it is then is its first argument.
func TestMain(m *testing.M) {
	role := ""
	if len(os.Args) > 1 {
		role = strings.TrimPrefix(os.Args[1], "play=")
	}
	play, ok := roles[role]
	if !ok {
		os.Exit(m.Run())
	}
	if err := play(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var roles = map[string]func() error{
	"hypervisor": func() error {
		d, err := fakehypervisor.Open(fakehypervisor.Config{CloudID: "cloud", Name: "plugged"})
		if err != nil {
			return err
		}
		return Serve(d)
	},
	"volume": func() error {
		d, err := volumefile.Open(volumefile.Config{Dir: os.Getenv("NEPHOS_PLUGIN_DIR")})
		if err != nil {
			return err
		}
		return Serve(d)
	},
	"blob": func() error {
		d, err := blobfile.Open(blobfile.Config{Dir: os.Getenv("NEPHOS_PLUGIN_DIR")})
		if err != nil {
			return err
		}
		return Serve(d)
	},
	"network":   func() error { return Serve(fakenetwork.Open(fakenetwork.NewState(nil), fakenetwork.Options{})) },
	"scheduler": func() error { return Serve(evenHosts{}) },
	"odd":       func() error { return Serve(&odd{}) },
	"none":      func() error { return Serve("a driver") },

	// Programs that are no plugins, or unfit ones.
	"silent": func() error { select {} },
	"ends":   func() error { return nil },
	"fails":  func() error { return fmt.Errorf("no such pool: make it first") },
	"chats":  func() error { fmt.Println("Welcome to Acme Storage 3.1!"); select {} },
	"babbles": func() error {
		for {
			fmt.Print("no end of line ")
		}
	},
	"netrpc":     func() error { fmt.Println("1|1|unix|/tmp/x|netrpc"); select {} },
	"core":       func() error { fmt.Println("9|1|unix|/tmp/x|grpc|" + strings.Repeat("A", 60)); select {} },
	"version":    func() error { fmt.Println("1|7|unix|/tmp/x|grpc|" + strings.Repeat("A", 60)); select {} },
	"elsewhere":  func() error { fmt.Println("1|1|unix|/run/docker.sock|grpc|" + strings.Repeat("A", 60)); select {} },
	"plain":      func() error { fmt.Println("1|1|unix|" + inSocketDir() + "|grpc|"); select {} },
	"unserved":   func() error { fmt.Println("1|1|unix|" + inSocketDir() + "|grpc|" + strings.Repeat("A", 60)); select {} },
	"stranger":   serveStranger,
	"bare":       serveBare,
	"launchhost": playHost,
}

// prompt is the environment of a plugin that ends at once: with the race
// detector's defaults a program lingers for a second.
var prompt = []string{"GORACE=atexit_sleep_ms=0"}

func inSocketDir() string { return os.Getenv("PLUGIN_UNIX_SOCKET_DIR") + "/s" }

// serveStranger serves go-plugin of this version, but nothing of ours.
func serveStranger() error {
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: handshake, GRPCServer: goplugin.DefaultGRPCServer,
		VersionedPlugins: map[int]goplugin.PluginSet{ContractVersion: {pluginName: &glue{register: func(*grpc.Server) {}}}},
		Logger:           hclog.NewNullLogger(),
	})
	return nil
}

// playHost launches a plugin, tells its number, and waits to be killed.
func playHost() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d, err := Launch[hypervisor.Driver](context.Background(), self, LaunchOptions{Args: []string{"play=hypervisor"}, Env: prompt})
	if err != nil {
		return err
	}
	p, _ := Of(d)
	fmt.Println(p.PID())
	select {}
}

// odd is a volume driver whose every call does something that no driver should.
type odd struct{ volume.Driver }

func (*odd) Describe() (name, version string) { return "odd", "1.2.3" }

func (*odd) Get(ctx context.Context, id string) (volume.Volume, error) {
	switch id {
	case "exit":
		os.Exit(3)
	case "panic":
		panic("the driver is broken")
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		<-ctx.Done() // another thread may have taken the signal, and stops this one in a moment
		return volume.Volume{}, ctx.Err()
	case "hang":
		<-ctx.Done()
		return volume.Volume{}, ctx.Err()
	case "stubborn":
		select {}
	case "flood":
		for n := range 20000 {
			fmt.Fprintln(os.Stderr, "flood", n, strings.Repeat("x", 100))
		}
		fmt.Fprintln(os.Stderr, strings.Repeat("y", 1<<20))
	case "log":
		Logger().Log(ctx, slog.LevelWarn, "low on space", "pool", "ssd", "free", 3)
		hclog.New(&hclog.LoggerOptions{JSONFormat: true, Level: hclog.Debug}).Error("disk failed", "slot", 7)
		fmt.Fprintln(os.Stderr, "[DEBUG] plain words")
		fmt.Println("on standard output")
	case "huge":
		return volume.Volume{ID: id, Format: "raw", Snapshots: []string{strings.Repeat("x", 20<<20)}}, nil
	case "memory", "cpu", "processes":
		return greedy(ctx, id)
	case "env":
		return volume.Volume{ID: id, Format: "raw", Snapshots: os.Environ()}, nil
	}
	deadline, _ := ctx.Deadline()
	return volume.Volume{ID: id, Format: "raw", SizeGiB: max(0, int(time.Until(deadline).Seconds()))}, nil
}

func (*odd) CreateFromImage(_ context.Context, _ string, _ volume.Spec, image volume.Image) error {
	_, _ = io.CopyN(io.Discard, image.Body, 1<<20)
	os.Exit(3)
	return nil
}

func (*odd) Read(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(&stalled{}), nil
}

// stalled is content that does not go on.
type stalled struct{ begun bool }

func (s *stalled) Read(p []byte) (int, error) {
	if s.begun {
		select {}
	}
	s.begun = true
	return copy(p, "half of it"), nil
}

func (*odd) List(context.Context) ([]volume.Volume, error) { return nil, nil }

func (*odd) Connect(context.Context, string, volume.Connector) (driver.Connection, error) {
	return driver.Connection{}, nil
}

func (*odd) Close() error { return nil }
