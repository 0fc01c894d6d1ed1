package identity

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// AppCredential is a password of its own for a program, good for one project
// and some of its owner's roles there. It is worth no more than its owner: roles
// that the owner loses it loses, too.
type AppCredential struct {
	ID           string `bun:",pk"`
	Name         string // unique for its user
	UserID       string
	ProjectID    string
	Description  *string
	RoleIDs      []string `bun:"roles"`
	Unrestricted bool     `bun:"is_unrestricted"` // may itself make and delete application credentials
	ExpiresAt    *time.Time
	Roles        []Role `bun:"-"`
}

// AppCredSpec describes an application credential to create, for the caller and
// the project of the caller's token.
type AppCredSpec struct {
	UserID       string // must be the caller
	Name         string
	Description  *string
	Secret       string // empty: one is generated
	Roles        []Ref  // by id or by name; none: all that the caller has
	Unrestricted bool
	ExpiresAt    *time.Time
	// By is the token that the caller came with: one got by a restricted
	// application credential is refused.
	By string
}

// AppCredAuth names an application credential, by id or by name and user.
type AppCredAuth struct {
	ID, Name             string
	UserID, UserName     string
	DomainID, DomainName string
	Secret               string
}

// AppCredentials is what the Identity API's application credentials need.
type AppCredentials interface {
	// CreateAppCredential makes one and returns its secret, which is not kept.
	CreateAppCredential(ctx context.Context, spec AppCredSpec) (AppCredential, string, error)
	AppCredential(ctx context.Context, userID, id string) (AppCredential, error)
	ListAppCredentials(ctx context.Context, userID string, name []Match, p nephos.Page) ([]AppCredential, bool, error)
	// DeleteAppCredential removes one, and ends every token got with it. by is
	// the token that the caller came with.
	DeleteAppCredential(ctx context.Context, userID, id, by string) error
}

var _ AppCredentials = (*Service)(nil)

// CreateAppCredential implements [AppCredentials].
func (s *Service) CreateAppCredential(ctx context.Context, spec AppCredSpec) (AppCredential, string, error) {
	if err := s.enforce(ctx, "identity:create_application_credential", owner(spec.UserID)); err != nil {
		return AppCredential{}, "", err
	}
	if err := s.checkUnrestricted(ctx, spec.By); err != nil {
		return AppCredential{}, "", err
	}
	caller, _ := nephos.CallerFrom(ctx)
	if caller.UserID != spec.UserID {
		return AppCredential{}, "", forbidden("Cannot create an application credential for another user.", nil)
	}
	if caller.ProjectID == "" {
		return AppCredential{}, "", forbidden("identity:create_application_credential", errors.New("the token has no project"))
	}
	if err := checkName("application credential", spec.Name); err != nil {
		return AppCredential{}, "", err
	}
	if spec.ExpiresAt != nil && !s.cfg.Clock.Now().Before(*spec.ExpiresAt) {
		return AppCredential{}, "", nephos.Errorf(nephos.ErrInvalid, "The 'expires_at' must not be before now. The server could not comply with "+
			"the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.").WithField("expires_at")
	}
	secret, hash, err := s.newSecret(spec.Secret)
	if err != nil {
		return AppCredential{}, "", err
	}
	c := AppCredential{
		ID: s.cfg.IDs.Hex(), Name: spec.Name, UserID: spec.UserID, ProjectID: caller.ProjectID, Description: spec.Description,
		Unrestricted: spec.Unrestricted, ExpiresAt: spec.ExpiresAt,
	}
	err = s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		held, err := loadHeld(ctx, tx, c.UserID, projectTargetType, c.ProjectID)
		if err != nil {
			return err
		}
		if c.RoleIDs, err = chooseRoles(held, caller.Roles, spec.Roles); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&appCredRow{AppCredential: c, SecretHash: hash}).Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "application_credential.create", c.ID, nil)
	})
	if err != nil {
		return AppCredential{}, "", taken(err, "application_credential", spec.Name, "")
	}
	list, err := withRoles(ctx, s.cfg.Store.Reader(), []appCredRow{{AppCredential: c}})
	if err != nil {
		return AppCredential{}, "", err
	}
	return list[0], secret, nil
}

