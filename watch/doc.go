// Package watch tells of changes as they happen, so that nobody has to ask
// again and again: a [Stream] of the events that all services write with their
// changes, and [Service.Follow], which wakes who waits for one resource.
//
//	w, err := watch.New(watch.Config{Store: db, Policy: enforcer})
//	s, err := w.Open(ctx, watch.Query{Types: types, Snapshot: true})
//	defer s.Close()
//	for {
//		events, err := s.Next(ctx)
//		...
//	}
//
// Events come in the order of commits. Each carries a resume token: a stream
// that is opened with it goes on behind that event, with nothing lost and
// nothing twice, also on another controller of the same database. Tokens are
// opaque and stay good for as long as events are kept; later they are
// [nephos.ErrGone], and the reader begins anew with a snapshot.
//
// A stream holds what its caller may see and no more: each event is checked
// against the policy rule that guards showing its resource ([Rules] and
// [Visibility]), so that an operator's policy file rules here too. What no rule
// is known for, admins alone see.
//
// Nothing polls: the store's wake-up after a commit makes one of the waiting
// readers fetch the new rows for all, and they are kept at hand for those that
// come a little later.
//
// The HTTP side of it is package [github.com/nephos-cloud/nephos/watch/sse].
package watch
