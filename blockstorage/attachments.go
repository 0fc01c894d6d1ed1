package blockstorage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/volume"
	"github.com/nephos-cloud/nephos/reconcile"
	"github.com/nephos-cloud/nephos/store"
)

// Attached is the state of an attachment that a guest has; the others are
// [Reserved], [Attaching] and [Detaching].
const Attached = "attached"

// Attachment is somebody's hold on a volume.
type Attachment struct {
	ID         string `bun:",pk"`
	VolumeID   string
	ProjectID  string // the volume's
	ServerID   string // may be empty
	Host       string // empty until somebody connects it
	Mountpoint string
	Mode       string // rw, ro, or null when nobody said
	Status     string
	Connector  map[string]any     // as the client gave it
	Connection *driver.Connection `bun:"-"` // how Host reaches the volume; nil: not connected
	Format     string             `bun:"-"` // of the content, where the operation says that it is set
	CreatedAt  time.Time
	AttachedAt *time.Time
}

// AttachmentSpec describes an attachment to create.
type AttachmentSpec struct {
	VolumeID, ServerID string
	Mode               string
	Connector          map[string]any // nil: it is only reserved
}

// AttachmentFilter narrows a list of attachments; see [VolumeFilter].
type AttachmentFilter struct {
	AllProjects bool
	Offset      int
	Match       map[string]string
}

// Attachments is what the Block Storage API's attachments need.
type Attachments interface {
	// CreateAttachment reserves a volume and, with a connector, connects it.
	CreateAttachment(ctx context.Context, spec AttachmentSpec) (Attachment, error)
	Attachment(ctx context.Context, id string) (Attachment, error)
	ListAttachments(ctx context.Context, f AttachmentFilter, p nephos.Page) ([]Attachment, bool, error)
	// ConnectAttachment gives an attachment its connector and connects it.
	ConnectAttachment(ctx context.Context, id string, connector map[string]any) (Attachment, error)
	// FinishAttachment says that the guest has the volume.
	FinishAttachment(ctx context.Context, id string) error
	// DeleteAttachment disconnects and forgets an attachment, and returns what
	// other attachments the volume has. One that compute made is ErrConflict:
	// compute takes it away.
	DeleteAttachment(ctx context.Context, id string) ([]Attachment, error)
}

func attachmentList() *listing {
	return &listing{
		table: "blockstorage_attachments", alias: "att", missing: attachmentNotFound,
		fields: map[string]field{
			"id":            {expr: "@.id"},
			"volume_id":     {expr: "@.volume_id"},
			"status":        {expr: "@.status"},
			"attach_status": {expr: "@.status"},
			"instance_id":   {expr: "@.server_id"},
			"instance_uuid": {expr: "@.server_id"},
			"project_id":    {expr: "@.project_id"},
			"attached_host": {expr: "@.host"},
			"created_at":    {expr: "@.created_at", kind: moment},
			"attach_time":   {expr: "COALESCE(@.attached_at, @.created_at)"},
		},
	}
}

