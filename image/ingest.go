package image

import (
	"crypto/md5" //nolint:gosec // the API's checksum
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"sync"
	"sync/atomic"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/image/inspect"
)

const (
	// chunkSize is how much is read, hashed and written at a time. It fits a
	// core's cache, so that whoever comes second reads it from there.
	chunkSize = 256 << 10
	// chunkQueue is how many chunks a hash may lag behind.
	chunkQueue = 8
)

// chunk is a piece of a body that several goroutines read.
type chunk struct {
	buf  []byte
	n    int
	refs atomic.Int32
}

// ingest passes a body on to whoever reads it, and learns all there is to know
// of it on the way: two goroutines hash while the reader writes.
type ingest struct {
	body  io.Reader
	max   int64
	want  int64                    // what the sender announced, or -1
	check func(inspect.Info) error // nil: the content is not looked at
	ins   *inspect.Inspector
	pool  *sync.Pool

	size  int64
	info  inspect.Info
	cur   *chunk
	off   int
	err   error
	lanes [2]lane
	wg    sync.WaitGroup
	once  sync.Once
}

type lane struct {
	hash hash.Hash
	in   chan *chunk
}

// newIngest begins; stop must be called.
func (s *Service) newIngest(body io.Reader, want int64, check func(inspect.Info) error) *ingest {
	g := &ingest{body: body, want: want, max: s.cfg.Limits.ImageSize, check: check, pool: &s.chunks}
	if check != nil {
		g.ins = inspect.New()
	}
	g.lanes[0].hash, g.lanes[1].hash = md5.New(), sha512.New() //nolint:gosec // the API's checksum
	for i := range g.lanes {
		l := &g.lanes[i]
		l.in = make(chan *chunk, chunkQueue)
		g.wg.Go(func() {
			for c := range l.in {
				l.hash.Write(c.buf[:c.n])
				g.release(c)
			}
		})
	}
	return g
}

// Read implements io.Reader. At the end of the body the content is judged, so
// that what is refused is never stored.
func (g *ingest) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if g.cur == nil {
			if g.err == nil {
				g.next()
			}
			if g.cur == nil {
				break
			}
		}
		m := copy(p[n:], g.cur.buf[g.off:g.cur.n])
		n, g.off = n+m, g.off+m
		if g.off == g.cur.n {
			g.release(g.cur)
			g.cur, g.off = nil, 0
		}
	}
	if n > 0 || len(p) == 0 {
		return n, nil
	}
	return 0, g.err
}

// next takes the next chunk of the body, or notes why there is none.
func (g *ingest) next() {
	c := g.pool.Get().(*chunk)
	c.n = 0
	for c.n < len(c.buf) && g.err == nil {
		var m int
		m, g.err = g.body.Read(c.buf[c.n:])
		c.n += m
	}
	g.size += int64(c.n)
	switch {
	case g.size > g.max:
		g.err = nephos.Errorf(nephos.ErrTooLarge, "The incoming image is too large: The provided image is too large.")
		c.n = 0
	case g.err != nil && !errors.Is(g.err, io.EOF):
		c.n = 0
	}
	if g.ins != nil && c.n > 0 {
		_, _ = g.ins.Write(c.buf[:c.n])
	}
	if errors.Is(g.err, io.EOF) {
		if err := g.judge(); err != nil {
			g.err, c.n = err, 0
		}
	}
	if c.n == 0 {
		g.pool.Put(c)
		return
	}
	c.refs.Store(int32(len(g.lanes)) + 1)
	for i := range g.lanes {
		g.lanes[i].in <- c
	}
	g.cur = c
}

// judge says what speaks against the body, which has ended.
func (g *ingest) judge() error {
	if g.want >= 0 && g.size != g.want {
		return nephos.Errorf(nephos.ErrInvalid, "The image data ended after %d of %d bytes.", g.size, g.want)
	}
	if g.ins == nil {
		return nil
	}
	g.info = g.ins.Finish()
	return g.check(g.info)
}

func (g *ingest) release(c *chunk) {
	if c.refs.Add(-1) == 0 {
		g.pool.Put(c)
	}
}

// stop ends the goroutines, once they have hashed all that was read.
func (g *ingest) stop() {
	g.once.Do(func() {
		for i := range g.lanes {
			close(g.lanes[i].in)
		}
		g.wg.Wait()
		if g.cur != nil {
			g.release(g.cur)
			g.cur = nil
		}
	})
}

// sums returns the MD5 and the SHA-512 in hex.
func (g *ingest) sums() (string, string) {
	g.stop()
	return hex.EncodeToString(g.lanes[0].hash.Sum(nil)), hex.EncodeToString(g.lanes[1].hash.Sum(nil))
}
