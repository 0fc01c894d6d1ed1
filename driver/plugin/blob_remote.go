package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/plugin/internal/wire"
	pb "github.com/nephos-cloud/nephos/driver/plugin/proto/nephos/blob/v1"
)

// remoteBlob is our side: a driver whose calls are carried out elsewhere. It has
// every ability's methods and narrows the offer by Abilities.
type remoteBlob struct{ *Plugin }

type bl = pb.BlobClient

var newBlob = pb.NewBlobClient

var (
	_ blob.Driver      = (*remoteBlob)(nil)
	_ blob.Abilitier   = (*remoteBlob)(nil)
	_ blob.Copier      = (*remoteBlob)(nil)
	_ blob.Locator     = (*remoteBlob)(nil)
	_ blob.Multiparter = (*remoteBlob)(nil)
)

func (d *remoteBlob) Stat(ctx context.Context, id string) (out blob.Object, err error) {
	r, err := call(ctx, d.Plugin, newBlob, bl.Stat, &pb.StatRequest{Id: id})
	if err == nil {
		err = same("object", r.GetObject().GetId(), id)
	}
	if err != nil {
		return out, err
	}
	o := wire.From[blob.Object](r.GetObject())
	return o, saneObject(o)
}

func (d *remoteBlob) Delete(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newBlob, bl.Delete, &pb.DeleteRequest{Id: id})
	return err
}

func (d *remoteBlob) Copy(ctx context.Context, dst string, src string) error {
	_, err := call(ctx, d.Plugin, newBlob, bl.Copy, &pb.CopyRequest{Dst: dst, Src: src})
	return err
}

func (d *remoteBlob) Location(ctx context.Context, id string) (out string, err error) {
	r, err := call(ctx, d.Plugin, newBlob, bl.Location, &pb.LocationRequest{Id: id})
	if err == nil {
		err = d.location(id, r.GetLocation())
	}
	if err != nil {
		return out, err
	}
	return r.GetLocation(), nil
}

func (d *remoteBlob) BeginParts(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newBlob, bl.BeginParts, &pb.BeginPartsRequest{Id: id})
	return err
}

func (d *remoteBlob) ListParts(ctx context.Context, id string) ([]blob.Part, error) {
	r, err := call(ctx, d.Plugin, newBlob, bl.ListParts, &pb.ListPartsRequest{Id: id})
	return wire.FromAll[blob.Part](r.GetParts()), err
}

func (d *remoteBlob) CompleteParts(ctx context.Context, id string, parts []blob.Part) (int64, error) {
	r, err := call(ctx, d.Plugin, newBlob, bl.CompleteParts, &pb.CompletePartsRequest{Id: id, Parts: wire.ToAll[pb.Part](parts)})
	return r.GetSize(), err
}

func (d *remoteBlob) AbortParts(ctx context.Context, id string) error {
	_, err := call(ctx, d.Plugin, newBlob, bl.AbortParts, &pb.AbortPartsRequest{Id: id})
	return err
}

func (d *remoteBlob) ListUploads(ctx context.Context) (out []string, err error) {
	r, err := call(ctx, d.Plugin, newBlob, bl.ListUploads, &pb.ListUploadsRequest{})
	if err == nil {
		err = unique("uploads", r.GetIds(), itself, blob.CheckID)
	}
	if err != nil {
		return out, err
	}
	return r.GetIds(), nil
}

// location refuses a file outside the plugin's roots.
func (d *remoteBlob) location(id, uri string) error {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || scheme == "" || strings.HasPrefix(uri, "/") {
		return fmt.Errorf("locating object %s: the plugin answered %.200q, which is no URI", id, uri)
	}
	if !strings.EqualFold(scheme, "file") {
		return nil
	}
	return d.allow("locating object "+id, strings.TrimPrefix(rest, "//"))
}

func (d *remoteBlob) Put(ctx context.Context, id string, body io.Reader, size int64) (int64, error) {
	var stored int64
	sent, whole, err := d.send(ctx, body, func(socket string) error {
		r, err := call(ctx, d.Plugin, newBlob, bl.Put, &pb.PutRequest{Id: id, Size: size, Socket: socket})
		stored = r.GetSize()
		return err
	})
	if err == nil && (!whole || stored != sent) {
		err = fmt.Errorf("putting object %s: the plugin claims to have stored %d bytes, but took %d", id, stored, sent)
	}
	if err != nil {
		return 0, err
	}
	return stored, nil
}

func (d *remoteBlob) Get(ctx context.Context, id string, offset, length int64) (io.ReadCloser, error) {
	r, err := d.receive(ctx, func(socket string) error {
		_, err := call(ctx, d.Plugin, newBlob, bl.Get, &pb.GetRequest{Id: id, Offset: offset, Length: length, Socket: socket})
		return err
	})
	if err != nil || length < 0 {
		return r, err
	}
	return &exactly{ReadCloser: r, left: length}, nil
}

// exactly is a stream that has neither less nor more than was asked for.
type exactly struct {
	io.ReadCloser
	left int64
}

var errMore = errors.New("reading from the plugin: it sends more than was asked for")

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	if int64(n) > e.left {
		n, err = int(e.left), errMore
	}
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = wire.ErrBrokenOff
	}
	return n, err
}

func (d *remoteBlob) List(ctx context.Context, yield func(blob.Object) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i, err := d.instance()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // ends a list that is not wanted any more
	defer cancel()
	stream, err := newBlob(i.conn).List(ctx, &pb.ListRequest{})
	if err != nil {
		return d.failed(ctx, i, err)
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return d.failed(ctx, i, err)
		}
		for _, o := range r.GetObjects() {
			if err := blob.CheckID(o.GetId()); err != nil {
				return fmt.Errorf("listing objects: the plugin answered with a bad ID: %v", err) //nolint:errorlint // the plugin's fault, not the caller's
			}
			object := wire.From[blob.Object](o)
			if err := saneObject(object); err != nil {
				return err
			}
			if !yield(object) {
				return nil
			}
		}
	}
}

func (d *remoteBlob) PutPart(ctx context.Context, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	var part blob.Part
	sent, whole, err := d.send(ctx, body, func(socket string) error {
		r, err := call(ctx, d.Plugin, newBlob, bl.PutPart, &pb.PutPartRequest{Id: id, Number: int64(number), Size: size, Socket: socket})
		part = wire.From[blob.Part](r.GetPart())
		return err
	})
	if err == nil && (!whole || part.Size != sent || part.Number != number) {
		err = fmt.Errorf("putting part %d of object %s: the plugin claims to have stored %d bytes as part %d, but took %d", number, id, part.Size, part.Number, sent)
	}
	if err != nil {
		return blob.Part{}, err
	}
	return part, nil
}
