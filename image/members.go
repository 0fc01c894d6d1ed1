package image

import (
	"context"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/store"
)

// What a member says to an image that is shared with it.
const (
	Pending  = "pending"  // nothing yet
	Accepted = "accepted" // its lists show the image
	Rejected = "rejected" // its lists don't
)

// Member is a project that an image is shared with.
type Member struct {
	ImageID   string
	MemberID  string // project ID
	Status    string
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Members is what the Image API's members need. An image that is not shared has
// no members: all of them then answer ErrForbidden.
type Members interface {
	// AddMember shares an image; the member is pending. A member already is
	// ErrConflict.
	AddMember(ctx context.Context, imageID, memberID string) (Member, error)
	// ListMembers returns an image's members; a member sees only itself.
	ListMembers(ctx context.Context, imageID string) ([]Member, error)
	Member(ctx context.Context, imageID, memberID string) (Member, error)
	// UpdateMember sets a member's status, which is the member's to decide.
	UpdateMember(ctx context.Context, imageID, memberID, status string) (Member, error)
	RemoveMember(ctx context.Context, imageID, memberID string) error
}

// NotShared is the reason of the error when an image has no members.
const NotShared = "NotShared"

// sharedImage loads an image that must be shared, and checks the rule.
func (s *Service) sharedImage(ctx context.Context, db bun.IDB, id string, rules ...string) (Image, imageRow, error) {
	img, row, err := s.load(ctx, db, id)
	if err != nil {
		return Image{}, imageRow{}, s.unlessUnknown(ctx, err)
	}
	if img.Visibility != Shared {
		if err := s.enforceOn(ctx, "get_image", img); err != nil {
			return Image{}, imageRow{}, err
		}
		return Image{}, imageRow{}, nephos.Errorf(nephos.ErrForbidden, "Only shared images have members.").WithReason(NotShared)
	}
	for _, rule := range rules {
		if err := s.enforceOn(ctx, rule, img); err != nil {
			return Image{}, imageRow{}, err
		}
	}
	return img, row, nil
}

// onceMember is what an Idempotency-Key is kept for.
const onceMember = "image.add_member"

// AddMember implements [Members].
func (s *Service) AddMember(ctx context.Context, imageID, memberID string) (Member, error) {
	if _, ok, err := s.cfg.Store.Made(ctx, onceMember); err != nil {
		return Member{}, err
	} else if ok {
		return s.Member(ctx, imageID, memberID)
	}
	var m Member
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		img, row, err := s.sharedImage(ctx, tx, imageID, "add_member")
		if err != nil {
			return err
		}
		if _, _, err := tx.Once(ctx, onceMember, img.ID); err != nil {
			return err
		}
		if memberID == "" || utf8.RuneCountInString(memberID) > maxText || checkUTF8("member", memberID) != nil {
			return nephos.Errorf(nephos.ErrInvalid, "The member must be a project ID of 1 to %d characters.", maxText).WithField("member")
		}
		var n int
		if err := tx.NewRaw("SELECT COUNT(*) FROM image_members WHERE image_id = ?", img.ID).Scan(ctx, &n); err != nil {
			return err
		}
		if err := s.cfg.Limits.checkMembers(n + 1); err != nil {
			return nephos.Errorf(nephos.ErrTooLarge, "Image member limit exceeded for image %s: %s:", img.ID, err)
		}
		now := tx.Now()
		m = Member{ImageID: img.ID, MemberID: memberID, Status: Pending, CreatedAt: now, UpdatedAt: now}
		_, err = tx.NewInsert().Model(&memberRow{ImageID: m.ImageID, MemberID: m.MemberID, Status: m.Status, CreatedAt: now, UpdatedAt: now}).Exec(ctx)
		if err != nil {
			return err
		}
		return s.emit(ctx, tx, "image.member.create", row, map[string]string{"member_id": memberID})
	})
	if store.UniqueViolation(err) {
		err = nephos.Errorf(nephos.ErrConflict, "Member %s is duplicated for image %s", memberID, imageID).WithField("member")
	}
	return m, err
}