// newSecret returns a secret and its hash: the one that was chosen, or a new one.
func (s *Service) newSecret(chosen string) (secret, hash string, err error) {
	if chosen != "" {
		if err := checkPassword(chosen); err != nil {
			return "", "", err
		}
		hash, err := hashChosen(chosen, s.cfg.BcryptCost)
		return chosen, hash, err
	}
	random := s.cfg.IDs.Rand
	if random == nil {
		random = rand.Reader
	}
	raw := make([]byte, 64)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", "", fmt.Errorf("making a secret: %w", err)
	}
	secret = base64.RawURLEncoding.EncodeToString(raw)
	hash, err = hashGenerated(secret, random)
	return secret, hash, err
}

// chooseRoles returns the ids of the wanted roles, which must be among those
// that the owner holds and the caller's token carries; none means all.
func chooseRoles(held []Ref, carried []string, wanted []Ref) ([]string, error) {
	held = slices.DeleteFunc(slices.Clone(held), func(h Ref) bool { return !slices.Contains(carried, h.Name) })
	if len(wanted) == 0 {
		wanted = held
	}
	ids := []string{}
	for _, w := range wanted {
		i := slices.IndexFunc(held, func(h Ref) bool { return w.ID == h.ID || w.ID == "" && w.Name == h.Name })
		if i < 0 {
			return nil, nephos.Errorf(nephos.ErrInvalid,
				"Invalid application credential: Cannot create an application credential with unassigned role").WithField("roles")
		}
		if !slices.Contains(ids, held[i].ID) {
			ids = append(ids, held[i].ID)
		}
	}
	return ids, nil
}

// checkUnrestricted refuses a token that came from a restricted credential.
func (s *Service) checkUnrestricted(ctx context.Context, by string) error {
	if by == "" {
		return nil
	}
	t, err := s.resolve(ctx, by)
	if err != nil {
		return err
	}
	if t.AppCred != nil && !t.AppCred.Unrestricted {
		return forbidden("Using method 'application_credential' is not allowed for managing additional application credentials.", nil)
	}
	return nil
}

// AppCredential implements [AppCredentials].
func (s *Service) AppCredential(ctx context.Context, userID, id string) (AppCredential, error) {
	if err := s.enforce(ctx, "identity:get_application_credential", owner(userID)); err != nil {
		return AppCredential{}, err
	}
	row, err := loadAppCred(ctx, s.cfg.Store.Reader(), userID, id)
	if err != nil {
		return AppCredential{}, err
	}
	list, err := withRoles(ctx, s.cfg.Store.Reader(), []appCredRow{row})
	if err != nil {
		return AppCredential{}, err
	}
	return list[0], nil
}

// ListAppCredentials implements [AppCredentials].
func (s *Service) ListAppCredentials(ctx context.Context, userID string, name []Match, p nephos.Page) ([]AppCredential, bool, error) {
	if err := s.enforce(ctx, "identity:list_application_credentials", owner(userID)); err != nil {
		return nil, false, err
	}
	var rows []appCredRow
	q := where(s.cfg.Store.Reader().NewSelect().Model(&rows).Where("cred.user_id = ?", userID), "cred.name", name)
	more, err := page(ctx, s, q, &rows, "cred", p)
	if err != nil {
		return nil, false, err
	}
	list, err := withRoles(ctx, s.cfg.Store.Reader(), rows)
	return list, more, err
}

// DeleteAppCredential implements [AppCredentials].
func (s *Service) DeleteAppCredential(ctx context.Context, userID, id, by string) error {
	if err := s.enforce(ctx, "identity:delete_application_credential", owner(userID)); err != nil {
		return err
	}
	if err := s.checkUnrestricted(ctx, by); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadAppCred(ctx, tx, userID, id); err != nil {
			return err
		}
		if _, err := tx.NewRaw("DELETE FROM identity_application_credentials WHERE id = ?", id).Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "application_credential.delete", id, nil)
	})
}

func owner(userID string) policy.Target { return target("user_id", userID) }

