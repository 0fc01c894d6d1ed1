package blobtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/driver/drivertest"
)

// Each driver here breaks one promise, and the suite must notice.
func TestBrokenPromisesAreNoticed(t *testing.T) {
	n := 0
	for promise, broken := range map[string]struct {
		test string
		with func(*mem.Driver) blob.Driver
	}{
		"a call whose context is done does nothing: Put":      {"Cancelled", func(d *mem.Driver) blob.Driver { return putsAnyway{d} }},
		"a call whose context is done does nothing: Get":      {"Cancelled", func(d *mem.Driver) blob.Driver { return getsAnyway{d} }},
		"a call whose context is done does nothing: Stat":     {"Cancelled", func(d *mem.Driver) blob.Driver { return statsAnyway{d} }},
		"a call whose context is done does nothing: Delete":   {"Cancelled", func(d *mem.Driver) blob.Driver { return deletesAnyway{d} }},
		"a call whose context is done does nothing: List":     {"Cancelled", func(d *mem.Driver) blob.Driver { return listsAnyway{d} }},
		"a call whose context is done does nothing: Copy":     {"Cancelled", func(d *mem.Driver) blob.Driver { return copiesAnyway{d} }},
		"a call whose context is done does nothing: Location": {"Cancelled", func(d *mem.Driver) blob.Driver { return locatesAnyway{d} }},
		"a call whose context is done does nothing: parts":    {"MultiparterEnds", func(d *mem.Driver) blob.Driver { return partsAnyway{d} }},
		"a Put that is cut short leaves nothing":              {"Cancelled", func(d *mem.Driver) blob.Driver { return keepsHalves{d} }},
		"a body error leaves nothing":                         {"FailedBody", func(d *mem.Driver) blob.Driver { return keepsHalves{d} }},
		"an object that is not replaced stays":                {"FailedBody", func(d *mem.Driver) blob.Driver { return dropsFirst{d} }},
		"no reader sees a part":                               {"NothingPartial", func(d *mem.Driver) blob.Driver { return dropsFirst{d} }},
		"the body's error is returned":                        {"FailedBody", func(d *mem.Driver) blob.Driver { return mute{d} }},
		"a body is not read after the call":                   {"Cancelled", func(d *mem.Driver) blob.Driver { return readsOn{d} }},
		"Put returns the size that was stored":                {"RoundTrip", func(d *mem.Driver) blob.Driver { return believesHint{d} }},
		"Put stores all":                                      {"RoundTrip", func(d *mem.Driver) blob.Driver { return firstMegabyte{d} }},
		"Put replaces":                                        {"Overwrite", func(d *mem.Driver) blob.Driver { return keepsFirst{d} }},
		"what is put stays after the driver":                  {"Reopen", func(d *mem.Driver) blob.Driver { return &volatile{Driver: d} }},
		"what is deleted stays away":                          {"Reopen", func(d *mem.Driver) blob.Driver { return &resurrects{Driver: d} }},
		"unknown IDs are deleted":                             {"NotFound", func(d *mem.Driver) blob.Driver { return strictDelete{d} }},
		"Delete deletes":                                      {"DeleteWhileOpen", func(d *mem.Driver) blob.Driver { return lazyDelete{d} }},
		"readers of what is deleted read on":                  {"DeleteWhileOpen", func(d *mem.Driver) blob.Driver { return cutsReaders{d} }},
		"readers of what is replaced read on":                 {"Overwrite", func(d *mem.Driver) blob.Driver { return cutsReaders{d} }},
		"ErrNotFound: Stat":                                   {"NotFound", func(d *mem.Driver) blob.Driver { return imagines{d} }},
		"ErrNotFound: Get":                                    {"NotFound", func(d *mem.Driver) blob.Driver { return emptyGet{d} }},
		"ErrRange":                                            {"Range", func(d *mem.Driver) blob.Driver { return lenientRange{d} }},
		"Get begins at the offset":                            {"Range", func(d *mem.Driver) blob.Driver { return fromTheStart{d} }},
		"Get ends after the length":                           {"Range", func(d *mem.Driver) blob.Driver { return toTheEnd{d} }},
		"identifiers are checked again: Put":                  {"Identifiers", func(d *mem.Driver) blob.Driver { return anyID{d} }},
		"identifiers are checked again: Get":                  {"Identifiers", func(d *mem.Driver) blob.Driver { return anyGet{d} }},
		"identifiers are checked again: Stat":                 {"Identifiers", func(d *mem.Driver) blob.Driver { return anyStat{d} }},
		"identifiers are checked again: Delete":               {"Identifiers", func(d *mem.Driver) blob.Driver { return anyDelete{d} }},
		"List tells of each object once":                      {"List", func(d *mem.Driver) blob.Driver { return listsTwice{d} }},
		"List tells of all objects":                           {"List", func(d *mem.Driver) blob.Driver { return listsTwenty{d} }},
		"List stops":                                          {"List", func(d *mem.Driver) blob.Driver { return listsOn{d} }},
		"objects tell when they were made":                    {"List", func(d *mem.Driver) blob.Driver { return ageless{d} }},
		"calls with different IDs run at once":                {"Concurrent", func(d *mem.Driver) blob.Driver { return &oneAtATime{Driver: d} }},
		"a copy is independent":                               {"Copier", func(d *mem.Driver) blob.Driver { return &links{Driver: d} }},
		"a copy onto itself changes nothing":                  {"Copier", func(d *mem.Driver) blob.Driver { return copiesByMoving{d} }},
		"ErrNotFound: Copy":                                   {"Copier", func(d *mem.Driver) blob.Driver { return copiesNothing{d} }},
		"a location is the same each time":                    {"Locator", func(d *mem.Driver) blob.Driver { return &signedURL{Driver: d} }},
		"ErrNotFound: Location":                               {"Locator", func(d *mem.Driver) blob.Driver { return locatesAll{d} }},
		"an upload that is begun again keeps its parts":       {"Multiparter", func(d *mem.Driver) blob.Driver { return beginsAnew{d} }},
		"parts stay after the driver":                         {"Multiparter", func(d *mem.Driver) blob.Driver { return &forgetsParts{d: d, Driver: d} }},
		"parts come in the order of their numbers":            {"Multiparter", func(d *mem.Driver) blob.Driver { return partsReversed{d} }},
		"parts are what was described":                        {"Multiparter", func(d *mem.Driver) blob.Driver { return believesParts{d} }},
		"an upload goes on after a mistake":                   {"Multiparter", func(d *mem.Driver) blob.Driver { return endsUploads{d} }},
		"an upload ends":                                      {"Multiparter", func(d *mem.Driver) blob.Driver { return endlessUpload{d} }},
		"parts are no objects":                                {"Multiparter", func(d *mem.Driver) blob.Driver { return partsAreObjects{d} }},
		"nothing is left of a part that failed":               {"MultiparterEnds", func(d *mem.Driver) blob.Driver { return halfParts{d} }},
		"a part is replaced once the new one is whole":        {"MultiparterEnds", func(d *mem.Driver) blob.Driver { return dropsPartFirst{d} }},
		"parts without an upload are ErrNotFound":             {"MultiparterEnds", func(d *mem.Driver) blob.Driver { return beginsByItself{d} }},
		"aborting leaves the object":                          {"MultiparterEnds", func(d *mem.Driver) blob.Driver { return abortsAll{d} }},
		"aborting drops the parts":                            {"MultiparterEnds", func(d *mem.Driver) blob.Driver { return abortsNothing{d} }},
		"results are the caller's":                            {"Multiparter", func(d *mem.Driver) blob.Driver { return &sharesParts{Driver: d} }},
	} {
		if n++; n%someOf != 0 {
			continue
		}
		t.Run(promise, func(t *testing.T) {
			var states sync.Map
			open := func(_ drivertest.T, dir string) blob.Driver {
				state, _ := states.LoadOrStore(dir, &mem.State{})
				return broken.with(mem.New(mem.Config{State: state.(*mem.State)}))
			}
			drivertest.Catch(t, blobtest.Tests(open, blobtest.Options{}), broken.test)
		})
	}
}

