package identity

import (
	"context"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// User is somebody, or a program, that can log in.
type User struct {
	ID                string `bun:",pk"`
	Name              string
	DomainID          string
	DefaultProjectID  string // of a token for which no scope is asked
	Enabled           bool
	Options           map[string]any
	Extra             map[string]any // description and email among them
	PasswordExpiresAt *time.Time
}

// UserSpec describes a user to create.
type UserSpec struct {
	Name             string
	DomainID         string // empty: the caller's domain scope, else the default domain
	DefaultProjectID string
	Enabled          *bool   // nil: true
	Password         *string // nil: cannot log in with one
	Options          map[string]any
	Extra            map[string]any
}

// UserUpdate changes a user; what is nil stays.
type UserUpdate struct {
	Name             *string
	DomainID         *string // must be the user's own
	DefaultProjectID *string // empty: none
	Enabled          *bool
	Password         *string
	ClearPassword    bool
	Options          map[string]any
	Extra            map[string]any
}

// UserFilter narrows a list of users.
type UserFilter struct {
	Name             []Match
	DomainID         string
	Enabled          *bool
	PasswordExpires  []TimeMatch
	DefaultProjectID string
}

// TimeMatch is a condition on a time: Op is one of eq, neq, lt, lte, gt, gte.
type TimeMatch struct {
	Op   string
	Time time.Time
}

// Users is what the Identity API's users need.
type Users interface {
	// CreateUser makes a user. A name taken in its domain is ErrConflict.
	CreateUser(ctx context.Context, spec UserSpec) (User, error)
	User(ctx context.Context, id string) (User, error)
	ListUsers(ctx context.Context, f UserFilter, p nephos.Page) ([]User, bool, error)
	// UpdateUser changes a user. Disabling one, or setting a password, ends all
	// the user's tokens.
	UpdateUser(ctx context.Context, id string, u UserUpdate) (User, error)
	// DeleteUser removes a user, memberships and assignments.
	DeleteUser(ctx context.Context, id string) error
	// ChangePassword lets a user who knows the old password set a new one. It
	// needs no caller; ErrUnauthenticated says that the old one is wrong.
	ChangePassword(ctx context.Context, id, old, new string) error
}

var _ Users = (*Service)(nil)

// CreateUser implements [Users].
func (s *Service) CreateUser(ctx context.Context, spec UserSpec) (User, error) {
	user := User{
		ID: s.cfg.IDs.Hex(), Name: strings.TrimSpace(spec.Name), DomainID: homeDomain(ctx, spec.DomainID), DefaultProjectID: spec.DefaultProjectID,
		Enabled: spec.Enabled == nil || *spec.Enabled, Options: mergeOptions(nil, spec.Options), Extra: mergeExtra(nil, spec.Extra),
	}
	if err := s.enforce(ctx, "identity:create_user", userTarget(user)); err != nil {
		return User{}, err
	}
	if err := checkName("user", user.Name); err != nil {
		return User{}, err
	}
	row := userRow{User: user}
	if spec.Password != nil {
		if err := checkPassword(*spec.Password); err != nil {
			return User{}, err
		}
		var err error
		if row.PasswordHash, err = hashChosen(*spec.Password, s.cfg.BcryptCost); err != nil {
			return User{}, err
		}
	}
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		id, first, err := tx.Once(ctx, "identity.create_user", row.ID)
		if err != nil {
			return err
		}
		if !first {
			row, err = loadUser(ctx, tx, id)
			return err
		}
		if _, err := loadDomain(ctx, tx, user.DomainID); err != nil {
			return err
		}
		if err := checkDefaultProject(ctx, tx, user.DefaultProjectID); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "user.create", user.ID, nil)
	})
	return row.User, taken(err, "user", user.Name, user.DomainID)
}

// checkDefaultProject refuses a domain as a default project. One that does not
// exist is kept, as in Keystone: it may come later.
func checkDefaultProject(ctx context.Context, tx *store.Tx, id string) error {
	if id == "" {
		return nil
	}
	if _, err := loadDomain(ctx, tx, id); err == nil {
		return nephos.Errorf(nephos.ErrInvalid, "User's default project ID cannot be a domain ID: %s", id).WithField("default_project_id")
	}
	return nil
}

// User implements [Users].
func (s *Service) User(ctx context.Context, id string) (User, error) {
	row, err := s.userFor(ctx, "identity:get_user", id)
	return row.User, err
}

// userFor loads a user for an operation that the rule guards. Whether the user
// exists is told only to those who may know.
func (s *Service) userFor(ctx context.Context, rule, id string) (userRow, error) {
	row, err := loadUser(ctx, s.cfg.Store.Reader(), id)
	if e := s.enforce(ctx, rule, userTarget(row.User)); e != nil {
		return userRow{}, e
	}
	return row, err
}

