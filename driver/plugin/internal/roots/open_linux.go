package roots

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openBeneath opens rest below root. The root itself is the operator's and may
// lie behind a link.
func openBeneath(root, rest string) (*os.File, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	how := &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(dir, rest, how)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) { // a rename somewhere on the way
			continue
		}
		if err != nil {
			return nil, err
		}
		return os.NewFile(uintptr(fd), root+"/"+rest), nil
	}
}
