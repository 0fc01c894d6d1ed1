//go:build ceph

package ceph

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rados"
	"github.com/ceph/go-ceph/rbd"

	"github.com/nephos-cloud/nephos"
)

// Pool is a connection to one namespace of one pool. It is safe for concurrent
// use. The library's calls cannot be interrupted: Do lets the caller go when its
// context ends, and the call end by itself, which the configured timeout bounds.
type Pool struct {
	cfg  Config
	conn *rados.Conn
	IO   *rados.IOContext
	FSID string

	mu     sync.Mutex
	users  int // calls and readers, and one until Close
	closed bool
}

// Open connects.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	conn, err := rados.NewConnWithUser(cfg.User)
	if err != nil {
		return nil, Meaning(err)
	}
	p := &Pool{cfg: cfg, conn: conn, users: 1}
	if err := p.Do(ctx, p.connect); err != nil {
		p.Close()
		return nil, fmt.Errorf("connecting to the Ceph cluster: %w", err)
	}
	return p, nil
}

func (p *Pool) connect() error {
	if p.cfg.ConfFile != "" {
		if err := p.conn.ReadConfigFile(p.cfg.ConfFile); err != nil {
			return fmt.Errorf("reading %s: %w", p.cfg.ConfFile, Meaning(err))
		}
	}
	seconds := strconv.Itoa(max(1, int(p.cfg.Timeout.Seconds())))
	options := [][2]string{
		{"client_mount_timeout", seconds},
		{"rados_mon_op_timeout", seconds},
		{"rados_osd_op_timeout", seconds},
		{"log_to_stderr", "false"},
		{"log_file", ""},
		{"admin_socket", ""},
		// Copies share what they have in common, and the original's snapshot may
		// go while they last.
		{"rbd_default_clone_format", "2"},
	}
	if len(p.cfg.Monitors) > 0 {
		options = append(options, [2]string{"mon_host", strings.Join(p.cfg.Monitors, ",")})
	}
	if p.cfg.Key != "" {
		options = append(options, [2]string{"key", p.cfg.Key})
	}
	for _, o := range options {
		if err := p.conn.SetConfigOption(o[0], o[1]); err != nil {
			return fmt.Errorf("setting %s: %w", o[0], Meaning(err))
		}
	}
	if err := p.conn.Connect(); err != nil {
		if Is(err, EPERM) || Is(err, EACCES) || Is(err, EINVAL) {
			return fmt.Errorf("the cluster refuses client.%s; check user and key: %w", p.cfg.User, err)
		}
		return fmt.Errorf("%w: %w", nephos.ErrUnavailable, err)
	}
	var err error
	if p.FSID, err = p.conn.GetFSID(); err != nil {
		return Meaning(err)
	}
	if p.IO, err = p.conn.OpenIOContext(p.cfg.Pool); err != nil {
		if Is(err, ENOENT) {
			return nephos.Errorf(nephos.ErrInvalid, "pool %s does not exist: make it with ceph osd pool create, and enable rbd on it", p.cfg.Pool).WithField("pool")
		}
		return Meaning(err)
	}
	if p.cfg.Namespace != "" {
		if err := rbd.NamespaceCreate(p.IO, p.cfg.Namespace); err != nil && !Is(err, EEXIST) {
			return fmt.Errorf("making namespace %s: %w", p.cfg.Namespace, Meaning(err))
		}
		p.IO.SetNamespace(p.cfg.Namespace)
	}
	return nil
}

// Config returns the configuration with its defaults.
func (p *Pool) Config() Config { return p.cfg }

// Enter keeps the connection until the function that it returns is called.
func (p *Pool) Enter() (leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nephos.Errorf(nephos.ErrUnavailable, "the driver is closed")
	}
	p.users++
	return p.leave, nil
}

func (p *Pool) leave() {
	p.mu.Lock()
	p.users--
	last := p.users == 0
	p.mu.Unlock()
	if !last {
		return
	}
	if p.IO == nil {
		p.conn.Shutdown()
		return
	}
	_ = p.conn.WatcherFlush()
	p.IO.Destroy()
	time.AfterFunc(settling*p.cfg.Timeout, p.conn.Shutdown)
}

// settling is for how many of its timeouts a connection outlives its use. librbd
// tells watchers and other clients of what it did, and tidies up after what timed
// out, when the call has long returned; and it aborts the process if the
// connection is gone by then.
const settling = 3

// Close ends the connection, once all calls and readers have ended.
func (p *Pool) Close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		p.leave()
	}
}

// Do runs a call of the library. When ctx ends first, Do returns and the call
// goes on: it must not touch what its caller owns after that.
func (p *Pool) Do(ctx context.Context, call func() error) error {
	_, err := Ask(ctx, p, func() (struct{}, error) { return struct{}{}, call() })
	return err
}

// Ask is Do for a call that returns something.
func Ask[T any](ctx context.Context, p *Pool, call func() (T, error)) (T, error) {
	var none T
	if err := ctx.Err(); err != nil {
		return none, err
	}
	leave, err := p.Enter()
	if err != nil {
		return none, err
	}
	type answer struct {
		value T
		err   error
	}
	ch := make(chan answer, 1)
	go func() {
		defer leave()
		v, err := call()
		ch <- answer{v, err}
	}()
	select {
	case a := <-ch:
		return a.value, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// Other opens another pool and namespace of the cluster, where a parent lies. The
// caller destroys it.
func (p *Pool) Other(pool, namespace string) (*rados.IOContext, error) {
	io, err := p.conn.OpenIOContext(pool)
	if err != nil {
		return nil, err
	}
	io.SetNamespace(namespace)
	return io, nil
}

// Command asks the monitors.
func (p *Pool) Command(args []byte) ([]byte, error) {
	out, _, err := p.conn.MonCommand(args)
	return out, err
}

// The numbers of errors that drivers tell apart.
const (
	EPERM     = 1
	ENOENT    = 2
	EACCES    = 13
	EBUSY     = 16
	EEXIST    = 17
	EINVAL    = 22
	ENOSPC    = 28
	EROFS     = 30
	ENOTEMPTY = 39
	ESHUTDOWN = 108
	ETIMEDOUT = 110
	EDQUOT    = 122
)

// Is tells whether the library gave that error's number.
func Is(err error, number int) bool {
	var coded interface{ ErrorCode() int }
	if !errors.As(err, &coded) {
		return false
	}
	n := coded.ErrorCode()
	return n == number || n == -number
}

// Meaning gives an error of the library its meaning. What does not exist, or
// exists, only the caller knows.
func Meaning(err error) error {
	switch {
	case err == nil:
		return nil
	case Is(err, ETIMEDOUT), Is(err, ESHUTDOWN):
		return fmt.Errorf("the Ceph cluster does not answer: %w: %w", nephos.ErrUnavailable, err)
	case Is(err, ENOSPC), Is(err, EDQUOT):
		return fmt.Errorf("%w: %w", nephos.ErrNoCapacity, err)
	case Is(err, EBUSY):
		return fmt.Errorf("it is in use; a client that died is forgotten after half a minute: %w: %w", nephos.ErrConflict, err)
	case Is(err, EPERM), Is(err, EACCES):
		return fmt.Errorf("the cluster refuses; check the user's capabilities (profile rbd): %w", err)
	}
	return err
}
