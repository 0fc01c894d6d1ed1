package nephos

import "context"

// Idempotency is what a client sent in the Idempotency-Key header of a create,
// with a digest of the request. The service keeps it in the very transaction
// that creates the resource; a retry with the same key and the same digest
// gets the first result, and the same key with another digest is refused.
type Idempotency struct {
	Key    string
	Digest string // of method, path and body
}

type idempotencyKey struct{}

// WithIdempotency returns a context that carries the key.
func WithIdempotency(ctx context.Context, k Idempotency) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, k)
}

// IdempotencyFrom returns the context's key; false when the client sent none.
func IdempotencyFrom(ctx context.Context) (Idempotency, bool) {
	k, ok := ctx.Value(idempotencyKey{}).(Idempotency)
	return k, ok
}
