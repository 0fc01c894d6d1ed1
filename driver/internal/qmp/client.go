// Package qmp is a client of QEMU's machine protocol over a unix socket: one
// command at a time or many, each with its own deadline, file descriptors sent
// along, and events.
//
//	c, err := qmp.New(ctx, conn, func(e qmp.Event) { … })
//	err = c.Execute(ctx, "query-status", nil, &status)
//
// QEMU is not trusted: messages are bounded and anything unexpected ends the
// connection.
package qmp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrClosed is the error of commands on a connection that has ended.
var ErrClosed = errors.New("QMP connection closed")

// Client is one connection. It is safe for concurrent use.
type Client struct {
	conn    *net.UnixConn
	onEvent func(Event)
	done    chan struct{}

	write sync.Mutex // one command's bytes at a time
	mu    sync.Mutex
	next  uint64
	wait  map[uint64]chan message
	err   error
}

// New greets QEMU and returns a client that owns the connection. onEvent is
// called for each event, in order, from the goroutine that reads: it must not
// block nor execute commands. The context bounds the greeting only.
func New(ctx context.Context, conn *net.UnixConn, onEvent func(Event)) (*Client, error) {
	c := &Client{conn: conn, onEvent: onEvent, done: make(chan struct{}), wait: make(map[uint64]chan message)}
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 4096), maxLine)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	err := greet(lines)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("greet QEMU: %w", err)
	}
	go c.read(lines)
	if err := c.Execute(ctx, "qmp_capabilities", nil, nil); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func greet(lines *bufio.Scanner) error {
	if !lines.Scan() {
		if err := lines.Err(); err != nil {
			return err
		}
		return io.ErrUnexpectedEOF
	}
	m, err := parse(lines.Bytes())
	if err == nil && !m.greeting {
		err = errors.New("it did not greet")
	}
	return err
}

func (c *Client) read(lines *bufio.Scanner) {
	err := ErrClosed
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		m, perr := parse(bytes.Clone(lines.Bytes()))
		if perr != nil {
			err = perr
			break
		}
		if m.event != nil {
			if c.onEvent != nil {
				c.onEvent(*m.event)
			}
			continue
		}
		c.mu.Lock()
		answer := c.wait[m.id]
		delete(c.wait, m.id)
		c.mu.Unlock()
		if answer != nil { // else: whoever asked has given up
			answer <- m
		}
	}
	if lerr := lines.Err(); lerr != nil && !errors.Is(lerr, net.ErrClosed) {
		err = fmt.Errorf("%w: %w", ErrClosed, lerr)
	}
	_ = c.conn.Close()
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	close(c.done)
}

// Done is closed when the connection has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// Close ends the connection and waits for the reading goroutine.
func (c *Client) Close() error {
	_ = c.conn.Close()
	<-c.done
	return nil
}

// Execute runs a command and decodes its answer into result, unless that is
// nil. A refusal is an [*Error]. When ctx ends first the command may still be
// carried out.
func (c *Client) Execute(ctx context.Context, command string, args, result any) error {
	return c.ExecuteFile(ctx, command, args, result, nil)
}

// ExecuteFile is [Client.Execute] with an open file sent along, for getfd and
// add-fd. The caller keeps and closes its own descriptor.
func (c *Client) ExecuteFile(ctx context.Context, command string, args, result any, file *os.File) error {
	fail := func(err error) error { return fmt.Errorf("execute %s: %w", command, err) }
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	answer := make(chan message, 1)
	c.mu.Lock()
	c.next++
	id := c.next
	c.wait[id] = answer
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.wait, id)
		c.mu.Unlock()
	}()
	request := struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        uint64 `json:"id"`
	}{command, args, id}
	line, err := json.Marshal(request)
	if err != nil {
		return fail(err)
	}
	if err := c.send(ctx, append(line, '\n'), file); err != nil {
		return fail(err)
	}
	var m message
	select {
	case m = <-answer:
	case <-ctx.Done():
		return fail(ctx.Err())
	case <-c.done:
		select {
		case m = <-answer: // it came just before the end
		default:
			c.mu.Lock()
			defer c.mu.Unlock()
			return fail(c.err)
		}
	}
	if m.refusal != nil {
		return fail(m.refusal)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(m.result, result); err != nil {
		return fail(fmt.Errorf("decode the answer: %w", err))
	}
	return nil
}

// send writes one command whole. A write cut short by the context leaves half a
// command behind, so it ends the connection.
func (c *Client) send(ctx context.Context, line []byte, file *os.File) error {
	c.write.Lock()
	defer c.write.Unlock()
	_ = c.conn.SetWriteDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var oob []byte
	if file != nil {
		oob = unix.UnixRights(int(file.Fd()))
	}
	n, _, err := c.conn.WriteMsgUnix(line, oob, nil)
	if err == nil && n < len(line) {
		_, err = c.conn.Write(line[n:])
	}
	if err != nil {
		_ = c.conn.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	return nil
}
