package identity

import (
	"context"
	"time"

	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

const (
	kindRotate = "identity.rotate_keys"
	kindPrune  = "identity.prune"
	// pruneEvery is how often expired revocations are forgotten.
	pruneEvery = time.Hour
	// theOne is the id of work of which there is one.
	theOne = "all"
)

// Kinds are the service's durable work, to be added to a queue: replacing the
// token keys, and forgetting revocations of tokens that have expired.
// [Service.Bootstrap] starts both.
func (s *Service) Kinds() []reconcile.Kind {
	return []reconcile.Kind{
		{Name: kindRotate, Handle: s.rotateKeys, Standing: true},
		{Name: kindPrune, Handle: s.prune, Standing: true},
	}
}

// startWork makes sure that the durable work is due some time.
func (s *Service) startWork(ctx context.Context, tx *store.Tx) error {
	for kind, every := range map[string]time.Duration{kindRotate: s.cfg.KeyRotation, kindPrune: pruneEvery} {
		if every < 0 {
			continue
		}
		var have []string
		if err := tx.NewRaw("SELECT id FROM work WHERE kind = ? AND id = ?", kind, theOne).Scan(ctx, &have); err != nil {
			return err
		}
		if len(have) > 0 {
			continue // a restart does not put it off
		}
		if err := reconcile.Enqueue(ctx, tx, kind, theOne, tx.Now().Add(every)); err != nil {
			return err
		}
	}
	return nil
}

// RotateKeys replaces the primary token key by the staged one. Tokens made with
// older keys stay good: as many are kept as it takes.
func (s *Service) RotateKeys() error {
	every := max(s.cfg.KeyRotation, time.Second)
	keep := int((s.cfg.TokenLifetime+s.cfg.ExpiredWindow+every-1)/every) + 2
	return s.cfg.Keys.Rotate(max(keep, 3))
}

func (s *Service) rotateKeys(context.Context, *reconcile.Item) (reconcile.Next, error) {
	if s.cfg.KeyRotation < 0 {
		return reconcile.Done(), nil
	}
	if err := s.RotateKeys(); err != nil {
		return reconcile.Next{}, err
	}
	return reconcile.Again(s.cfg.Clock.Now().Add(s.cfg.KeyRotation)), nil
}

func (s *Service) prune(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
	next := reconcile.Again(s.cfg.Clock.Now().Add(pruneEvery))
	err := it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewRaw("DELETE FROM identity_revocations WHERE expires_at < ?", tx.Now().Add(-s.cfg.ExpiredWindow)).Exec(ctx)
		if err != nil {
			return err
		}
		return it.Settle(ctx, tx, next)
	})
	return next, err
}
