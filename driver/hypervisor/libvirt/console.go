//go:build libvirt

package libvirt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
	virt "libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// Console implements hypervisor.Consoler. Any number of VNC and SPICE streams
// show the same screen. The serial port serves one stream at a time: a further
// one waits until those before it are closed, or, where libvirt carries the
// stream, ends the one before it.
func (d *Driver) Console(ctx context.Context, id string, kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	attempt := fmt.Sprintf("open the %.20s console of", kind)
	return look(ctx, d, attempt, id, func(w *work) (io.ReadWriteCloser, error) {
		_, state, err := w.now()
		if err != nil {
			return nil, err
		}
		if state != hypervisor.Running && state != hypervisor.Paused {
			return nil, fmt.Errorf("it is %s: %w", state, nephos.ErrConflict)
		}
		var c io.ReadWriteCloser
		switch kind {
		case hypervisor.Serial:
			c, err = w.serial()
		case hypervisor.VNC, hypervisor.SPICE:
			c, err = w.graphics(kind)
		default:
			err = errors.ErrUnsupported
		}
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil { // nobody is there to take it
			return nil, errors.Join(ctx.Err(), c.Close())
		}
		return c, nil
	})
}

// live is the domain as it runs.
func (w *work) live() (*libvirtxml.Domain, error) {
	text, err := w.dom.GetXMLDesc(0)
	if err != nil {
		return nil, err
	}
	live := &libvirtxml.Domain{}
	if err := live.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("read a domain's XML: %w", err)
	}
	if live.Devices == nil {
		live.Devices = &libvirtxml.DomainDeviceList{}
	}
	return live, nil
}

// graphics has libvirt hand us one end of a fresh pair of sockets, whose other
// end QEMU serves: nothing listens anywhere.
func (w *work) graphics(kind hypervisor.ConsoleKind) (io.ReadWriteCloser, error) {
	live, err := w.live()
	if err != nil {
		return nil, err
	}
	for i, g := range live.Devices.Graphics {
		if kind == hypervisor.VNC && g.VNC == nil || kind == hypervisor.SPICE && g.Spice == nil {
			continue
		}
		f, err := w.dom.OpenGraphicsFD(uint(i), virt.DOMAIN_OPEN_GRAPHICS_SKIPAUTH)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		conn, err := net.FileConn(f)
		if err != nil {
			return nil, err
		}
		return socket{conn}, nil
	}
	return nil, fmt.Errorf("it has none: %w", errors.ErrUnsupported)
}

// socket is a console whose end is always io.EOF: the kernel says "connection
// reset" when QEMU ended before it had read all.
type socket struct{ net.Conn }

func (s socket) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	if errors.Is(err, unix.ECONNRESET) {
		err = io.EOF
	}
	return n, err
}

// serial opens the first serial port: the socket that its hypervisor serves it
// at, else a stream through libvirt's connection.
func (w *work) serial() (io.ReadWriteCloser, error) {
	live, err := w.live()
	if err != nil {
		return nil, err
	}
	if path := serialSocket(live); path != "" {
		var d net.Dialer
		conn, err := d.DialContext(w.ctx, "unix", path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", nephos.ErrUnavailable, err)
		}
		return socket{conn}, nil
	}
	st, err := w.conn.NewStream(virt.STREAM_NONBLOCK)
	if err != nil {
		return nil, err
	}
	err = w.dom.OpenConsole("", st, virt.DOMAIN_CONSOLE_FORCE)
	if is(err, virt.ERR_INVALID_ARG) { // a driver that knows no force
		err = w.dom.OpenConsole("", st, 0)
	}
	if err != nil {
		_ = st.Free()
		return nil, err
	}
	s := &stream{l: w.l, st: st, events: virt.STREAM_EVENT_READABLE}
	s.wake = sync.NewCond(&s.mu)
	if err := st.EventAddCallback(s.events, s.event); err != nil {
		_ = st.Abort()
		_ = st.Free()
		return nil, err
	}
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	if w.l.streams == nil {
		w.l.streams = make(map[*stream]struct{})
	}
	w.l.streams[s] = struct{}{}
	return s, nil
}

