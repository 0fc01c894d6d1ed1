package compute

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

const (
	kindSnapshot = "compute.snapshot"
	// TaskImage is what a server is busy with while an image is made of it.
	TaskImage = "image_uploading"
	// snapshotLife is how long a host may begin to send an image.
	snapshotLife = time.Hour
	// maxImageName bounds an image's name, in bytes.
	maxImageName = 255
)

// ServerImages is what making images of servers needs.
type ServerImages interface {
	// CreateServerImage has an image made of a server's disk while it goes on as
	// it is, and returns the image's ID: the image is queued, and active when it
	// is whole. A server that boots from a volume has none: ErrUnsupported.
	CreateServerImage(ctx context.Context, serverID, name string, metadata map[string]string) (string, error)
}

var _ ServerImages = (*Service)(nil)

// snapshotRow is an image on its way. A server has at most one.
type snapshotRow struct {
	bun.BaseModel `bun:"table:compute_snapshots,alias:snap"`

	ServerID  string `bun:",pk"`
	ImageID   string
	Name      string
	Metadata  map[string]string
	Action    string // request id of the action
	CreatedAt time.Time
}

func (r *snapshotRow) ownerKey() string { return "compute.snapshot." + r.ImageID }

// CreateServerImage implements [ServerImages].
func (s *Service) CreateServerImage(ctx context.Context, serverID, name string, metadata map[string]string) (string, error) {
	if len(name) > maxImageName {
		return "", invalid("The name of an image has at most %d bytes.", maxImageName).WithField("name")
	}
	snap := snapshotRow{ServerID: serverID, ImageID: s.cfg.IDs.New(), Name: name, Metadata: orEmpty(metadata)}
	before := ""
	row, err := s.change(ctx, serverID, serversRule("create_image"), true, func(ctx context.Context, tx *store.Tx, row *serverRow) error {
		before = ""
		if old, first, err := tx.Once(ctx, "compute.create_image", snap.ImageID); err != nil || !first {
			before = old
			return err
		}
		if err := row.demand("createImage", Active, Stopped, Paused, Suspended); err != nil {
			return err
		}
		if s.cfg.Sink == nil || row.ImageID == "" {
			return nephos.Errorf(errors.ErrUnsupported, "Making an image of a server that boots from a volume is not built here.")
		}
		if row.Host == "" || row.Phase != phaseLive {
			return refusal("createImage", row.ID, "vm_state", row.VMState)
		}
		a := newAction(ctx, tx, row, "createImage")
		snap.Action, snap.CreatedAt, row.TaskState = a.RequestID, tx.Now(), TaskImage
		for _, model := range []any{&a, &snap} {
			if _, err := tx.NewInsert().Model(model).Returning("NULL").Exec(ctx); err != nil {
				return err
			}
		}
		if err := row.emit(ctx, tx, "createImage.start"); err != nil {
			return err
		}
		if err := row.save(ctx, tx, "task_state"); err != nil {
			return err
		}
		return reconcile.Enqueue(ctx, tx, kindSnapshot, serverID, time.Time{})
	})
	if err != nil || before != "" {
		return before, err
	}
	s.cfg.Crash.Here("compute snapshot begun")
	// The image is there when the caller hears of it; if that fails for good, the
	// work finds it out as well and ends.
	if _, err := s.cfg.Sink.EnsureImage(row.served(ctx), snap.ownerKey(), snap.spec(row)); err != nil {
		return "", err
	}
	return snap.ImageID, nil
}

// spec describes the image: it inherits what its server's image says of itself.
func (r *snapshotRow) spec(row *serverRow) image.Spec {
	properties := maps.Clone(orEmpty(row.Image.Properties))
	maps.DeleteFunc(properties, func(k, _ string) bool {
		return k == "cache_in_nova" || k == "bittorrent" || strings.HasPrefix(k, "img_signature") || strings.HasPrefix(k, "os_hash")
	})
	properties["image_type"], properties["instance_uuid"], properties["user_id"] = "snapshot", row.ID, row.UserID
	properties["base_image_ref"] = row.ImageID
	maps.Copy(properties, r.Metadata)
	return image.Spec{
		ID: r.ImageID, Name: &r.Name, Visibility: image.Private, Owner: &row.ProjectID, DiskFormat: "qcow2", ContainerFormat: "bare",
		MinDisk: int64(row.Flavor.DiskGiB), Properties: properties,
	}
}