// ListMembers implements [Members].
func (s *Service) ListMembers(ctx context.Context, imageID string) ([]Member, error) {
	db := s.cfg.Store.Reader()
	img, _, err := s.sharedImage(ctx, db, imageID, "get_members")
	if err != nil {
		return nil, err
	}
	var rows []memberRow
	q := s.ownMembership(ctx, db.NewSelect().Model(&rows).Where("member.image_id = ?", img.ID), img)
	if err := q.Order("member.created_at", "member.member_id").Scan(ctx); err != nil {
		return nil, err
	}
	members := make([]Member, len(rows))
	for i, r := range rows {
		members[i] = r.member()
	}
	return members, nil
}

// ownMembership leaves of a query what the caller may know: an image's owner
// knows all members, a member itself.
func (s *Service) ownMembership(ctx context.Context, q *bun.SelectQuery, img Image) *bun.SelectQuery {
	c, _ := nephos.CallerFrom(ctx)
	if s.seesAll(ctx) || c.ProjectID == img.Owner {
		return q
	}
	return q.Where("member.member_id = ?", c.ProjectID)
}

func (r memberRow) member() Member {
	return Member{ImageID: r.ImageID, MemberID: r.MemberID, Status: r.Status, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC()}
}

func (s *Service) loadMember(ctx context.Context, db bun.IDB, img Image, memberID string) (memberRow, error) {
	var rows []memberRow
	if checkText("member_id", memberID, maxText) == nil {
		q := db.NewSelect().Model(&rows).Where("member.image_id = ? AND member.member_id = ?", img.ID, memberID)
		if err := s.ownMembership(ctx, q, img).Scan(ctx); err != nil {
			return memberRow{}, err
		}
	}
	if len(rows) == 0 {
		return memberRow{}, nephos.Errorf(nephos.ErrNotFound, "%s not found in the member list of the image %s.", clip(memberID), img.ID)
	}
	return rows[0], nil
}

// Member implements [Members].
func (s *Service) Member(ctx context.Context, imageID, memberID string) (Member, error) {
	db := s.cfg.Store.Reader()
	img, _, err := s.sharedImage(ctx, db, imageID, "get_member")
	if err != nil {
		return Member{}, err
	}
	row, err := s.loadMember(ctx, db, img, memberID)
	return row.member(), err
}

// UpdateMember implements [Members].
func (s *Service) UpdateMember(ctx context.Context, imageID, memberID, status string) (Member, error) {
	var m memberRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		img, row, err := s.sharedImage(ctx, tx, imageID, "get_member")
		if err != nil {
			return err
		}
		if m, err = s.loadMember(ctx, tx, img, memberID); err != nil {
			return err
		}
		if err := s.enforceOn(ctx, "modify_member", img); err != nil {
			return err
		}
		if status != Pending && status != Accepted && status != Rejected {
			return nephos.Errorf(nephos.ErrInvalid, `Incorrect request: Status must be "pending", "accepted" or "rejected".`).WithField("status")
		}
		m.Status, m.UpdatedAt = status, tx.Now()
		if _, err := tx.NewUpdate().Model(&m).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "image.member.update", row, map[string]string{"member_id": memberID, "status": status})
	})
	return m.member(), err
}

// RemoveMember implements [Members].
func (s *Service) RemoveMember(ctx context.Context, imageID, memberID string) error {
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		img, row, err := s.sharedImage(ctx, tx, imageID, "get_member")
		if err != nil {
			return err
		}
		m, err := s.loadMember(ctx, tx, img, memberID)
		if err != nil {
			return err
		}
		if err := s.enforceOn(ctx, "delete_member", img); err != nil {
			return err
		}
		if _, err := tx.NewDelete().Model(&m).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "image.member.delete", row, map[string]string{"member_id": memberID})
	})
}
