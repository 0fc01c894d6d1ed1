package identity

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// AuthRequest is who somebody claims to be, how to prove it, and the scope of
// the token that is wanted.
type AuthRequest struct {
	// Methods are "password", "token", "application_credential", in any number;
	// each names a field below, and all must name the same user.
	Methods  []string
	Password *PasswordAuth
	Token    string
	AppCred  *AppCredAuth

	// Scope is what the token shall be good for. The zero value means the user's
	// default project if that works, and unscoped otherwise.
	Scope Scope
}

// PasswordAuth names a user, by id or by name and domain, and the password.
type PasswordAuth struct {
	UserID, UserName     string
	DomainID, DomainName string
	Password             string
}

// Scope asks for a scope: a project (by id, or by name and domain), a domain, the
// system, or explicitly none.
type Scope struct {
	ProjectID, ProjectName string
	DomainID, DomainName   string // of the project, or the scope itself when no project is named
	System                 bool
	Unscoped               bool
}

func (s Scope) isProject() bool { return s.ProjectID != "" || s.ProjectName != "" }
func (s Scope) isDomain() bool  { return !s.isProject() && (s.DomainID != "" || s.DomainName != "") }

// errNoAuth is what every failed authentication answers. The cause is for logs.
// An error that is not about the credentials passes.
func errNoAuth(cause error) error {
	if cause != nil && !errors.Is(cause, nephos.ErrUnauthenticated) && !errors.Is(cause, nephos.ErrNotFound) {
		return cause
	}
	e := nephos.Errorf(nephos.ErrUnauthenticated, "The request you have made requires authentication.")
	e.Cause = cause
	return e
}

// refused is a failed authentication for the given reason.
func refused(why string) error {
	return errNoAuth(nephos.Errorf(nephos.ErrUnauthenticated, "authenticating: %s", why))
}

// Authenticate implements [Tokens].
func (s *Service) Authenticate(ctx context.Context, req AuthRequest) (*Token, string, error) {
	if len(req.Methods) == 0 {
		return nil, "", errNoAuth(nil)
	}
	var p payload
	var after int64
	var user userRow
	identify := func(u userRow) error {
		if user.ID != "" && user.ID != u.ID {
			return refused("the methods name different users")
		}
		user = u
		return nil
	}
	for _, method := range slices.Compact(slices.Sorted(slices.Values(req.Methods))) {
		var u userRow
		var err error
		switch {
		case method == "password" && req.Password != nil:
			u, err = s.checkUserPassword(ctx, *req.Password)
		case method == "token" && req.Token == "":
			err = nephos.Errorf(nephos.ErrNotFound, "No token in the request")
		case method == "token":
			u, err = s.checkSourceToken(ctx, req.Token, &p)
		case method == "application_credential" && req.AppCred != nil:
			u, err = s.checkAppCred(ctx, *req.AppCred, &p)
		default:
			err = refused("unknown method " + clip(method))
		}
		if err == nil {
			err = identify(u)
		}
		if err != nil {
			return nil, "", err
		}
		if !slices.Contains(p.Methods, method) {
			p.Methods = append(p.Methods, method)
		}
	}
	p.UserID = user.ID
	if !mfaSatisfied(user.User, p.Methods) {
		return nil, "", refused("the user's multi-factor rules ask for more methods")
	}
	scopeAfter, err := s.chooseScope(ctx, user.User, req.Scope, &p)
	if err != nil {
		return nil, "", err
	}
	var home projectRow
	if ok, err := one(ctx, s.cfg.Store.Reader().NewSelect().Model(&home).Where("project.id = ?", user.DomainID)); err != nil || !ok {
		return nil, "", errNoAuth(err)
	}
	after = max(user.TokensAfter, home.TokensAfter, scopeAfter)
	return s.issue(ctx, p, after)
}

// checkUserPassword finds a user by a password. A user that does not exist, or
// has no password, or whose domain is disabled, costs as much time as one that
// does.
func (s *Service) checkUserPassword(ctx context.Context, a PasswordAuth) (userRow, error) {
	row, found, err := s.findUser(ctx, a)
	if err != nil {
		return userRow{}, err
	}
	hash := row.PasswordHash
	if !found || hash == "" {
		passwordMatches(s.decoyHash, a.Password)
		return userRow{}, refused("no such user, or one without a password")
	}
	if !passwordMatches(hash, a.Password) {
		if strings.HasPrefix(hash, fastPrefix) {
			passwordMatches(s.decoyHash, a.Password)
		}
		return userRow{}, refused("wrong password")
	}
	if !row.Enabled {
		return userRow{}, refused("the user is disabled")
	}
	if row.PasswordExpiresAt != nil && !s.cfg.Clock.Now().Before(*row.PasswordExpiresAt) {
		e := nephos.Errorf(nephos.ErrUnauthenticated, "The password is expired and needs to be changed for user: %s.", row.ID)
		return row, e.WithReason(reasonExpired)
	}
	return row, nil
}

const reasonExpired = "PasswordExpired"

func isExpiredPassword(err error) bool {
	var e *nephos.Error
	return errors.As(err, &e) && e.Reason == reasonExpired
}