// checkAppCred finds a user by an application credential, which also decides the
// scope.
func (s *Service) checkAppCred(ctx context.Context, a AppCredAuth, p *payload) (userRow, error) {
	var row appCredRow
	q := s.cfg.Store.Reader().NewSelect().Model(&row)
	if a.ID != "" {
		q = q.Where("cred.id = ?", a.ID)
	} else {
		user, found, err := s.findUser(ctx, PasswordAuth{UserID: a.UserID, UserName: a.UserName, DomainID: a.DomainID, DomainName: a.DomainName})
		if err != nil {
			return userRow{}, err
		}
		if !found {
			passwordMatches(s.decoyHash, a.Secret)
			return userRow{}, refused("no such user")
		}
		q = q.Where("cred.user_id = ? AND cred.name = ?", user.ID, a.Name)
	}
	found, err := one(ctx, q)
	if err != nil {
		return userRow{}, err
	}
	if !found && a.ID != "" {
		return userRow{}, notFound("Application Credential", a.ID)
	}
	if !found || !passwordMatches(row.SecretHash, a.Secret) {
		if !found || strings.HasPrefix(row.SecretHash, fastPrefix) {
			passwordMatches(s.decoyHash, a.Secret)
		}
		return userRow{}, refused("no such application credential, or another secret")
	}
	now := s.cfg.Clock.Now()
	if row.ExpiresAt != nil && !now.Before(*row.ExpiresAt) {
		return userRow{}, refused("the application credential has expired")
	}
	if row.ExpiresAt != nil && row.ExpiresAt.Before(now.Add(s.cfg.TokenLifetime)) {
		p.ExpiresAt = row.ExpiresAt.UTC().Truncate(time.Second)
	}
	p.AppCredID, p.ProjectID = row.ID, row.ProjectID
	user, err := loadUser(ctx, s.cfg.Store.Reader(), row.UserID)
	if err != nil {
		return userRow{}, errNoAuth(err)
	}
	return user, nil
}

// lookUpAppCred narrows a token to its application credential.
func (s *Service) lookUpAppCred(ctx context.Context, db bun.IDB, t *Token) error {
	row, err := loadAppCred(ctx, db, t.User.ID, t.payload.AppCredID)
	if err != nil {
		return gone(err, "its application credential does not exist")
	}
	if row.ProjectID != t.payload.ProjectID {
		return errToken("its application credential is for another project")
	}
	t.Roles = slices.DeleteFunc(t.Roles, func(r Ref) bool { return !slices.Contains(row.RoleIDs, r.ID) })
	if len(t.Roles) == 0 {
		return errToken("its application credential has no role left")
	}
	t.AppCred = &row.AppCredential
	return nil
}

type appCredRow struct {
	bun.BaseModel `bun:"table:identity_application_credentials,alias:cred"`
	AppCredential
	SecretHash string
}

func loadAppCred(ctx context.Context, db bun.IDB, userID, id string) (appCredRow, error) {
	var row appCredRow
	ok, err := one(ctx, db.NewSelect().Model(&row).Where("cred.id = ? AND cred.user_id = ?", id, userID))
	if err == nil && !ok {
		err = notFound("Application Credential", id)
	}
	return row, err
}

// withRoles fills in the roles by one query for all.
func withRoles(ctx context.Context, db bun.IDB, rows []appCredRow) ([]AppCredential, error) {
	ids := []string{""}
	for _, r := range rows {
		ids = append(ids, r.RoleIDs...)
	}
	var roles []roleRow
	if err := db.NewSelect().Model(&roles).Where("role.id IN (?)", bun.List(ids)).Scan(ctx); err != nil {
		return nil, err
	}
	byID := map[string]Role{}
	for _, r := range roles {
		byID[r.ID] = r.Role
	}
	list := make([]AppCredential, len(rows))
	for i, r := range rows {
		list[i] = r.AppCredential
		for _, id := range r.RoleIDs {
			if role, ok := byID[id]; ok {
				list[i].Roles = append(list[i].Roles, role)
			}
		}
	}
	return list, nil
}
