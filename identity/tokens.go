package identity

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// Ref names a resource.
type Ref struct{ ID, Name string }

// Token is what a token stands for now. It is shared: nobody may change it. As
// long as nothing changes, the same pointer is returned for the same token, so
// that whatever is made of it can be remembered by it.
type Token struct {
	Methods           []string
	User              Ref
	UserDomain        Ref
	PasswordExpiresAt *time.Time
	AuditIDs          []string // its own, and the first of the chain of tokens it came from
	IssuedAt          time.Time
	ExpiresAt         time.Time

	// Exactly one of these, or none for an unscoped token.
	Project       *Ref
	ProjectDomain Ref
	IsDomain      bool // the project is a domain
	Domain        *Ref
	System        bool

	Roles   []Ref
	Catalog *Catalog // nil for an unscoped token

	AppCred *AppCredential // the application credential that it was got with

	payload    payload
	caller     nephos.Caller
	generation generation
	keys       uint64
}

// TokenOptions are how a token is shown.
type TokenOptions struct {
	AllowExpired bool // for Config.ExpiredWindow after its end
	Check        bool // only whether it is good: another rule
}

// Tokens is what the Identity API's tokens need.
type Tokens interface {
	// Authenticate checks credentials and issues a token. Whatever is wrong with
	// them is one and the same ErrUnauthenticated, but a token that is no good and
	// an application credential whose id is unknown are ErrNotFound.
	Authenticate(ctx context.Context, req AuthRequest) (*Token, string, error)
	// ShowToken returns what somebody's token stands for; ErrNotFound when it is
	// no good.
	ShowToken(ctx context.Context, token string, o TokenOptions) (*Token, error)
	// RevokeToken ends a token.
	RevokeToken(ctx context.Context, token string) error
	// AuthProjects returns the projects to which the caller may scope a token.
	AuthProjects(ctx context.Context) ([]Project, error)
	// AuthDomains returns the domains to which the caller may scope a token.
	AuthDomains(ctx context.Context) ([]Domain, error)
	// AuthSystem reports whether the caller may scope a token to the system.
	AuthSystem(ctx context.Context) (bool, error)
	// AuthCatalog returns the catalog as the caller's project sees it.
	AuthCatalog(ctx context.Context) (*Catalog, error)
}

var _ Tokens = (*Service)(nil)

// Verify returns on whose behalf a token acts. It is what a service's HTTP
// layer asks at each request. An error wraps nephos.ErrUnauthenticated when the
// token is malformed, expired or revoked, or when its user, project or roles are
// gone. It asks the database only about tokens it did not see since the last
// change of any identity. The caller's roles are shared: don't change them.
func (s *Service) Verify(ctx context.Context, token string) (nephos.Caller, error) {
	t, err := s.resolve(ctx, token)
	if err != nil {
		return nephos.Caller{}, err
	}
	if !s.cfg.Clock.Now().Before(t.ExpiresAt) {
		return nephos.Caller{}, errToken("it has expired")
	}
	return t.caller, nil
}

// resolve returns what a token stands for now, its expiry aside.
func (s *Service) resolve(ctx context.Context, token string) (*Token, error) {
	generation, keys := s.current(), s.cfg.Keys.Version()
	t, known := s.tokens.get(token)
	if known && t.generation == generation && t.keys == keys {
		return t, nil
	}
	var p payload
	if known && t.keys == keys {
		p = t.payload
	} else {
		raw, issued, err := s.open(token)
		if err != nil {
			s.tokens.remove(token)
			return nil, err
		}
		if p, err = decodePayload(raw); err != nil {
			return nil, errToken(err.Error())
		}
		p.IssuedAt = issued
	}
	if !s.cfg.Clock.Now().Before(p.ExpiresAt.Add(s.cfg.ExpiredWindow)) {
		s.tokens.remove(token)
		return nil, errToken("it has expired")
	}
	t, err := s.lookUp(ctx, p)
	if err != nil {
		s.tokens.remove(token)
		return nil, err
	}
	t.generation, t.keys = generation, keys
	s.tokens.put(token, t)
	return t, nil
}

// open opens a token's envelope. When no key fits, the keys are read again, at
// most once a second: somebody else may have distributed new ones.
func (s *Service) open(token string) ([]byte, time.Time, error) {
	raw, issued, err := s.cfg.Keys.open(token)
	now := s.cfg.Clock.Now().Unix()
	if last := s.reloaded.Load(); err != nil && now != last && s.reloaded.CompareAndSwap(last, now) {
		before := s.cfg.Keys.Version()
		if e := s.cfg.Keys.Reload(); e != nil {
			s.cfg.Log.Error("reading the token keys", "error", e)
		}
		if s.cfg.Keys.Version() != before {
			return s.cfg.Keys.open(token)
		}
	}
	return raw, issued, err
}

