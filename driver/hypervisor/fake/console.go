package fake

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// maxConsole bounds a console log; older bytes are dropped.
const maxConsole = 1 << 20

// console is a guest's serial log. Lines of a boot wait in pending until the
// clock has reached them.
type console struct {
	log     []byte
	pending []line
}

type line struct {
	at   time.Time
	text string
}

func (c *console) boot(text string, now time.Time, took time.Duration) {
	c.pending = nil
	lines := strings.SplitAfter(text, "\n")
	for i, l := range lines {
		at := now.Add(took * time.Duration(i+1) / time.Duration(len(lines)))
		c.pending = append(c.pending, line{at, l})
	}
	c.reach(now)
}

// reach writes the lines whose time has come.
func (c *console) reach(now time.Time) {
	for len(c.pending) > 0 && !c.pending[0].at.After(now) {
		c.write(c.pending[0].text)
		c.pending = c.pending[1:]
	}
}

// cut ends the power: what was not written yet never will be.
func (c *console) cut(now time.Time) {
	c.reach(now)
	c.pending = nil
	if n := len(c.log); n > 0 && c.log[n-1] != '\n' {
		c.write("\r\n")
	}
}

func (c *console) write(text string) {
	c.log = append(c.log, text...)
	if over := len(c.log) - maxConsole; over > 0 {
		c.log = append(c.log[:0], c.log[over:]...)
	}
}

// stream is one end of a console: what is written comes back as from a terminal
// with a login prompt (serial) or as it is (VNC).
type stream struct {
	owner  *Driver
	kind   hypervisor.ConsoleKind
	prompt string
	forget func()
	mu     sync.Mutex
	ready  sync.Cond
	buf    []byte
	ended  bool
	closed bool
}

func newStream(owner *Driver, kind hypervisor.ConsoleKind, prompt string, forget func()) *stream {
	s := &stream{owner: owner, kind: kind, prompt: prompt, forget: forget}
	s.ready.L = &s.mu
	switch kind {
	case hypervisor.VNC:
		s.buf = []byte("RFB 003.008\n")
	case hypervisor.Serial:
		s.buf = []byte(prompt)
	}
	return s
}

func (s *stream) put(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.buf)+len(b) <= maxConsole { // a reader that sleeps loses the rest
		s.buf = append(s.buf, b...)
	}
	s.ready.Broadcast()
}

// end cuts the stream, as a guest that stops does.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.ready.Broadcast()
}

// Read implements io.Reader: io.EOF once the guest is off.
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.buf) == 0 && !s.ended && !s.closed {
		s.ready.Wait()
	}
	switch {
	case s.closed:
		return 0, net.ErrClosed
	case len(s.buf) == 0:
		return 0, io.EOF
	}
	n := copy(p, s.buf)
	s.buf = s.buf[n:]
	return n, nil
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	off := s.ended || s.closed
	s.mu.Unlock()
	if off {
		return 0, fmt.Errorf("write to console: %w", net.ErrClosed)
	}
	if s.kind != hypervisor.Serial {
		s.put(p)
		return len(p), nil
	}
	answer := strings.ReplaceAll(string(p), "\n", "\r\n"+s.prompt)
	s.put([]byte(answer))
	return len(p), nil
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.mu.Lock()
	s.closed = true
	s.ready.Broadcast()
	s.mu.Unlock()
	s.forget()
	return nil
}