func never(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

type putsAnyway struct{ *mem.Driver }

func (d putsAnyway) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	if ctx.Err() != nil {
		ctx = never(ctx)
	}
	return d.Driver.Put(ctx, id, body, size)
}

type getsAnyway struct{ *mem.Driver }

func (d getsAnyway) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	return d.Driver.Get(never(ctx), id, offset, length)
}

type statsAnyway struct{ *mem.Driver }

func (d statsAnyway) Stat(ctx context.Context, id string) (blob.Object, error) {
	return d.Driver.Stat(never(ctx), id)
}

type deletesAnyway struct{ *mem.Driver }

func (d deletesAnyway) Delete(ctx context.Context, id string) error {
	return errors.Join(d.Driver.Delete(never(ctx), id), ctx.Err())
}

type listsAnyway struct{ *mem.Driver }

func (d listsAnyway) List(ctx context.Context, yield func(blob.Object) bool) error {
	return d.Driver.List(never(ctx), yield)
}

type copiesAnyway struct{ *mem.Driver }

func (d copiesAnyway) Copy(ctx context.Context, dst, src string) error {
	return errors.Join(d.Driver.Copy(never(ctx), dst, src), ctx.Err())
}

type locatesAnyway struct{ *mem.Driver }

func (d locatesAnyway) Location(ctx context.Context, id string) (string, error) {
	return d.Driver.Location(never(ctx), id)
}

