package faults

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/bus"
)

// Wire returns the bus with the set's faults on it.
func (s *Set) Wire(b bus.Bus) bus.Bus { return &wire{Bus: b, set: s} }

// wire is a bus on which messages are lost, doubled and held up.
type wire struct {
	bus.Bus
	set *Set
}

// held is what waits for a dead host to live again, in order.
type held struct{ messages []message }

type message struct {
	wire   *wire
	report bool
	host   string
	key    string
	put    bus.Version
	value  []byte
}

// maxHeld bounds what waits for one host; what is more is lost, and said to be.
const maxHeld = 10_000

// revive forgets that hosts are dead that no rule is for any more, and returns
// what waited for them. The lock is held.
func (s *Set) revive() (messages []message) {
	for host, h := range s.dead {
		dead := false
		for _, r := range s.rules {
			dead = dead || r.Point == Host && r.Host == host
		}
		if !dead {
			messages = append(messages, h.messages...)
			delete(s.dead, host)
		}
	}
	return messages
}

func (s *Set) release(messages []message) {
	ctx := context.Background()
	for _, m := range messages {
		var err error
		if m.report {
			err = m.wire.Bus.Report(ctx, m.host, m.key, m.value)
		} else {
			err = m.wire.Bus.Put(ctx, m.host, m.key, m.put, m.value)
		}
		if err != nil {
			m.wire.lost() // so that it is sent again
		}
	}
}

// hold reports whether the message's host is dead: the message then waits.
func (w *wire) hold(m message) bool {
	w.set.mu.Lock()
	defer w.set.mu.Unlock()
	h := w.set.dead[m.host]
	switch {
	case h == nil:
		return false
	case m.report && m.key == "": // a heartbeat is for now or never
	case len(h.messages) >= maxHeld:
		w.lost()
	default:
		m.wire, m.value = w, append([]byte(nil), m.value...)
		h.messages = append(h.messages, m)
	}
	return true
}

// lost says on the bus that something may have been lost, if it can be told.
func (w *wire) lost() {
	if l, ok := w.Bus.(interface{ Lose() }); ok {
		l.Lose()
	}
}

// fate decides on a message.
func (w *wire) fate(operation, host, key string) Effect {
	_, hit := w.set.decide(Bus, func(r *Rule) bool {
		return (r.Operation == "" || r.Operation == operation) && (r.Host == "" || r.Host == host) &&
			(r.Resource == "" || strings.HasSuffix(key, "/"+r.Resource)) && !(r.Effect == Double && operation == "ask")
	})
	if hit == nil {
		return ""
	}
	return hit.Effect
}

// Put implements [bus.Bus].
func (w *wire) Put(ctx context.Context, host, key string, v bus.Version, value []byte) error {
	return w.send("put", message{host: host, key: key, put: v, value: value}, func() error { return w.Bus.Put(ctx, host, key, v, value) })
}

// Report implements [bus.Bus].
func (w *wire) Report(ctx context.Context, host, key string, value []byte) error {
	return w.send("report", message{report: true, host: host, key: key, value: value}, func() error { return w.Bus.Report(ctx, host, key, value) })
}

func (w *wire) send(operation string, m message, send func() error) error {
	if w.set.count.Load() == 0 {
		return send()
	}
	if w.hold(m) {
		return nil
	}
	switch w.fate(operation, m.host, m.key) {
	case Lose:
		w.lost()
		return nil
	case Double:
		if err := send(); err != nil {
			return err
		}
	}
	return send()
}

func (w *wire) reach(host string) error {
	if w.set.count.Load() == 0 {
		return nil
	}
	w.set.mu.Lock()
	dead := w.set.dead[host] != nil
	w.set.mu.Unlock()
	if dead || w.fate("ask", host, "") == Lose {
		return nephos.Errorf(nephos.ErrUnavailable, "host %s does not answer", host)
	}
	return nil
}

// Ask implements [bus.Bus].
func (w *wire) Ask(ctx context.Context, host, question string, in []byte) ([]byte, error) {
	if err := w.reach(host); err != nil {
		return nil, err
	}
	return w.Bus.Ask(ctx, host, question, in)
}

// Dial implements [bus.Bus].
func (w *wire) Dial(ctx context.Context, host, question string, in []byte) (io.ReadWriteCloser, error) {
	if err := w.reach(host); err != nil {
		return nil, err
	}
	return w.Bus.Dial(ctx, host, question, in)
}

// DeliverOne passes on to a bus that delivers one report at a time, as
// bus.Memory does.
func (w *wire) DeliverOne(ctx context.Context, handle func(ctx context.Context, host string, value []byte) error) (bool, error) {
	inner, ok := w.Bus.(interface {
		DeliverOne(ctx context.Context, handle func(ctx context.Context, host string, value []byte) error) (bool, error)
	})
	if !ok {
		return false, fmt.Errorf("delivering one report: the bus, a %T, cannot", w.Bus)
	}
	return inner.DeliverOne(ctx, handle)
}