// settle gives a volume the status that follows from its attachments, where its
// status is one of those that do, or one of those given.
func (s *Service) settle(ctx context.Context, tx *store.Tx, volumeID string, also ...string) error {
	var rows []volumeRow
	if err := selectVolumes(tx, &rows).Where("vol.id = ?", volumeID).Scan(ctx); err != nil {
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	row := rows[0]
	if !slices.Contains(append([]string{Available, Reserved, Attaching, InUse, Detaching}, also...), row.Status) {
		return nil
	}
	by, err := attachmentsOf(ctx, tx, volumeID)
	if err != nil {
		return err
	}
	status, servers := statusBy(by[volumeID])
	if status == row.Status {
		return nil
	}
	row.Status = status
	row.touch(tx.Now())
	if err := save(ctx, tx, &row); err != nil {
		return err
	}
	return s.emitVolume(ctx, tx, "update", row, servers...)
}

// statusBy is the status of a volume with these attachments, and whose they are.
func statusBy(rows []attachmentRow) (status string, servers []string) {
	rank := map[string]int{Reserved: 1, Attaching: 2, Detaching: 3, Attached: 4}
	best := 0
	for _, a := range rows {
		best = max(best, rank[a.Status])
		if a.ServerID != "" && !slices.Contains(servers, a.ServerID) {
			servers = append(servers, a.ServerID)
		}
	}
	return [...]string{Available, Reserved, Attaching, Detaching, InUse}[best], servers
}

// reserve takes hold of a volume in the transaction.
func (s *Service) reserve(ctx context.Context, tx *store.Tx, vol *volumeRow, a *attachmentRow) error {
	if vol.Status == Errored || vol.Status == ErrorDeleting || vol.Status == ErrorExtending {
		return invalidVolume("Volume attachments can not be created if the volume is in an error state. "+
			"The Volume %s currently has a status of: %s ", vol.ID, vol.Status)
	}
	if err := refuseMoving(vol); err != nil {
		return err
	}
	by, err := attachmentsOf(ctx, tx, vol.ID)
	if err != nil {
		return err
	}
	if err := s.reservable(ctx, vol, a, by[vol.ID]); err != nil {
		return err
	}
	a.VolumeID, a.ProjectID, a.Status, a.CreatedAt = vol.ID, vol.ProjectID, Reserved, tx.Now()
	if vol.ReadOnly != nil && *vol.ReadOnly {
		a.Mode = "ro"
	}
	if a.Connector == nil {
		a.Connector = map[string]any{}
	}
	if err := insert(ctx, tx, a); err != nil {
		return err
	}
	if err := s.settle(ctx, tx, vol.ID); err != nil {
		return err
	}
	return s.emitAttachment(ctx, tx, "create", *a)
}

// connectTo is where an attachment is to be connected.
type connectTo struct {
	Host, Mountpoint, Mode string
	Connector              map[string]any
}

// connect makes the pool connect an attachment to a host. Done again, it gives
// the same answer; with another host, it disconnects the old one first.
func (s *Service) connect(ctx context.Context, id string, to connectTo) (Attachment, error) {
	a, err := s.loadAttachment(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Attachment{}, err
	}
	if a.Host != "" && a.Host != to.Host {
		if err := s.disconnect(ctx, &a); err != nil {
			return Attachment{}, fmt.Errorf("disconnecting volume %s from %s: %w", a.VolumeID, a.Host, err)
		}
	}
	// The host is written down before the pool hears of it.
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if a, err = s.loadAttachment(ctx, tx, id); err != nil {
			return err
		}
		if a.Status == Detaching {
			return nephos.Errorf(nephos.ErrConflict, "Attachment %s is being detached.", a.ID)
		}
		if a.Host == to.Host && a.ConnectionText != "" && !a.Connecting {
			return nil
		}
		a.Host, a.Connecting, a.ConnectionText = to.Host, true, ""
		if to.Mountpoint != "" {
			a.Mountpoint = to.Mountpoint
		}
		if a.Mode == "null" {
			a.Mode = "rw" // the default of whoever connects
		}
		if to.Mode != "" && a.Mode != "ro" {
			a.Mode = to.Mode
		}
		if to.Connector != nil {
			a.Connector = to.Connector
		}
		if a.Status == Reserved {
			a.Status = Attaching
		}
		if err := save(ctx, tx, &a); err != nil {
			return err
		}
		return s.settle(ctx, tx, a.VolumeID)
	})
	if err != nil {
		return Attachment{}, err
	}
	if !a.Connecting {
		return a.attachment()
	}
	s.cfg.Crash.Here("attachment recorded")
	row, err := s.volumeRow(ctx, a.VolumeID)
	if err != nil {
		return Attachment{}, err
	}
	if row == nil {
		return Attachment{}, volumeNotFound(a.VolumeID)
	}
	pool, err := s.pools.Of(row.Pool)
	if err != nil {
		return Attachment{}, err
	}
	if err := s.limitVolume(ctx, pool, row); err != nil {
		return Attachment{}, err
	}
	conn, err := pool.Connect(ctx, a.VolumeID, a.connector())
	if err != nil {
		return Attachment{}, fmt.Errorf("connecting volume %s to %s: %w", a.VolumeID, a.Host, err)
	}
	conn.Shared = row.MultiAttach
	s.cfg.Crash.Here("attachment connected")
	text, err := json.Marshal(conn)
	if err != nil {
		return Attachment{}, err
	}
	lost := false
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		now, err := s.loadAttachment(ctx, tx, id)
		if lost = errors.Is(err, nephos.ErrNotFound) || err == nil && (now.Status == Detaching || now.Host != a.Host); lost {
			return nil
		}
		if err != nil {
			return err
		}
		a = now
		a.Connecting, a.ConnectionText = false, string(text)
		if err := save(ctx, tx, &a); err != nil {
			return err
		}
		return s.emitAttachment(ctx, tx, "update", a)
	})
	if err != nil {
		return Attachment{}, err
	}
	if lost {
		// Somebody took it away meanwhile.
		err := s.disconnect(ctx, &a)
		return Attachment{}, errors.Join(nephos.Errorf(nephos.ErrConflict, "Attachment %s was taken away.", id), err)
	}
	return a.attachment()
}

