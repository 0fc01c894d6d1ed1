package plugin

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	fakehypervisor "github.com/nephos-cloud/nephos/driver/hypervisor/fake"
	driverv1 "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/driver/v1"
)

// barePlugin is go-plugin with nothing of ours but a message.
type barePlugin struct {
	goplugin.NetRPCUnsupportedPlugin
	driverv1.UnimplementedPluginServer
}

func (b *barePlugin) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	driverv1.RegisterPluginServer(s, b)
	return nil
}

func (b *barePlugin) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return driverv1.NewPluginClient(conn), nil
}

func (b *barePlugin) Describe(context.Context, *driverv1.DescribeRequest) (*driverv1.DescribeResponse, error) {
	return &driverv1.DescribeResponse{}, nil
}

func serveBare() error {
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: handshake, GRPCServer: goplugin.DefaultGRPCServer,
		VersionedPlugins: map[int]goplugin.PluginSet{ContractVersion: {pluginName: &barePlugin{}}}, Logger: hclog.NewNullLogger(),
	})
	return nil
}

func bare(b *testing.B) *goplugin.Client {
	return goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig: handshake, VersionedPlugins: map[int]goplugin.PluginSet{ContractVersion: {pluginName: &barePlugin{}}},
		Cmd: exec.Command(self(b), "play=bare"), AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		AutoMTLS: true, SkipHostEnv: true, Logger: hclog.NewNullLogger(),
	})
}

// BenchmarkCall measures one small call: in process, over go-plugin with nothing
// of ours, and through a plugin.
func BenchmarkCall(b *testing.B) {
	b.Run("in process", func(b *testing.B) {
		d, err := fakehypervisor.Open(fakehypervisor.Config{CloudID: "cloud", Name: "h"})
		require.NoError(b, err)
		benchInfo(b, d)
	})
	b.Run("bare go-plugin", func(b *testing.B) {
		client := bare(b)
		defer client.Kill()
		protocol, err := client.Client()
		require.NoError(b, err)
		raw, err := protocol.Dispense(pluginName)
		require.NoError(b, err)
		for b.Loop() {
			_, err := raw.(driverv1.PluginClient).Describe(context.Background(), &driverv1.DescribeRequest{})
			require.NoError(b, err)
		}
	})
	b.Run("plugin", func(b *testing.B) {
		benchInfo(b, play[hypervisor.Driver](b, "hypervisor", LaunchOptions{}))
	})
}

func benchInfo(b *testing.B, d hypervisor.Driver) {
	for b.Loop() {
		_, err := d.Info(context.Background())
		require.NoError(b, err)
	}
}

// BenchmarkStart measures the start of the example's plugin, to its description.
func BenchmarkStart(b *testing.B) {
	path := filepath.Join(b.TempDir(), "paper")
	out, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "../../examples/plugin-hypervisor").CombinedOutput()
	require.NoError(b, err, string(out))
	for name, o := range map[string]LaunchOptions{"plain": {}, "pinned": {SHA256: checksum(b, path)}} {
		b.Run(name, func(b *testing.B) {
			o.Dir = filepath.Join(b.TempDir(), "state")
			for b.Loop() {
				d, err := Launch[hypervisor.Driver](b.Context(), path, o)
				require.NoError(b, err)
				b.StopTimer()
				require.NoError(b, d.Close())
				b.StartTimer()
			}
		})
	}
}

// BenchmarkDeath measures how long the supervisor takes to notice a plugin's
// death, and to have it running again.
func BenchmarkDeath(b *testing.B) {
	changes := make(chan Change, 1)
	d, err := Launch[hypervisor.Driver](b.Context(), self(b), LaunchOptions{
		Args: []string{"play=hypervisor"}, RestartAfter: time.Nanosecond, RestartMost: time.Nanosecond, Observe: func(c Change) { changes <- c },
	})
	require.NoError(b, err)
	defer d.Close()
	<-changes
	p, _ := Of(d)
	var notice, again time.Duration
	for b.Loop() {
		start := time.Now()
		require.NoError(b, syscall.Kill(p.PID(), syscall.SIGKILL))
		<-changes
		notice += time.Since(start)
		<-changes
		again += time.Since(start)
	}
	b.ReportMetric(float64(notice.Microseconds())/float64(b.N), "µs-notice/op")
	b.ReportMetric(float64(again.Microseconds())/float64(b.N), "µs-again/op")
}

// BenchmarkStream measures bulk bytes through a plugin's sockets.
func BenchmarkStream(b *testing.B) {
	d := play[blob.Driver](b, "blob", LaunchOptions{Dir: filepath.Join(b.TempDir(), "blobs")})
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<20)
	b.SetBytes(int64(len(content)))
	_, err := d.Put(b.Context(), "o", bytes.NewReader(content), int64(len(content)))
	require.NoError(b, err)
	for b.Loop() {
		r, err := d.Get(b.Context(), "o", 0, -1)
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, r)
		require.NoError(b, err)
		require.NoError(b, r.Close())
	}
}