type partsAnyway struct{ *mem.Driver }

func (d partsAnyway) BeginParts(ctx context.Context, id string) error {
	return errors.Join(d.Driver.BeginParts(never(ctx), id), ctx.Err())
}

type keepsHalves struct{ *mem.Driver }

func (d keepsHalves) Put(ctx context.Context, id string, body io.Reader, _ int64) (int64, error) {
	got, err := io.ReadAll(blob.Reader(ctx, body))
	n, err2 := d.Driver.Put(never(ctx), id, bytes.NewReader(got), -1)
	return n, errors.Join(err, err2)
}

type dropsFirst struct{ *mem.Driver }

func (d dropsFirst) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	if err := d.Delete(ctx, id); err != nil {
		return 0, err
	}
	return d.Driver.Put(ctx, id, body, size)
}

type mute struct{ *mem.Driver }

func (d mute) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	n, err := d.Driver.Put(ctx, id, body, size)
	if err != nil {
		err = errors.New("it went wrong")
	}
	return n, err
}

type readsOn struct{ *mem.Driver }

func (d readsOn) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, body)
		w.CloseWithError(err)
	}()
	n, err := d.Driver.Put(ctx, id, r, size)
	go func() { _, _ = io.Copy(io.Discard, io.LimitReader(r, 100<<20)) }()
	return n, err
}

type believesHint struct{ *mem.Driver }

func (d believesHint) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	n, err := d.Driver.Put(ctx, id, body, size)
	if size >= 0 && err == nil {
		n = size
	}
	return n, err
}

type firstMegabyte struct{ *mem.Driver }

func (d firstMegabyte) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	return d.Driver.Put(ctx, id, io.LimitReader(body, 1<<20), size)
}

type keepsFirst struct{ *mem.Driver }

func (d keepsFirst) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	if _, err := d.Stat(ctx, id); err == nil {
		return io.Copy(io.Discard, body)
	}
	return d.Driver.Put(ctx, id, body, size)
}

// volatile writes what it was given when it is closed.
type volatile struct {
	*mem.Driver
	cache mem.Driver
	once  sync.Once
}

func (d *volatile) soon() *mem.Driver {
	d.once.Do(func() { d.cache = *mem.New(mem.Config{}) })
	return &d.cache
}

func (d *volatile) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	return d.soon().Put(ctx, id, body, size)
}

