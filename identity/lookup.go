package identity

import (
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

// lookUp finds what a payload's ids stand for now. It fails, as unauthenticated,
// when the token was revoked, or the user, the scope or every role is gone.
func (s *Service) lookUp(ctx context.Context, p payload) (*Token, error) {
	db := s.cfg.Store.Reader()
	user, err := loadUser(ctx, db, p.UserID)
	if err != nil {
		return nil, gone(err, "its user does not exist")
	}
	// Domains and the project by one query.
	var scopes []projectRow
	ids := []string{user.DomainID, p.DomainID, p.ProjectID}
	err = db.NewRaw(`SELECT project.* FROM identity_projects project WHERE project.id IN (?0) OR project.id IN
		(SELECT domain_id FROM identity_projects WHERE id = ?1)`, bun.List(ids), p.ProjectID).Scan(ctx, &scopes)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*projectRow, len(scopes))
	for i := range scopes {
		byID[scopes[i].ID] = &scopes[i]
	}
	issued := p.IssuedAt.Unix()
	home := byID[user.DomainID]
	switch {
	case !user.Enabled || home == nil || !home.Enabled:
		return nil, errToken("its user or the user's domain is disabled")
	case issued <= user.TokensAfter || issued <= home.TokensAfter:
		return nil, errToken("its user's tokens were revoked")
	}
	var revoked []string
	if err := db.NewRaw("SELECT audit_id FROM identity_revocations WHERE audit_id = ?", p.AuditIDs[0]).Scan(ctx, &revoked); err != nil {
		return nil, err
	}
	if len(revoked) > 0 {
		return nil, errToken("it was revoked")
	}
	t := &Token{
		Methods: p.Methods, User: Ref{user.ID, user.Name}, UserDomain: Ref{home.ID, home.Name}, PasswordExpiresAt: user.PasswordExpiresAt,
		AuditIDs: p.AuditIDs, IssuedAt: p.IssuedAt, ExpiresAt: p.ExpiresAt, System: p.System, payload: p,
	}
	if err := s.lookUpScope(ctx, db, t, byID); err != nil {
		return nil, err
	}
	if p.AppCredID != "" {
		if err := s.lookUpAppCred(ctx, db, t); err != nil {
			return nil, err
		}
	}
	t.caller = callerOf(t)
	return t, nil
}

// lookUpScope fills the token's scope, roles and catalog.
func (s *Service) lookUpScope(ctx context.Context, db bun.IDB, t *Token, byID map[string]*projectRow) error {
	p, issued := t.payload, t.payload.IssuedAt.Unix()
	usable := func(r *projectRow) bool { return r != nil && r.Enabled && issued > r.TokensAfter }
	targetType, targetID := "", ""
	switch {
	case p.ProjectID != "":
		project := byID[p.ProjectID]
		if !usable(project) || project.IsDomain {
			return errToken("its project is gone or disabled")
		}
		domain := byID[project.DomainID]
		if !usable(domain) {
			return errToken("its project's domain is gone or disabled")
		}
		t.Project, t.ProjectDomain = &Ref{project.ID, project.Name}, Ref{domain.ID, domain.Name}
		targetType, targetID = projectTargetType, project.ID
	case p.DomainID != "":
		domain := byID[p.DomainID]
		if !usable(domain) || !domain.IsDomain {
			return errToken("its domain is gone or disabled")
		}
		t.Domain = &Ref{domain.ID, domain.Name}
		targetType, targetID = domainTargetType, domain.ID
	case p.System:
		targetType, targetID = systemTarget, systemID
	default:
		return nil
	}
	var err error
	if t.Roles, err = loadHeld(ctx, db, p.UserID, targetType, targetID); err != nil {
		return err
	}
	if len(t.Roles) == 0 {
		return errToken("its user has no role there")
	}
	t.Catalog, err = s.catalogFor(ctx, db, p.UserID, p.ProjectID)
	return err
}

func callerOf(t *Token) nephos.Caller {
	c := nephos.Caller{
		UserID: t.User.ID, UserName: t.User.Name, UserDomainID: t.UserDomain.ID, UserDomainName: t.UserDomain.Name,
		System: t.System, AuditID: t.AuditIDs[0], ExpiresAt: t.ExpiresAt,
	}
	if t.Project != nil {
		c.ProjectID, c.ProjectName = t.Project.ID, t.Project.Name
		c.ProjectDomainID, c.ProjectDomainName = t.ProjectDomain.ID, t.ProjectDomain.Name
	}
	if t.Domain != nil {
		c.DomainID, c.DomainName = t.Domain.ID, t.Domain.Name
	}
	for _, r := range t.Roles {
		c.Roles = append(c.Roles, r.Name)
	}
	return c
}

// gone turns a missing row into a token that is no good; other errors pass.
func gone(err error, why string) error {
	if errors.Is(err, nephos.ErrNotFound) {
		return errToken(why)
	}
	return err
}

func isUnauthenticated(err error) bool { return errors.Is(err, nephos.ErrUnauthenticated) }

// voidUntil is the new second up to which tokens are void. It always grows, so
// that a token issued between two changes in one second is void, too.
func voidUntil(old int64, now time.Time) int64 { return max(old+1, now.Unix()) }