// ListUsers implements [Users].
func (s *Service) ListUsers(ctx context.Context, f UserFilter, p nephos.Page) ([]User, bool, error) {
	empty, err := s.enforceList(ctx, "identity:list_users", &f.DomainID)
	if err != nil || empty {
		return nil, false, err
	}
	var rows []userRow
	q, err := filterUsers(s.cfg.Store.Reader().NewSelect().Model(&rows), f)
	if err != nil {
		return nil, false, err
	}
	more, err := page(ctx, s, q, &rows, "usr", p)
	return usersOf(rows), more, err
}

// UpdateUser implements [Users].
func (s *Service) UpdateUser(ctx context.Context, id string, u UserUpdate) (User, error) {
	if _, err := s.userFor(ctx, "identity:update_user", id); err != nil {
		return User{}, err
	}
	if u.Name != nil {
		u.Name = trimmed(u.Name)
		if err := checkName("user", *u.Name); err != nil {
			return User{}, err
		}
	}
	var hash string
	if u.Password != nil {
		if err := checkPassword(*u.Password); err != nil {
			return User{}, err
		}
		var err error
		if hash, err = hashChosen(*u.Password, s.cfg.BcryptCost); err != nil {
			return User{}, err
		}
	}
	var row userRow
	err := s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		var err error
		if row, err = loadUser(ctx, tx, id); err != nil {
			return err
		}
		if u.DomainID != nil && *u.DomainID != row.DomainID {
			return nephos.Errorf(nephos.ErrInvalid, "Cannot change Domain ID").WithField("domain_id")
		}
		if u.DefaultProjectID != nil {
			if err := checkDefaultProject(ctx, tx, *u.DefaultProjectID); err != nil {
				return err
			}
		}
		disabled := row.Enabled && u.Enabled != nil && !*u.Enabled
		set(&row.Name, u.Name)
		set(&row.DefaultProjectID, u.DefaultProjectID)
		set(&row.Enabled, u.Enabled)
		row.Options, row.Extra = mergeOptions(row.Options, u.Options), mergeExtra(row.Extra, u.Extra)
		switch {
		case u.Password != nil:
			row.PasswordHash, row.PasswordExpiresAt = hash, nil
		case u.ClearPassword:
			row.PasswordHash, row.PasswordExpiresAt = "", nil
		}
		if disabled || u.Password != nil || u.ClearPassword {
			row.TokensAfter = voidUntil(row.TokensAfter, tx.Now())
		}
		if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		return s.emit(ctx, tx, "user.update", id, map[string]any{"enabled": row.Enabled})
	})
	return row.User, taken(err, "user", row.Name, row.DomainID)
}

// DeleteUser implements [Users].
func (s *Service) DeleteUser(ctx context.Context, id string) error {
	if _, err := s.userFor(ctx, "identity:delete_user", id); err != nil {
		return err
	}
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		if _, err := loadUser(ctx, tx, id); err != nil {
			return err
		}
		for _, q := range []string{
			"DELETE FROM identity_assignments WHERE actor_id = ? AND actor_type = 'user'",
			"DELETE FROM identity_memberships WHERE user_id = ?",
			"DELETE FROM identity_application_credentials WHERE user_id = ?",
			"DELETE FROM identity_users WHERE id = ?",
		} {
			if _, err := tx.NewRaw(q, id).Exec(ctx); err != nil {
				return err
			}
		}
		return s.emit(ctx, tx, "user.delete", id, nil)
	})
}

// ChangePassword implements [Users].
func (s *Service) ChangePassword(ctx context.Context, id, old, new string) error {
	row, err := s.checkUserPassword(ctx, PasswordAuth{UserID: id, Password: old})
	if err != nil && !isExpiredPassword(err) {
		return err
	}
	if err := checkPassword(new); err != nil {
		return err
	}
	if locked, _ := row.Options["lock_password"].(bool); locked {
		return nephos.Errorf(nephos.ErrInvalid, "You cannot change your password at this time due to password policy disallowing password "+
			"changes. Please contact your administrator to reset your password.")
	}
	hash, err := hashChosen(new, s.cfg.BcryptCost)
	if err != nil {
		return err
	}
	before := row.PasswordHash
	return s.cfg.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		row, err := loadUser(ctx, tx, row.ID)
		if err != nil || row.PasswordHash != before || !row.Enabled {
			return errNoAuth(err) // changed since it was checked
		}
		row.PasswordHash, row.PasswordExpiresAt = hash, nil
		row.TokensAfter = voidUntil(row.TokensAfter, tx.Now())
		if _, err := tx.NewUpdate().Model(&row).WherePK().Exec(ctx); err != nil {
			return err
		}
		s.changed(tx)
		return tx.Emit(ctx, store.Event{Service: "identity", Type: "user.update", ResourceID: id, UserID: id}, map[string]any{"enabled": true})
	})
}

func userTarget(u User) policy.Target {
	return target("target.user.id", u.ID, "target.user.name", u.Name, "target.user.domain_id", u.DomainID, "user_id", u.ID)
}
