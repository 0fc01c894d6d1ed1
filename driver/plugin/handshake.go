package plugin

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/nephos-cloud/nephos"
)

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