func (d *volatile) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	return d.soon().Get(ctx, id, offset, length)
}

func (d *volatile) Stat(ctx context.Context, id string) (blob.Object, error) {
	return d.soon().Stat(ctx, id)
}

func (d *volatile) Delete(ctx context.Context, id string) error { return d.soon().Delete(ctx, id) }

func (d *volatile) List(ctx context.Context, yield func(blob.Object) bool) error {
	return d.soon().List(ctx, yield)
}

// resurrects deletes for itself only.
type resurrects struct {
	*mem.Driver
	gone sync.Map
}

func (d *resurrects) Delete(_ context.Context, id string) error { d.gone.Store(id, true); return nil }

func (d *resurrects) Stat(ctx context.Context, id string) (blob.Object, error) {
	if _, gone := d.gone.Load(id); gone {
		return blob.Object{}, nephos.NotFound("Object", id)
	}
	return d.Driver.Stat(ctx, id)
}

func (d *resurrects) List(ctx context.Context, yield func(blob.Object) bool) error {
	return d.Driver.List(ctx, func(o blob.Object) bool {
		_, gone := d.gone.Load(o.ID)
		return gone || yield(o)
	})
}

type strictDelete struct{ *mem.Driver }

func (d strictDelete) Delete(ctx context.Context, id string) error {
	if _, err := d.Stat(ctx, id); err != nil {
		return err
	}
	return d.Driver.Delete(ctx, id)
}

type lazyDelete struct{ *mem.Driver }

func (d lazyDelete) Delete(context.Context, string) error { return nil }

// cutsReaders has readers look the object up at every read.
type cutsReaders struct{ *mem.Driver }

type lookingReader struct {
	d   *mem.Driver
	id  string
	off int64
}

func (r *lookingReader) Read(p []byte) (int, error) {
	in, err := r.d.Get(context.Background(), r.id, r.off, -1)
	if err != nil {
		return 0, err
	}
	n, err := in.Read(p[:min(len(p), 1000)])
	r.off += int64(n)
	return n, err
}
func (*lookingReader) Close() error { return nil }

func (d cutsReaders) Get(_ context.Context, id string, offset, _ int64) (io.ReadCloser, error) {
	return &lookingReader{d.Driver, id, offset}, nil
}

type imagines struct{ *mem.Driver }

func (d imagines) Stat(ctx context.Context, id string) (blob.Object, error) {
	o, err := d.Driver.Stat(ctx, id)
	if errors.Is(err, nephos.ErrNotFound) {
		return blob.Object{ID: id, Created: time.Now()}, nil
	}
	return o, err
}

type emptyGet struct{ *mem.Driver }

func (d emptyGet) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	r, err := d.Driver.Get(ctx, id, offset, length)
	if errors.Is(err, nephos.ErrNotFound) {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	return r, err
}

type lenientRange struct{ *mem.Driver }

func (d lenientRange) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	r, err := d.Driver.Get(ctx, id, offset, length)
	if errors.Is(err, nephos.ErrRange) && offset >= 0 {
		if r, err = d.Driver.Get(ctx, id, offset, -1); err != nil {
			return io.NopCloser(bytes.NewReader(nil)), nil
		}
	}
	return r, err
}

type fromTheStart struct{ *mem.Driver }

func (d fromTheStart) Get(ctx context.Context, id string, _, length int64) (io.ReadCloser, error) {
	return d.Driver.Get(ctx, id, 0, length)
}

type toTheEnd struct{ *mem.Driver }

func (d toTheEnd) Get(ctx context.Context, id string, offset, _ int64) (io.ReadCloser, error) {
	return d.Driver.Get(ctx, id, offset, -1)
}

// good hides what CheckID refuses from the driver.
func good(id string) string {
	if blob.CheckID(id) != nil {
		return "good"
	}
	return id
}

type anyID struct{ *mem.Driver }

func (d anyID) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	return d.Driver.Put(ctx, good(id), body, size)
}