// findUser finds the named user in an enabled domain.
func (s *Service) findUser(ctx context.Context, a PasswordAuth) (row userRow, found bool, err error) {
	q := s.cfg.Store.Reader().NewSelect().Model(&row)
	domain := "usr.domain_id IN (SELECT id FROM identity_projects WHERE is_domain AND enabled AND "
	switch {
	case a.UserID != "":
		q = q.Where("usr.id = ?", a.UserID).Where(domain + "TRUE)")
	case a.DomainName != "":
		q = q.Where("usr.name = ?", a.UserName).Where(domain+"name = ?)", a.DomainName)
	default:
		q = q.Where("usr.name = ?", a.UserName).Where(domain+"id = ?)", a.DomainID)
	}
	found, err = one(ctx, q)
	return row, found, err
}

// checkSourceToken finds a user by a token, which the new one will not outlive.
func (s *Service) checkSourceToken(ctx context.Context, token string, p *payload) (userRow, error) {
	_, err := s.Verify(ctx, token)
	var t *Token
	if err == nil {
		t, err = s.resolve(ctx, token)
	}
	if isUnauthenticated(err) {
		return userRow{}, s.noToken(token)
	}
	if err != nil {
		return userRow{}, err
	}
	if t.AppCred != nil {
		return userRow{}, forbidden("rescope an application credential's token", nil)
	}
	p.ExpiresAt = t.ExpiresAt
	p.AuditIDs = t.AuditIDs[len(t.AuditIDs)-1:]
	for _, m := range t.Methods {
		if !slices.Contains(p.Methods, m) {
			p.Methods = append(p.Methods, m)
		}
	}
	row, err := loadUser(ctx, s.cfg.Store.Reader(), t.User.ID)
	if err != nil {
		return row, errNoAuth(err)
	}
	return row, nil
}

// chooseScope sets the payload's scope, and returns the second up to which
// tokens of that scope are void.
func (s *Service) chooseScope(ctx context.Context, user User, want Scope, p *payload) (int64, error) {
	if p.AppCredID != "" {
		if want != (Scope{}) {
			return 0, nephos.Errorf(nephos.ErrUnauthenticated,
				"Error authenticating with application credential: Application credentials cannot request a scope.")
		}
		want = Scope{ProjectID: p.ProjectID}
	}
	switch {
	case want.Unscoped:
		return 0, nil
	case want.System:
		p.System = true
		return 0, nil
	case want.isProject():
		row, ok, err := s.findScope(ctx, want)
		if err != nil || !ok {
			return 0, errNoAuth(err)
		}
		p.ProjectID = row.ID
		return s.domainAfter(ctx, row)
	case want.isDomain():
		row, ok, err := s.findScope(ctx, want)
		if err != nil || !ok {
			return 0, errNoAuth(err)
		}
		p.DomainID = row.ID
		return row.TokensAfter, nil
	case user.DefaultProjectID == "":
		return 0, nil
	}
	// The default project, if a token on it would be good.
	row, ok, err := s.findScope(ctx, Scope{ProjectID: user.DefaultProjectID})
	if err != nil || !ok {
		return 0, err
	}
	roles, err := loadHeld(ctx, s.cfg.Store.Reader(), user.ID, projectTargetType, row.ID)
	if err != nil || len(roles) == 0 {
		return 0, err
	}
	p.ProjectID = row.ID
	return s.domainAfter(ctx, row)
}

// findScope finds an enabled project in an enabled domain, or such a domain.
func (s *Service) findScope(ctx context.Context, want Scope) (row projectRow, found bool, err error) {
	const enabledDomain = "SELECT id FROM identity_projects WHERE is_domain AND enabled"
	q := s.cfg.Store.Reader().NewSelect().Model(&row).Where("project.enabled").Where("project.is_domain = ?", want.isDomain())
	switch {
	case want.isDomain() && want.DomainName != "":
		q = q.Where("project.name = ?", want.DomainName)
	case want.isDomain():
		q = q.Where("project.id = ?", want.DomainID)
	case want.ProjectName == "":
		q = q.Where("project.id = ?", want.ProjectID).Where("project.domain_id IN (" + enabledDomain + ")")
	case want.DomainName != "":
		q = q.Where("project.name = ?", want.ProjectName).Where("project.domain_id IN ("+enabledDomain+" AND name = ?)", want.DomainName)
	default:
		q = q.Where("project.name = ?", want.ProjectName).Where("project.domain_id IN ("+enabledDomain+" AND id = ?)", want.DomainID)
	}
	found, err = one(ctx, q)
	return row, found, err
}

// domainAfter is the second up to which tokens on a project are void: the
// project's own or its domain's.
func (s *Service) domainAfter(ctx context.Context, project projectRow) (int64, error) {
	var after []int64
	err := s.cfg.Store.Reader().NewRaw("SELECT tokens_after FROM identity_projects WHERE id = ?", project.DomainID).Scan(ctx, &after)
	return max(project.TokensAfter, slices.Max(append(after, 0))), err
}

// mfaSatisfied checks the methods against the user's rules, as the options
// multi_factor_auth_enabled and multi_factor_auth_rules set them: one rule, all
// of whose methods were used, is enough.
func mfaSatisfied(u User, methods []string) bool {
	if enabled, ok := u.Options["multi_factor_auth_enabled"].(bool); ok && !enabled {
		return true
	}
	rules, _ := u.Options["multi_factor_auth_rules"].([]any)
	usable := 0
	for _, r := range rules {
		list, _ := r.([]any)
		if len(list) == 0 {
			continue
		}
		usable++
		if !slices.ContainsFunc(list, func(m any) bool {
			name, _ := m.(string)
			return !slices.Contains(methods, name)
		}) {
			return true
		}
	}
	return usable == 0
}
