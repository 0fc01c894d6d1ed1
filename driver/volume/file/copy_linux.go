package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// reflink has dst share src's blocks, at one moment.
func reflink(dst, src *os.File) error {
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd()))
}

// nextData returns the first range with data from off on; (size, size) if there
// is none. A file system that does not tell has data everywhere.
func nextData(f *os.File, off, size int64) (from, to int64, err error) {
	from, err = unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size, size, nil
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP):
		return off, size, nil
	case err != nil:
		return 0, 0, err
	}
	to, err = unix.Seek(int(f.Fd()), from, unix.SEEK_HOLE)
	if errors.Is(err, unix.ENXIO) {
		return min(from, size), size, nil
	}
	return min(from, size), min(to, size), err
}

// punch makes a hole, or writes zeros where there are no holes.
func punch(f *os.File, off, n int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return writeZeros(f, off, n)
	}
	return err
}

// diskSpace returns the size of the file system and what is free, in GiB.
func diskSpace(dir string) (total, free float64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	unit := float64(st.Bsize) / gibibyte
	return float64(st.Blocks) * unit, float64(st.Bavail) * unit, nil
}

// isTooBig reports whether the error says that no file can be so large here.
func isTooBig(err error) bool { return errors.Is(err, unix.EFBIG) }
