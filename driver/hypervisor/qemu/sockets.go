package qemu

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// listen makes a listening unix socket in a directory of any length and returns
// it for a child to inherit.
func listen(dir, name string) (*os.File, error) {
	at, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer at.Close()
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: short(at, name)}); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("bind %s: %w", name, err)
	}
	if err := unix.Listen(fd, 8); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("listen on %s: %w", name, err)
	}
	return f, nil
}

// short names a file by its directory's descriptor: addresses of unix sockets
// hold 108 bytes.
func short(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

// socketPair returns two connected sockets: one to keep, one to give away.
func socketPair() (keep net.Conn, give *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	mine, give := os.NewFile(uintptr(fds[0]), "console"), os.NewFile(uintptr(fds[1]), "console")
	keep, err = net.FileConn(mine)
	_ = mine.Close()
	if err != nil {
		_ = give.Close()
		return nil, nil, err
	}
	return keep, give, nil
}
