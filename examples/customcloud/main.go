// Command customcloud is somebody's own cloud: two of our services, a driver of
// their own for image bytes (shelf.go), and nothing else. It shows how little it
// takes.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/identity"
	"github.com/nephos-cloud/nephos/identity/keystone"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/image/glance"
	"github.com/nephos-cloud/nephos/store"
)

const url = "http://127.0.0.1:8080"

func main() {
	if err := serve(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "customcloud")
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, "sqlite:"+dir+"/cloud.db", store.Options{})
	if err != nil {
		return err
	}
	if err := db.Migrate(ctx, identity.Migrations(), image.Migrations()); err != nil {
		return err
	}
	rules, err := policy.New(policy.Base(), identity.Rules(), image.Rules())
	if err != nil {
		return err
	}
	blobs, err := blob.NewStore(ctx, &shelf{}, blob.StoreOptions{}) // a driver of your own
	if err != nil {
		return err
	}
	users, err := identity.New(identity.Config{Store: db, Policy: rules})
	if err != nil {
		return err
	}
	images, err := image.New(image.Config{Store: db, Policy: rules, Blobs: []*blob.Store{blobs}})
	if err != nil {
		return err
	}
	_, err = users.Bootstrap(ctx, identity.BootstrapConfig{AdminPassword: "secret", Catalog: []identity.CatalogEntry{
		{Type: "identity", Name: "keystone", URLs: map[string]string{"public": url + "/identity"}},
		{Type: "image", Name: "glance", URLs: map[string]string{"public": url + "/image"}},
	}})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	httpapi.Mount(mux, "/identity", keystone.New(keystone.Config{
		Service: users, HTTP: httpapi.Config{PublicURL: url + "/identity", Verifier: users},
	}))
	httpapi.Mount(mux, "/image", glance.New(glance.Config{
		Service: images, HTTP: httpapi.Config{PublicURL: url + "/image", Verifier: users},
	}))
	fmt.Println("OS_AUTH_URL=" + url + "/identity/v3 OS_USERNAME=admin OS_PASSWORD=secret OS_PROJECT_NAME=admin")
	return http.ListenAndServe("127.0.0.1:8080", mux)
}
