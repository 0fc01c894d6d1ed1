package plugin

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzHandshake(f *testing.F) {
	f.Add("1|1|unix|/run/x/s|grpc|" + string(make([]byte, 60)))
	f.Add("1|1|unix|/run/x/../y/s|grpc|")
	f.Fuzz(func(t *testing.T, line string) {
		socket, err := parseHandshake(line, "/run/x")
		if err == nil {
			require.Equal(t, "/run/x", filepath.Dir(socket))
		} else {
			require.Less(t, len(err.Error()), 3000)
		}
	})
}