// snapshotOf returns the image on its way of a server; nil where there is none.
func (s *Service) snapshotOf(ctx context.Context, serverID string) (*snapshotRow, error) {
	var rows []snapshotRow
	err := s.cfg.Store.Reader().NewSelect().Model(&rows).Where("snap.server_id = ?", serverID).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// stepSnapshot takes an image of a server one step on.
func (s *Service) stepSnapshot(ctx context.Context, it *reconcile.Item) (reconcile.Next, error) {
	snap, err := s.snapshotOf(ctx, it.ID)
	if err != nil || snap == nil {
		return reconcile.Done(), err
	}
	row, err := loadServer(ctx, s.cfg.Store.Reader(), it.ID)
	switch {
	case errors.Is(err, nephos.ErrNotFound):
		return s.endSnapshot(ctx, it, snap, nil, "The server is gone.", "")
	case err != nil:
		return reconcile.Next{}, err
	case row.Phase != phaseLive:
		return s.endSnapshot(ctx, it, snap, &row, "The server is being deleted.", "")
	}
	sctx := row.served(ctx)
	img, err := s.cfg.Sink.EnsureImage(sctx, snap.ownerKey(), snap.spec(&row))
	if err != nil {
		return s.snapshotFailed(ctx, it, snap, &row, err)
	}
	if img.Status == image.Active {
		return s.endSnapshot(ctx, it, snap, &row, "", "")
	}
	to, err := s.cfg.Sink.SignedUploadURL(sctx, img.ID, snapshotLife)
	if err != nil {
		return s.snapshotFailed(ctx, it, snap, &row, err)
	}
	var answer driver.SnapshotAnswer
	if err := s.cfg.Fleet.Ask(ctx, row.Host, driver.AskSnapshot, driver.SnapshotQuestion{ID: row.ID, Disk: "root", URL: to}, &answer); err != nil {
		return s.snapshotFailed(ctx, it, snap, &row, err)
	}
	s.cfg.Crash.Here("compute snapshot asked")
	if !answer.Done {
		return reconcile.Again(s.cfg.Clock.Now().Add(time.Second)), nil
	}
	return reconcile.Again(time.Time{}), nil // the image says whether it is whole
}

// snapshotFailed ends what a retry cannot cure.
func (s *Service) snapshotFailed(ctx context.Context, it *reconcile.Item, snap *snapshotRow, row *serverRow, err error) (reconcile.Next, error) {
	if final(err) || errors.Is(err, nephos.ErrGone) || errors.Is(err, nephos.ErrTooLarge) {
		return s.endSnapshot(ctx, it, snap, row, "The image could not be made.", err.Error())
	}
	return reconcile.Next{}, err
}

// giveUpSnapshot ends an image whose steps keep failing.
func (s *Service) giveUpSnapshot(ctx context.Context, it *reconcile.Item, cause error) (reconcile.Next, error) {
	snap, err := s.snapshotOf(ctx, it.ID)
	if err != nil || snap == nil {
		return reconcile.Done(), err
	}
	return s.endSnapshot(ctx, it, snap, nil, "The image could not be made.", fmt.Sprint(cause))
}

// endSnapshot frees the server and closes the action; with a cause, the image
// goes.
func (s *Service) endSnapshot(ctx context.Context, it *reconcile.Item, snap *snapshotRow, row *serverRow, cause, internal string) (reconcile.Next, error) {
	if cause != "" {
		if row != nil {
			ctx = row.served(ctx)
		} else {
			ctx = nephos.WithCaller(ctx, nephos.Service("compute", caller(ctx)))
		}
		if err := s.cfg.Sink.DeleteOwned(ctx, snap.ownerKey()); err != nil {
			return reconcile.Next{}, err
		}
		s.cfg.Log.Warn("no image was made of a server", "server", snap.ServerID, "cause", cause, "error", internal)
	}
	return reconcile.Done(), it.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.NewDelete().Model(snap).WherePK().Exec(ctx); err != nil {
			return err
		}
		cur, err := loadServer(ctx, tx, snap.ServerID)
		if errors.Is(err, nephos.ErrNotFound) {
			return it.Settle(ctx, tx, reconcile.Done())
		}
		if err != nil {
			return err
		}
		closing := cur
		closing.Action = snap.Action
		if err := closing.finish(ctx, tx, cause, internal, nil); err != nil {
			return err
		}
		if cur.TaskState == TaskImage {
			cur.TaskState = ""
			if err := cur.emit(ctx, tx, "createImage.end"); err != nil {
				return err
			}
			if err := cur.save(ctx, tx, "task_state"); err != nil {
				return err
			}
		}
		return it.Settle(ctx, tx, reconcile.Done())
	})
}