// serialSocket is where a running domain's first serial port is served; empty
// when it is not a socket.
func serialSocket(live *libvirtxml.Domain) string {
	if len(live.Devices.Serials) == 0 || live.Devices.Serials[0].Source == nil || live.Devices.Serials[0].Source.UNIX == nil {
		return ""
	}
	return live.Devices.Serials[0].Source.UNIX.Path
}

// maxAhead is how much a stream takes in before somebody reads it.
const maxAhead = 256 << 10

// stream is a two-way stream of libvirt's. It is fed by the event loop.
type stream struct {
	l *link

	mu       sync.Mutex
	wake     *sync.Cond
	st       *virt.Stream // nil when closed
	events   virt.StreamEventType
	got      []byte
	writable bool
	ended    bool
	closed   bool
}

// event runs in the event loop.
func (s *stream) event(st *virt.Stream, events virt.StreamEventType) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wake.Broadcast()
	if s.st == nil {
		return
	}
	if events&virt.STREAM_EVENT_READABLE != 0 {
		buf := make([]byte, 16<<10)
		for len(s.got) < maxAhead {
			n, err := st.Recv(buf)
			if err != nil {
				s.ended = true
				break
			}
			if n < 0 {
				break // no more for now
			}
			s.got = append(s.got, buf[:n]...)
		}
	}
	if events&virt.STREAM_EVENT_WRITABLE != 0 {
		s.writable = true
	}
	if events&(virt.STREAM_EVENT_ERROR|virt.STREAM_EVENT_HANGUP) != 0 {
		s.ended = true
	}
	s.want(st)
}

// want tells the event loop what we wait for. The caller holds the mutex.
func (s *stream) want(st *virt.Stream) {
	var events virt.StreamEventType
	if len(s.got) < maxAhead && !s.ended {
		events |= virt.STREAM_EVENT_READABLE
	}
	if !s.writable && !s.ended {
		events |= virt.STREAM_EVENT_WRITABLE
	}
	if events != s.events {
		s.events = events
		_ = st.EventUpdateCallback(events)
	}
}

// Read implements io.Reader. The console's end, however it came, is io.EOF.
func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.got) == 0 && !s.ended && !s.closed {
		s.wake.Wait()
	}
	switch {
	case s.closed:
		return 0, net.ErrClosed
	case len(s.got) == 0:
		return 0, io.EOF
	}
	n := copy(p, s.got)
	s.got = s.got[n:]
	if s.st != nil {
		s.want(s.st)
	}
	return n, nil
}

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for written < len(p) {
		switch {
		case s.closed:
			return written, net.ErrClosed
		case s.ended || s.st == nil:
			return written, io.ErrClosedPipe
		}
		n, err := s.st.Send(p[written:])
		if err != nil {
			s.ended = true
			continue
		}
		if n >= 0 {
			written += n
			continue
		}
		s.writable = false
		s.want(s.st)
		for !s.writable && !s.ended && !s.closed {
			s.wake.Wait()
		}
	}
	return written, nil
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.l.mu.Lock()
	delete(s.l.streams, s)
	s.l.mu.Unlock()
	s.mu.Lock()
	st := s.st
	s.st, s.closed = nil, true
	s.wake.Broadcast()
	s.mu.Unlock()
	if st == nil {
		return nil
	}
	_ = st.EventRemoveCallback()
	_ = st.Abort() // fails where it has ended already
	return st.Free()
}

// end ends the stream when its connection goes.
func (s *stream) end() {
	s.mu.Lock()
	s.ended = true
	st := s.st
	s.st = nil
	s.wake.Broadcast()
	s.mu.Unlock()
	if st != nil {
		_ = st.EventRemoveCallback()
		_ = st.Abort()
		_ = st.Free()
	}
}