func (r *attachmentRow) connector() volume.Connector {
	return volume.Connector{AttachmentID: r.ID, Host: r.Host, ReadOnly: r.Mode == "ro"}
}

// complete says that the guest has the volume.
func (s *Service) complete(ctx context.Context, tx *store.Tx, a *attachmentRow) error {
	if a.Status == Attached {
		return nil
	}
	now := tx.Now()
	a.Status, a.AttachedAt = Attached, &now
	if err := save(ctx, tx, a); err != nil {
		return err
	}
	if err := s.settle(ctx, tx, a.VolumeID); err != nil {
		return err
	}
	return s.emitAttachment(ctx, tx, "attach", *a)
}

// redo is when a worker looks whether a detaching was carried through by the
// one who began it.
const redo = 30 * time.Second

// beginDetach moves an attachment to detaching, and has it carried through.
func (s *Service) beginDetach(ctx context.Context, tx *store.Tx, a *attachmentRow) error {
	if a.Status != Detaching {
		a.Status = Detaching
		if err := save(ctx, tx, a); err != nil {
			return err
		}
		if err := s.settle(ctx, tx, a.VolumeID); err != nil {
			return err
		}
	}
	return reconcile.Enqueue(ctx, tx, kindAttachment, a.ID, tx.Now().Add(redo))
}

// detach takes an attachment away: written down first, then disconnected, then
// forgotten. One that is gone is success.
func (s *Service) detach(ctx context.Context, id string) error {
	var rows []attachmentRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		rows = nil
		if err := tx.NewSelect().Model(&rows).Where("att.id = ? AND att.detached_at IS NULL", id).Scan(ctx); err != nil || len(rows) == 0 {
			return err
		}
		return s.beginDetach(ctx, tx, &rows[0])
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	return s.finishDetach(ctx, rows[0], s.cfg.Store.Tx)
}

// finishDetach disconnects and forgets an attachment that is detaching.
func (s *Service) finishDetach(ctx context.Context, a attachmentRow, run transact) error {
	if a.Host != "" {
		if err := s.disconnect(ctx, &a); err != nil {
			return fmt.Errorf("disconnecting volume %s from %s: %w", a.VolumeID, a.Host, err)
		}
	}
	s.cfg.Crash.Here("attachment disconnected")
	return run(ctx, func(ctx context.Context, tx *store.Tx) error {
		var rows []attachmentRow
		if err := tx.NewSelect().Model(&rows).Where("att.id = ? AND att.status = ? AND att.detached_at IS NULL", a.ID, Detaching).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 0 {
			return nil
		}
		if rows[0].Host != a.Host {
			return errBusy
		}
		if err := s.dropAttachment(ctx, tx, &rows[0]); err != nil {
			return err
		}
		if err := s.settle(ctx, tx, a.VolumeID); err != nil {
			return err
		}
		return s.emitAttachment(ctx, tx, "delete", a)
	})
}

// sweepAfter is how long a call of the pool that nobody waits for any more can
// still have an effect.
const sweepAfter = 5 * time.Minute

// dropAttachment forgets a disconnected attachment. One that the pool may still
// be connecting leaves a tombstone, by which a worker disconnects it once more.
func (s *Service) dropAttachment(ctx context.Context, tx *store.Tx, a *attachmentRow) error {
	if !a.Connecting {
		_, err := tx.NewDelete().Model(a).WherePK().Exec(ctx)
		return err
	}
	now := tx.Now()
	a.DetachedAt, a.OwnerKey = &now, nil
	if err := save(ctx, tx, a); err != nil {
		return err
	}
	return reconcile.Enqueue(ctx, tx, kindAttachment, a.ID, now.Add(sweepAfter))
}

// emitAttachment records a change of an attachment as attachment.<verb>.
func (s *Service) emitAttachment(ctx context.Context, tx *store.Tx, verb string, a attachmentRow) error {
	return s.emit(ctx, tx, "attachment."+verb, a.ID, a.ProjectID, map[string]string{
		"volume_id": a.VolumeID, "server_id": a.ServerID, "host": a.Host, "status": a.Status,
	})
}