type anyGet struct{ *mem.Driver }

func (d anyGet) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	if blob.CheckID(id) != nil {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	return d.Driver.Get(ctx, id, offset, length)
}

type anyStat struct{ *mem.Driver }

func (d anyStat) Stat(ctx context.Context, id string) (blob.Object, error) {
	if blob.CheckID(id) != nil {
		return blob.Object{ID: id, Created: time.Now()}, nil
	}
	return d.Driver.Stat(ctx, id)
}

type anyDelete struct{ *mem.Driver }

func (d anyDelete) Delete(ctx context.Context, id string) error {
	return d.Driver.Delete(ctx, good(id))
}

type listsTwice struct{ *mem.Driver }

func (d listsTwice) List(ctx context.Context, yield func(blob.Object) bool) error {
	return d.Driver.List(ctx, func(o blob.Object) bool { first := yield(o); return first && yield(o) })
}

type listsTwenty struct{ *mem.Driver }

func (d listsTwenty) List(ctx context.Context, yield func(blob.Object) bool) error {
	n := 0
	return d.Driver.List(ctx, func(o blob.Object) bool { n++; return n <= 20 && yield(o) })
}

type listsOn struct{ *mem.Driver }

func (d listsOn) List(ctx context.Context, yield func(blob.Object) bool) error {
	return d.Driver.List(ctx, func(o blob.Object) bool { yield(o); return true })
}

type ageless struct{ *mem.Driver }

func (d ageless) List(ctx context.Context, yield func(blob.Object) bool) error {
	return d.Driver.List(ctx, func(o blob.Object) bool { o.Created = time.Time{}; return yield(o) })
}

type oneAtATime struct {
	*mem.Driver
	n atomic.Int64
}

func (d *oneAtATime) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	if d.n.Add(1) == 3 {
		return 0, nephos.Errorf(nephos.ErrConflict, "put object %s: another one is being put", id)
	}
	return d.Driver.Put(ctx, id, body, size)
}

// links makes copies that follow their source.
type links struct {
	*mem.Driver
	of sync.Map
}

func (d *links) Copy(ctx context.Context, dst, src string) error {
	if err := d.Driver.Copy(ctx, dst, src); err != nil || dst == src {
		return err
	}
	d.of.Store(dst, src)
	return nil
}

func (d *links) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	if src, ok := d.of.Load(id); ok {
		id = src.(string)
	}
	return d.Driver.Get(ctx, id, offset, length)
}

type copiesByMoving struct{ *mem.Driver }

func (d copiesByMoving) Copy(ctx context.Context, dst, src string) error {
	if dst == src {
		return d.Delete(ctx, src)
	}
	return d.Driver.Copy(ctx, dst, src)
}

type copiesNothing struct{ *mem.Driver }

func (d copiesNothing) Copy(ctx context.Context, dst, src string) error {
	err := d.Driver.Copy(ctx, dst, src)
	if errors.Is(err, nephos.ErrNotFound) {
		return nil
	}
	return err
}

type signedURL struct {
	*mem.Driver
	n atomic.Int64
}

func (d *signedURL) Location(ctx context.Context, id string) (string, error) {
	l, err := d.Driver.Location(ctx, id)
	return l + "?" + string(rune('a'+d.n.Add(1))), err
}

type locatesAll struct{ *mem.Driver }

func (d locatesAll) Location(_ context.Context, id string) (string, error) {
	return "mem:///" + id, nil
}

type beginsAnew struct{ *mem.Driver }

func (d beginsAnew) BeginParts(ctx context.Context, id string) error {
	return errors.Join(d.AbortParts(ctx, id), d.Driver.BeginParts(ctx, id))
}

// forgetsParts knows the parts of this run only.
type forgetsParts struct {
	*mem.Driver
	d   *mem.Driver
	now sync.Map
}

func (d *forgetsParts) PutPart(ctx context.Context, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	d.now.Store(number, true)
	return d.d.PutPart(ctx, id, number, body, size)
}

