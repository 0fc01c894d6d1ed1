package identity

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"github.com/nephos-cloud/nephos"
)

// AppCredential is a password of its own for a program, good for one project
// and some of its owner's roles there.
type AppCredential struct {
	ID           string `bun:",pk"`
	Name         string // unique for its user
	UserID       string
	ProjectID    string
	Description  *string
	Roles        []string // ids
	Unrestricted bool     `bun:"is_unrestricted"` // may manage application credentials
	ExpiresAt    *time.Time
}

// AppCredAuth names an application credential, by id or by name and user.
type AppCredAuth struct {
	ID, Name             string
	UserID, UserName     string
	DomainID, DomainName string
	Secret               string
}

type appCredRow struct {
	bun.BaseModel `bun:"table:identity_application_credentials,alias:cred"`
	AppCredential
	SecretHash string
	CreatedAt  time.Time
}

func (s *Service) checkAppCred(ctx context.Context, a AppCredAuth, p *payload) (userRow, error) {
	return userRow{}, errNoAuth(nil)
}

func (s *Service) lookUpAppCred(ctx context.Context, db bun.IDB, t *Token) error {
	return errToken("application credentials are not built")
}

var _ = nephos.ErrInvalid