// issue makes the token of a payload.
func (s *Service) issue(ctx context.Context, p payload, after int64) (*Token, string, error) {
	generation, keys := s.current(), s.cfg.Keys.Version()
	now := s.cfg.Clock.Now()
	// Tokens up to that second are void (a password was changed in it): one
	// issued now must not be among them, and Fernet counts whole seconds.
	p.IssuedAt = time.Unix(max(now.Unix(), after+1), 0).UTC()
	if p.ExpiresAt.IsZero() {
		p.ExpiresAt = now.Add(s.cfg.TokenLifetime).Truncate(time.Second)
	}
	own := s.newAuditID()
	p.AuditIDs = append([]string{own}, p.AuditIDs...)
	t, err := s.lookUp(ctx, p)
	if err != nil {
		return nil, "", errNoAuth(err)
	}
	raw, err := p.encode()
	if err != nil {
		return nil, "", err
	}
	token, err := s.cfg.Keys.seal(raw, p.IssuedAt)
	if err != nil {
		return nil, "", err
	}
	t.generation, t.keys = generation, keys
	s.tokens.put(token, t)
	return t, token, nil
}

// newAuditID returns 16 random bytes in URL-safe base64.
func (s *Service) newAuditID() string {
	raw, _ := hex.DecodeString(s.cfg.IDs.Hex())
	return base64.RawURLEncoding.EncodeToString(raw)
}

// ShowToken implements [Tokens].
func (s *Service) ShowToken(ctx context.Context, token string, o TokenOptions) (*Token, error) {
	rule := "identity:validate_token"
	if o.Check {
		rule = "identity:check_token"
	}
	return s.subject(ctx, rule, token, o.AllowExpired)
}

// subject loads the token that an operation is about. Whether it is good is
// told only to those who may know.
func (s *Service) subject(ctx context.Context, rule, token string, allowExpired bool) (*Token, error) {
	var t *Token
	err := error(nephos.Errorf(nephos.ErrNotFound, "No token in the request"))
	var about policy.Target
	if token != "" {
		if t, err = s.resolve(ctx, token); err == nil {
			about = target("target.token.user_id", t.User.ID)
			end := t.ExpiresAt
			if allowExpired {
				end = end.Add(s.cfg.ExpiredWindow)
			}
			if !s.cfg.Clock.Now().Before(end) {
				err = errToken("it has expired")
			}
		}
	}
	if e := s.enforce(ctx, rule, about); e != nil {
		return nil, e
	}
	if isUnauthenticated(err) {
		return nil, s.noToken(token)
	}
	return t, err
}

// noToken says of a token that is no good what Keystone says. The token itself
// is not repeated: it may be good elsewhere.
func (s *Service) noToken(token string) error {
	message := "Failed to validate token"
	if _, _, err := s.cfg.Keys.open(token); err != nil {
		message = "Could not recognize Fernet token"
	}
	return nephos.Errorf(nephos.ErrNotFound, "%s", message)
}

// RevokeToken implements [Tokens].
func (s *Service) RevokeToken(ctx context.Context, token string) error {
	t, err := s.subject(ctx, "identity:revoke_token", token, false)
	if err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewRaw("INSERT INTO identity_revocations (audit_id, expires_at) VALUES (?, ?) ON CONFLICT DO NOTHING",
			t.AuditIDs[0], t.ExpiresAt).Exec(ctx)
		if err != nil {
			return err
		}
		return s.emit(ctx, tx, "token.revoke", t.AuditIDs[0], nil)
	})
}

// AuthProjects implements [Tokens].
func (s *Service) AuthProjects(ctx context.Context) ([]Project, error) {
	if err := s.enforce(ctx, "identity:get_auth_projects", nil); err != nil {
		return nil, err
	}
	c, _ := nephos.CallerFrom(ctx)
	return loadUserProjects(ctx, s.cfg.Store.Reader(), c.UserID, ProjectFilter{})
}

// AuthDomains implements [Tokens].
func (s *Service) AuthDomains(ctx context.Context) ([]Domain, error) {
	if err := s.enforce(ctx, "identity:get_auth_domains", nil); err != nil {
		return nil, err
	}
	c, _ := nephos.CallerFrom(ctx)
	projects, err := loadUserDomains(ctx, s.cfg.Store.Reader(), c.UserID)
	return domainsOf(projects), err
}

// AuthSystem implements [Tokens].
func (s *Service) AuthSystem(ctx context.Context) (bool, error) {
	if err := s.enforce(ctx, "identity:get_auth_system", nil); err != nil {
		return false, err
	}
	c, _ := nephos.CallerFrom(ctx)
	roles, err := loadHeld(ctx, s.cfg.Store.Reader(), c.UserID, systemTarget, systemID)
	return len(roles) > 0, err
}

// AuthCatalog implements [Tokens].
func (s *Service) AuthCatalog(ctx context.Context) (*Catalog, error) {
	if err := s.enforce(ctx, "identity:get_auth_catalog", nil); err != nil {
		return nil, err
	}
	c, _ := nephos.CallerFrom(ctx)
	if c.ProjectID == "" {
		return nil, nephos.Errorf(nephos.ErrForbidden, "You are not authorized to perform the requested action.")
	}
	return s.catalogFor(ctx, s.cfg.Store.Reader(), c.UserID, c.ProjectID)
}
