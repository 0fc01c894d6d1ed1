package nephos

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"sync"
	"time"
)

// Clock tells the time and wakes sleepers. The zero-configuration clock is
// [WallClock]; tests bring their own, so that hours pass in microseconds.
type Clock interface {
	// Now is the current time, in UTC, truncated to microseconds.
	Now() time.Time
	// After sends once on the channel when d has passed.
	After(d time.Duration) <-chan time.Time
}

// WallClock is the real time.
type WallClock struct{}

// Now implements [Clock].
func (WallClock) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// After implements [Clock].
func (WallClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

// Sleeper is a [Clock] that wants to know who sleeps.
type Sleeper interface {
	Clock
	// Sleep returns once d has passed, or with the context's error when that ends
	// first.
	Sleep(ctx context.Context, d time.Duration) error
}

// Sleep waits until d has passed by the clock. It returns the context's error
// when that ends first.
func Sleep(ctx context.Context, clock Clock, d time.Duration) error {
	if s, ok := clock.(Sleeper); ok {
		return s.Sleep(ctx, d)
	}
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-clock.After(d):
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// IDs makes identifiers: random UUIDs in production, a reproducible sequence
// under test. It is safe for concurrent use if its reader is.
type IDs struct {
	// Rand is the source; nil means crypto/rand.
	Rand io.Reader
}

// New returns a version 4 UUID in its dashed form.
func (g IDs) New() string {
	var b [16]byte
	g.Fill(b[:])
	return formatUUID(b)
}

// Seeded returns a source that gives the same bytes for the same seed and name,
// for [IDs] under test. It is safe for concurrent use; never make secrets of it.
func Seeded(seed uint64, name string) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	sum := sha256.Sum256(append(key[:8], name...))
	return &seeded{source: mathrand.NewChaCha8(sum)}
}

type seeded struct {
	mu     sync.Mutex
	source *mathrand.ChaCha8
}

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Read(p)
}

// Fill fills b with randomness of the same source, which must not fail.
func (g IDs) Fill(b []byte) {
	r := g.Rand
	if r == nil {
		r = rand.Reader
	}
	if _, err := io.ReadFull(r, b); err != nil {
		panic("nephos: reading randomness: " + err.Error())
	}
}

// Hex returns an identifier of 32 hexadecimal digits without dashes, as the
// Identity API uses for users, projects and roles.
func (g IDs) Hex() string {
	s := g.New()
	return s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
}

// ChildID returns the identifier that belongs to (parent, name): the same
// for the same pair, so that a step done twice makes no twin.
func ChildID(parent, name string) string {
	sum := sha256.Sum256([]byte(parent + "\x00" + name))
	var b [16]byte
	copy(b[:], sum[:16])
	return formatUUID(b)
}

func formatUUID(b [16]byte) string {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}

type txKey struct{}

// EnterTx marks the context as inside a database transaction. Only the store
// calls it.
func EnterTx(ctx context.Context) context.Context {
	return context.WithValue(ctx, txKey{}, true)
}

// OutsideTx panics when the context is inside a transaction: a transaction's
// closure may run again, so it must not call services or drivers.
func OutsideTx(ctx context.Context, what string) {
	if ctx.Value(txKey{}) != nil {
		panic("nephos: " + what + " called inside a transaction")
	}
}

// CrashPoint is called at named places between the steps of durable work. In
// production it is nil and nothing happens; a test's function may panic or
// kill the process there, to prove that a restart ends the work right.
type CrashPoint func(name string)

// Here calls the function if there is one.
func (c CrashPoint) Here(name string) {
	if c != nil {
		c(name)
	}
}
