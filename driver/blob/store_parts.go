package blob

import (
	"context"
	"fmt"
	"io"

	"github.com/nephos-cloud/nephos"
)

func (s *Store) parts(id string) (Multiparter, error) {
	m, err := offered[Multiparter](s, AbilityMultiparter)
	if err != nil {
		return nil, err
	}
	return m, CheckID(id)
}

// CheckPart refuses, with ErrInvalid, a part's number that is out of bounds.
func CheckPart(number int) error {
	if number < 1 || number > MaxParts {
		return nephos.Errorf(nephos.ErrInvalid, "part number %d is not between 1 and %d", number, MaxParts)
	}
	return nil
}

// CheckParts refuses, with ErrInvalid, parts that no upload can be completed
// with: none, or ones that do not ascend.
func CheckParts(parts []Part) error {
	if len(parts) == 0 {
		return nephos.Errorf(nephos.ErrInvalid, "no parts are named")
	}
	for i, p := range parts {
		if err := CheckPart(p.Number); err != nil {
			return err
		}
		if i > 0 && p.Number <= parts[i-1].Number {
			return nephos.Errorf(nephos.ErrInvalid, "part %d follows part %d; want ascending numbers", p.Number, parts[i-1].Number)
		}
		if i < len(parts)-1 && p.Size < MinPartSize {
			return nephos.Errorf(nephos.ErrInvalid, "part %d has %d bytes; all but the last need at least %d", p.Number, p.Size, MinPartSize)
		}
	}
	return nil
}

// BeginParts begins an upload in parts; see [Multiparter].
func (s *Store) BeginParts(ctx context.Context, id string) (err error) {
	ctx, end := s.begin(ctx, "BeginParts", true, id)
	defer end(&err)
	m, err := s.parts(id)
	if err != nil {
		return err
	}
	return m.BeginParts(ctx, id)
}

// PutPart streams the body into a part; see [Multiparter].
func (s *Store) PutPart(ctx context.Context, id string, number int, body io.Reader, size int64) (p Part, err error) {
	ctx, end := s.begin(ctx, "PutPart", false, id)
	defer end(&err)
	m, err := s.parts(id)
	if err != nil {
		return Part{}, err
	}
	if err := CheckPart(number); err != nil {
		return Part{}, err
	}
	return m.PutPart(ctx, id, number, body, size)
}

// ListParts returns the parts that are there; see [Multiparter].
func (s *Store) ListParts(ctx context.Context, id string) (list []Part, err error) {
	ctx, end := s.begin(ctx, "ListParts", true, id)
	defer end(&err)
	m, err := s.parts(id)
	if err != nil {
		return nil, err
	}
	return m.ListParts(ctx, id)
}

// CompleteParts makes the object of the parts; see [Multiparter].
func (s *Store) CompleteParts(ctx context.Context, id string, parts []Part) (size int64, err error) {
	ctx, end := s.begin(ctx, "CompleteParts", false, id)
	defer end(&err)
	m, err := s.parts(id)
	if err != nil {
		return 0, err
	}
	if err := CheckParts(parts); err != nil {
		return 0, fmt.Errorf("completing object %s: %w", id, err)
	}
	return m.CompleteParts(ctx, id, parts)
}

// AbortParts drops an upload; see [Multiparter].
func (s *Store) AbortParts(ctx context.Context, id string) (err error) {
	ctx, end := s.begin(ctx, "AbortParts", true, id)
	defer end(&err)
	m, err := s.parts(id)
	if err != nil {
		return err
	}
	return m.AbortParts(ctx, id)
}

// ListUploads returns the objects that have an upload; see [Multiparter].
func (s *Store) ListUploads(ctx context.Context) (ids []string, err error) {
	ctx, end := s.begin(ctx, "ListUploads", true)
	defer end(&err)
	m, err := offered[Multiparter](s, AbilityMultiparter)
	if err != nil {
		return nil, err
	}
	return m.ListUploads(ctx)
}
