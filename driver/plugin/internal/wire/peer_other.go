//go:build !linux

package wire

import "net"

// checkPeer: elsewhere the socket's directory and random name must do.
func checkPeer(*net.UnixConn, int) error { return nil }
