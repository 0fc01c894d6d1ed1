package qmp

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Dial connects to a unix socket in a directory of any length: the addresses of
// unix sockets hold 107 bytes.
func Dial(ctx context.Context, dir, name string) (*net.UnixConn, error) {
	at, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", at.Fd(), name))
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}
