package inspect

import (
	"errors"
	"math"
)

const (
	// headSize is what is kept from the start of each stream: the ISO and UDF
	// descriptors at 32 KiB with some room after them.
	headSize = 68 << 10
	// tailSize is what is kept from the end: the footer marker, footer and
	// end-of-stream marker of a VMDK; a VHD's footer is within.
	tailSize = 1536
	// budget bounds what headers can make an Inspector keep.
	budget = 4 << 20
)

var (
	// errPending: the range has not streamed by yet.
	errPending = errors.New("range not seen yet")
	// errShort: the file ends before the range does.
	errShort = errors.New("the file ends too early")
	// errBehind: the range streamed by before a header asked for it.
	errBehind = errors.New("a header refers to an earlier, unrelated place in the file")
	// errGreedy: the headers ask for more than the budget.
	errGreedy = errors.New("the headers are too large")
)

// Inspector looks at a stream of bytes as it goes by. It never fails the
// stream, keeps less than five MiB whatever comes, and costs next to nothing
// once the headers have passed. The zero value is not usable; call [New]. It is
// not safe for concurrent use.
type Inspector struct {
	pos      int64
	windows  []*window // windows[0] is the head
	waiting  int       // windows that are not full
	spent    int       // bytes that windows asked for
	probes   []probe
	tail     []byte // the last bytes, at least tailSize of them if there were so many
	finished bool
	info     Info
}

// window is a range of the stream that somebody wants.
type window struct {
	off   int64
	n     int
	buf   []byte // what has come of it
	owner *probe // nil: the head, which is everybody's
}

func (w *window) end() int64 { return w.off + int64(w.n) }
func (w *window) full() bool { return len(w.buf) == w.n }

// holds reports whether the window has the bytes [off, end).
func (w *window) holds(off, end int64) bool {
	return off >= w.off && end <= w.off+int64(len(w.buf))
}

// probe is one format's parser and how far it got.
type probe struct {
	format Format
	parse  parser
	done   bool
	found  finding
}

// New returns an Inspector at the start of a stream.
func New() *Inspector {
	ins := &Inspector{
		windows: []*window{{n: headSize}},
		waiting: 1,
		tail:    make([]byte, 0, 4*tailSize),
	}
	for _, f := range formats() {
		ins.probes = append(ins.probes, probe{format: f.format, parse: f.parse})
	}
	return ins
}

// Write takes the next bytes of the stream. It keeps none of p and returns
// len(p) and no error, unless the stream was finished before.
func (ins *Inspector) Write(p []byte) (int, error) {
	if ins.finished {
		return 0, errors.New("inspect: write after Finish")
	}
	ins.keepTail(p)
	ins.advance(p)
	return len(p), nil
}

// advance hands the bytes to the windows, piece by piece so that a parser runs
// at the same place of the stream however the stream is cut into writes.
func (ins *Inspector) advance(p []byte) {
	for len(p) > 0 {
		if ins.waiting == 0 {
			ins.pos += int64(len(p))
			return
		}
		n := int64(len(p))
		for _, w := range ins.windows {
			if !w.full() {
				n = min(n, w.end()-ins.pos)
			}
		}
		var ready []*window
		for _, w := range ins.windows {
			if skip := max(0, w.off-ins.pos); !w.full() && skip < n {
				w.buf = append(w.buf, p[skip:n]...)
				if w.full() {
					ready = append(ready, w)
				}
			}
		}
		ins.pos += n
		ins.waiting -= len(ready)
		p = p[n:]
		for _, w := range ready {
			if w.owner != nil {
				ins.run(w.owner, false)
				continue
			}
			for i := range ins.probes {
				ins.run(&ins.probes[i], false)
			}
		}
	}
}

