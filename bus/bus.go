// Package bus carries bytes between the controllers and the hosts' agents:
// desired state out, reports back, short questions and streams. What travels is
// encoded even inside one process, so that one process and many behave alike.
//
// A bus keeps nothing that matters: it may be emptied or restarted at any
// moment. The controllers' database is the record, and they publish again when
// [Bus.Lost] tells them to or an agent starts.
package bus

import (
	"context"
	"io"
)

// Bus is the connection of one process. Keys are chosen by the sender.
type Bus interface {
	// Put sets a host's key to the value, for the host's watcher now and for one
	// that comes later. Those who send a key's values may overtake one another on
	// the way here: where a newer version is, it stays, and that is no error. The
	// same version again is told to the watcher again.
	Put(ctx context.Context, host, key string, v Version, value []byte) error
	// Delete forgets a key unless its version is newer. It tells the watcher
	// nothing: absence never destroys.
	Delete(ctx context.Context, host, key string, v Version) error
	// Watch opens the host's desired state: first all there is, then changes.
	Watch(ctx context.Context, host string) (Watcher, error)

	// Report sends bytes from a host to the controllers. It returns once the bus
	// holds them; delivery is at least once, and in order for each host and key.
	Report(ctx context.Context, host, key string, value []byte) error
	// Reports delivers reports until ctx ends, several at a time. A report whose
	// handler fails is delivered again, and holds up later ones of the same host
	// and key meanwhile.
	Reports(ctx context.Context, handle func(ctx context.Context, host string, value []byte) error) error

	// Ask puts a question to a host and waits for the answer.
	Ask(ctx context.Context, host, question string, in []byte) ([]byte, error)
	// Dial opens a stream to a host.
	Dial(ctx context.Context, host, question string, in []byte) (io.ReadWriteCloser, error)
	// Serve answers a host's questions and streams until stop is called.
	Serve(ctx context.Context, host string, h Handler) (stop func(), err error)

	// Lost receives when desired state may have been lost and must be published
	// again.
	Lost() <-chan struct{}
}

// Version orders the values of a key, by its epoch first.
type Version struct{ Epoch, Revision int64 }

// Before reports whether v is older than w.
func (v Version) Before(w Version) bool {
	return v.Epoch < w.Epoch || v.Epoch == w.Epoch && v.Revision < w.Revision
}

// Watcher reads a host's desired state. Changes to one key that come faster than
// they are read arrive as the last one.
type Watcher interface {
	// Next waits for at least one entry and returns all that are waiting, in the
	// order in which their keys first changed.
	Next(ctx context.Context) ([]Entry, error)
	// Ready receives when Next would not wait, for a caller that waits for
	// several things.
	Ready() <-chan struct{}
	Close()
}

// Entry is a key with its value.
type Entry struct {
	Key   string
	Value []byte
}

// Handler is a host's side of questions and streams.
type Handler interface {
	Answer(ctx context.Context, question string, in []byte) ([]byte, error)
	Stream(ctx context.Context, question string, in []byte) (io.ReadWriteCloser, error)
}
