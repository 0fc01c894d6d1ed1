package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
)

// shelf is a store of one's own: image bytes, in memory. It is a blob.Driver, and
// passes blobtest.Run.
type shelf struct {
	mu      sync.Mutex
	objects map[string]object
}

type object struct {
	content []byte // never changed
	put     time.Time
}

var _ blob.Driver = (*shelf)(nil)

func (s *shelf) Put(ctx context.Context, id string, body io.Reader, _ int64) (int64, error) {
	content, err := io.ReadAll(blob.Reader(ctx, body))
	if err = errors.Join(err, ctx.Err(), blob.CheckID(id)); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.objects == nil {
		s.objects = map[string]object{}
	}
	s.objects[id] = object{content, time.Now()}
	return int64(len(content)), nil
}

func (s *shelf) find(ctx context.Context, id string) (object, error) {
	if err := errors.Join(ctx.Err(), blob.CheckID(id)); err != nil {
		return object{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.objects[id]
	if !ok {
		return o, nephos.NotFound("object", id)
	}
	return o, nil
}

func (s *shelf) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	o, err := s.find(ctx, id)
	if err != nil {
		return nil, err
	}
	n, err := blob.Range(int64(len(o.content)), offset, length)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(o.content[offset : offset+n])), nil
}

func (s *shelf) Stat(ctx context.Context, id string) (blob.Object, error) {
	o, err := s.find(ctx, id)
	return blob.Object{ID: id, Size: int64(len(o.content)), Created: o.put}, err
}

func (s *shelf) Delete(ctx context.Context, id string) error {
	if err := errors.Join(ctx.Err(), blob.CheckID(id)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, id)
	return nil
}

func (s *shelf) List(ctx context.Context, yield func(blob.Object) bool) error {
	s.mu.Lock()
	ids := slices.Sorted(maps.Keys(s.objects))
	s.mu.Unlock()
	for _, id := range ids {
		o, err := s.Stat(ctx, id)
		switch {
		case errors.Is(err, nephos.ErrNotFound): // deleted just now
		case err != nil:
			return err
		case !yield(o):
			return nil
		}
	}
	return ctx.Err()
}

func (s *shelf) Close() error { return nil }
