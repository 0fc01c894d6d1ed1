package blockstorage

import (
	"context"
	"errors"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// initialized is the state of an attachment that is only a connection, made by
// the older volume actions: it says nothing of the volume and is not listed.
const initialized = "initialized"

// CreateAttachment implements [Attachments].
func (s *Service) CreateAttachment(ctx context.Context, spec AttachmentSpec) (Attachment, error) {
	const rule = "volume:attachment_create"
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return Attachment{}, s.enforce(ctx, rule, nil)
	}
	var to connectTo
	if spec.Connector != nil {
		var err error
		if to, err = connectorOf(spec.Connector); err != nil {
			return Attachment{}, err
		}
	}
	if spec.Mode == "" {
		spec.Mode = "null"
	}
	a := attachmentRow{Attachment: Attachment{ID: s.cfg.IDs.New(), ServerID: spec.ServerID, Mode: spec.Mode}}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		vol, err := s.loadVolume(ctx, tx, spec.VolumeID)
		if err != nil {
			return err
		}
		if err := s.enforceSeen(ctx, rule, &vol); err != nil {
			return err
		}
		first, fresh, err := tx.Once(ctx, "blockstorage.create_attachment", a.ID)
		if err != nil {
			return err
		}
		if !fresh {
			a, err = s.loadAttachment(ctx, tx, first)
			return err
		}
		return s.reserve(ctx, tx, &vol, &a)
	})
	if err != nil || spec.Connector == nil {
		return a.Attachment, err
	}
	out, err := s.connect(ctx, a.ID, to)
	if err != nil {
		// What failed as a whole leaves nothing behind.
		return Attachment{}, errors.Join(err, s.detach(context.WithoutCancel(ctx), a.ID))
	}
	return out, nil
}

// connectorOf reads what matters of a client's connector.
func connectorOf(c map[string]any) (connectTo, error) {
	field := func(name string) string {
		v, _ := c[name].(string)
		return v
	}
	to := connectTo{Host: field("host"), Mountpoint: field("mountpoint"), Connector: c}
	switch mode := field("mode"); mode {
	case "ro", "rw":
		to.Mode = mode
	case "", "null":
	default:
		return to, nephos.Errorf(nephos.ErrInvalid, "Invalid attaching mode '%s'.", clip(mode)).WithField("mode")
	}
	if to.Host == "" || len(to.Host) > 255 || len(to.Mountpoint) > 255 {
		return to, nephos.Errorf(nephos.ErrInvalid, "Invalid input received: Connector doesn't have required information: host").WithField("connector")
	}
	return to, nil
}

// Attachment implements [Attachments].
func (s *Service) Attachment(ctx context.Context, id string) (Attachment, error) {
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return Attachment{}, s.enforce(ctx, "volume:get", nil)
	}
	a, err := s.loadAttachment(ctx, s.cfg.Store.Reader(), id)
	if err != nil {
		return Attachment{}, err
	}
	if err := s.enforceAttachment(ctx, "volume:get", &a); err != nil {
		return Attachment{}, err
	}
	return a.attachment()
}

// enforceAttachment checks a rule against an attachment. To one who may not
// even see its volume, it does not exist.
func (s *Service) enforceAttachment(ctx context.Context, rule string, a *attachmentRow) error {
	err := s.enforce(ctx, rule, a.target())
	if errors.Is(err, nephos.ErrForbidden) && (rule == "volume:get" || s.enforce(ctx, "volume:get", a.target()) != nil) {
		return attachmentNotFound(a.ID)
	}
	return err
}

// ListAttachments implements [Attachments].
func (s *Service) ListAttachments(ctx context.Context, f AttachmentFilter, p nephos.Page) ([]Attachment, bool, error) {
	if err := s.enforce(ctx, "volume:get_all", own(ctx)); err != nil {
		return nil, false, err
	}
	db := s.cfg.Store.Reader()
	var rows []attachmentRow
	l := attachmentList()
	q := db.NewSelect().Model(&rows).Where("att.detached_at IS NULL AND att.status <> ?", initialized)
	follow, err := find(ctx, db, l, l.filter(s.projectOnly(ctx, q, "att.project_id", f.AllProjects), f.Match), &rows, p, f.Offset)
	if err != nil {
		return nil, false, err
	}
	out, err := views(rows)
	return out, follow, err
}

func views(rows []attachmentRow) ([]Attachment, error) {
	out := make([]Attachment, len(rows))
	var err error
	for i := range rows {
		if out[i], err = rows[i].attachment(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ConnectAttachment implements [Attachments].
func (s *Service) ConnectAttachment(ctx context.Context, id string, connector map[string]any) (Attachment, error) {
	const rule = "volume:attachment_update"
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return Attachment{}, s.enforce(ctx, rule, nil)
	}
	db := s.cfg.Store.Reader()
	a, err := s.loadAttachment(ctx, db, id)
	if err != nil {
		return Attachment{}, err
	}
	if err := s.enforceAttachment(ctx, rule, &a); err != nil {
		return Attachment{}, err
	}
	if a.OwnerKey != nil {
		return Attachment{}, usedByCompute(a.ServerID)
	}
	to, err := connectorOf(connector)
	if err != nil {
		return Attachment{}, err
	}
	return s.connect(ctx, id, to)
}

// usedByCompute refuses to take from a server what compute gave it.
func usedByCompute(serverID string) error {
	return nephos.Errorf(nephos.ErrConflict, "ConflictNovaUsingAttachment: Detach volume from instance %s using the Compute API", serverID)
}

// FinishAttachment implements [Attachments].
func (s *Service) FinishAttachment(ctx context.Context, id string) error {
	const rule = "volume:attachment_complete"
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return s.enforce(ctx, rule, nil)
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		a, err := s.loadAttachment(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := s.enforceAttachment(ctx, rule, &a); err != nil {
			return err
		}
		if a.Status == Detaching {
			return nephos.Errorf(nephos.ErrConflict, "Attachment %s is being detached.", a.ID)
		}
		return s.complete(ctx, tx, &a)
	})
}

// DeleteAttachment implements [Attachments].
func (s *Service) DeleteAttachment(ctx context.Context, id string) ([]Attachment, error) {
	const rule = "volume:attachment_delete"
	if _, ok := nephos.CallerFrom(ctx); !ok {
		return nil, s.enforce(ctx, rule, nil)
	}
	db := s.cfg.Store.Reader()
	a, err := s.loadAttachment(ctx, db, id)
	if err != nil {
		return nil, err
	}
	if err := s.enforceAttachment(ctx, rule, &a); err != nil {
		return nil, err
	}
	if a.OwnerKey != nil && a.Host != "" && !isService(ctx) {
		return nil, usedByCompute(a.ServerID)
	}
	if err := s.detach(ctx, id); err != nil {
		return nil, err
	}
	by, err := attachmentsOf(ctx, db, a.VolumeID)
	if err != nil {
		return nil, err
	}
	return views(by[a.VolumeID])
}