func (d *forgetsParts) ListParts(ctx context.Context, id string) ([]blob.Part, error) {
	list, err := d.d.ListParts(ctx, id)
	return slices.DeleteFunc(list, func(p blob.Part) bool { _, ok := d.now.Load(p.Number); return !ok }), err
}

type partsReversed struct{ *mem.Driver }

func (d partsReversed) ListParts(ctx context.Context, id string) ([]blob.Part, error) {
	list, err := d.Driver.ListParts(ctx, id)
	slices.Reverse(list)
	return list, err
}

type believesParts struct{ *mem.Driver }

func (d believesParts) CompleteParts(ctx context.Context, id string, parts []blob.Part) (int64, error) {
	there, err := d.ListParts(ctx, id)
	if err != nil {
		return 0, err
	}
	parts = slices.Clone(parts)
	for i, p := range parts {
		if at := slices.IndexFunc(there, func(q blob.Part) bool { return q.Number == p.Number }); at >= 0 {
			parts[i] = there[at]
		}
	}
	return d.Driver.CompleteParts(ctx, id, parts)
}

type endsUploads struct{ *mem.Driver }

func (d endsUploads) CompleteParts(ctx context.Context, id string, parts []blob.Part) (int64, error) {
	n, err := d.Driver.CompleteParts(ctx, id, parts)
	if errors.Is(err, nephos.ErrInvalid) {
		return n, errors.Join(err, d.AbortParts(ctx, id))
	}
	return n, err
}

type endlessUpload struct{ *mem.Driver }

func (d endlessUpload) CompleteParts(ctx context.Context, id string, parts []blob.Part) (int64, error) {
	n, err := d.Driver.CompleteParts(ctx, id, parts)
	if err == nil {
		err = d.BeginParts(ctx, id)
	}
	return n, err
}

type partsAreObjects struct{ *mem.Driver }

func (d partsAreObjects) PutPart(ctx context.Context, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	p, err := d.Driver.PutPart(ctx, id, number, body, size)
	if err == nil {
		_, err = d.Put(ctx, id+".part", bytes.NewReader(nil), 0)
	}
	return p, err
}

type halfParts struct{ *mem.Driver }

func (d halfParts) PutPart(ctx context.Context, id string, number int, body io.Reader, _ int64) (blob.Part, error) {
	got, err := io.ReadAll(body)
	p, err2 := d.Driver.PutPart(ctx, id, number, bytes.NewReader(got), -1)
	return p, errors.Join(err2, err)
}

type dropsPartFirst struct{ *mem.Driver }

func (d dropsPartFirst) PutPart(ctx context.Context, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	there, _ := d.ListParts(ctx, id)
	p, err := d.Driver.PutPart(ctx, id, number, body, size)
	if err != nil && slices.ContainsFunc(there, func(p blob.Part) bool { return p.Number == number }) {
		_, _ = d.Driver.PutPart(ctx, id, number, bytes.NewReader([]byte("torn")), -1)
	}
	return p, err
}

type beginsByItself struct{ *mem.Driver }

func (d beginsByItself) PutPart(ctx context.Context, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	if err := d.BeginParts(ctx, id); err != nil {
		return blob.Part{}, err
	}
	return d.Driver.PutPart(ctx, id, number, body, size)
}

type abortsAll struct{ *mem.Driver }

func (d abortsAll) AbortParts(ctx context.Context, id string) error {
	return errors.Join(d.Driver.AbortParts(ctx, id), d.Delete(ctx, id))
}

type abortsNothing struct{ *mem.Driver }

func (d abortsNothing) AbortParts(context.Context, string) error { return nil }

type sharesParts struct {
	*mem.Driver
	list []blob.Part
}

func (d *sharesParts) ListParts(ctx context.Context, id string) ([]blob.Part, error) {
	list, err := d.Driver.ListParts(ctx, id)
	if err == nil && len(list) == len(d.list) {
		return d.list, nil
	}
	d.list = list
	return list, err
}