// run lets a probe look again, and drops its windows when it needs no more.
func (ins *Inspector) run(pr *probe, final bool) {
	if pr.done {
		return
	}
	var found finding
	err := pr.parse(&view{ins: ins, owner: pr, final: final}, &found)
	if err != nil && !final && errors.Is(err, errPending) {
		return
	}
	if err != nil {
		found.problem(Malformed, "%v", err)
	}
	pr.done, pr.found = true, found
	kept := ins.windows[:1]
	for _, w := range ins.windows[1:] {
		if w.owner != pr {
			kept = append(kept, w)
			continue
		}
		ins.spent -= w.n
		if !w.full() {
			ins.waiting--
		}
	}
	clear(ins.windows[len(kept):])
	ins.windows = kept
}

// keepTail remembers the last bytes. The buffer is several tails long, so that
// small writes seldom move it.
func (ins *Inspector) keepTail(p []byte) {
	if len(p) >= tailSize {
		ins.tail = append(ins.tail[:0], p[len(p)-tailSize:]...)
		return
	}
	if len(ins.tail)+len(p) > cap(ins.tail) {
		n := copy(ins.tail, ins.tail[len(ins.tail)-tailSize:])
		ins.tail = ins.tail[:n]
	}
	ins.tail = append(ins.tail, p...)
}

// Finish ends the stream and says what it was. Further calls give the same
// answer.
func (ins *Inspector) Finish() Info {
	if ins.finished {
		return ins.info
	}
	ins.finished = true
	for i := range ins.probes {
		ins.run(&ins.probes[i], true)
	}
	ins.info = summarize(ins.probes, ins.pos, ins.windows[0].buf)
	ins.windows, ins.tail, ins.probes = nil, nil, nil
	return ins.info
}

// view is what a parser sees of the file.
type view struct {
	ins   *Inspector
	owner *probe
	final bool // the stream has ended
}

// at returns the n bytes at off, or errPending, errShort, errBehind or
// errGreedy. The caller must not change them.
func (v *view) at(off int64, n int) ([]byte, error) { return v.read(off, n, false) }

// upTo is at, but takes fewer bytes when the file ends earlier.
func (v *view) upTo(off int64, n int) ([]byte, error) { return v.read(off, n, true) }

func (v *view) read(off int64, n int, orFewer bool) ([]byte, error) {
	ins := v.ins
	if off < 0 || n < 0 || off > math.MaxInt64-int64(n) {
		return nil, errShort
	}
	end := off + int64(n)
	for _, w := range ins.windows {
		if w.holds(off, end) {
			return w.buf[off-w.off : end-w.off], nil
		}
	}
	if v.final {
		if end <= ins.pos {
			return nil, errBehind
		}
		if !orFewer {
			return nil, errShort
		}
		if off >= ins.pos {
			return nil, nil
		}
		for _, w := range ins.windows {
			if w.holds(off, ins.pos) {
				return w.buf[off-w.off:], nil
			}
		}
		return nil, errBehind
	}
	for _, w := range ins.windows {
		if w.owner == v.owner && off >= w.off && end <= w.end() {
			return nil, errPending
		}
	}
	if n > budget-ins.spent {
		return nil, errGreedy
	}
	w := &window{off: off, n: n, owner: v.owner}
	if off < ins.pos {
		from := ins.covering(off, ins.pos)
		if from == nil {
			return nil, errBehind
		}
		w.buf = append(w.buf, from.buf[off-from.off:]...)
	}
	ins.windows = append(ins.windows, w)
	ins.waiting++
	ins.spent += n
	return nil, errPending
}

func (ins *Inspector) covering(off, end int64) *window {
	for _, w := range ins.windows {
		if w.holds(off, end) {
			return w
		}
	}
	return nil
}

// last returns the last n bytes of the file, n at most tailSize; errPending
// until the stream has ended.
func (v *view) last(n int) ([]byte, error) {
	if !v.final {
		return nil, errPending
	}
	if len(v.ins.tail) < n {
		return nil, errShort
	}
	return v.ins.tail[len(v.ins.tail)-n:], nil
}
