package inspect

import (
	"fmt"
	"io"
)

// File inspects a file of the given size in bytes. It reads headers and the
// end only, and gives what an [Inspector] would give for the whole stream. The
// error is one of reading, never a verdict; see [Check] for that.
func File(r io.ReaderAt, size int64) (Info, error) {
	if size < 0 {
		return Info{}, fmt.Errorf("inspecting a file: negative size %d", size)
	}
	ins := New()
	buf := make([]byte, headSize)
	for ins.waiting > 0 {
		start, end := size, size
		for _, w := range ins.windows {
			if off := max(w.off, ins.pos); !w.full() && off < start {
				start, end = off, min(w.end(), size)
			}
		}
		if start >= size {
			break
		}
		p := buf[:min(int64(len(buf)), end-start)]
		if err := readFull(r, p, start); err != nil {
			return Info{}, err
		}
		ins.pos = start
		ins.advance(p)
	}
	ins.pos = size
	ins.tail = ins.tail[:min(tailSize, size)]
	if err := readFull(r, ins.tail, size-int64(len(ins.tail))); err != nil {
		return Info{}, err
	}
	return ins.Finish(), nil
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("inspecting a file: reading %d bytes at %d: %w", len(p), off, err)
}
