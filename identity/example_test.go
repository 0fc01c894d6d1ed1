package identity_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
)

// A cloud's identity service, from nothing to a verified token.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "nephos")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "nephos.db"), store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx, identity.Migrations()); err != nil {
		log.Fatal(err)
	}
	enforcer, err := policy.New(policy.Base(), identity.Rules())
	if err != nil {
		log.Fatal(err)
	}
	keys, err := identity.OpenKeys(filepath.Join(dir, "keys"), nil)
	if err != nil {
		log.Fatal(err)
	}
	svc, err := identity.New(identity.Config{Store: db, Policy: enforcer, Keys: keys})
	if err != nil {
		log.Fatal(err)
	}
	defer svc.Close()

	password, err := identity.GeneratePassword(nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = svc.Bootstrap(ctx, identity.BootstrapConfig{AdminPassword: password, Generated: true, Catalog: []identity.CatalogEntry{
		{Type: "identity", Name: "keystone", URLs: map[string]string{"public": "http://127.0.0.1:5000/v3"}},
	}})
	if err != nil {
		log.Fatal(err)
	}
	_, token, err := svc.Authenticate(ctx, identity.AuthRequest{
		Methods:  []string{"password"},
		Password: &identity.PasswordAuth{UserName: "admin", DomainID: identity.DefaultDomainID, Password: password},
		Scope:    identity.Scope{ProjectName: "admin", DomainID: identity.DefaultDomainID},
	})
	if err != nil {
		log.Fatal(err)
	}
	caller, err := svc.Verify(ctx, token)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(caller.UserName, "on", caller.ProjectName, "is", caller.Roles)
	// Output: admin on admin is [admin manager member reader]
}
