package image_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/mem"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/image"
	"github.com/nephos-cloud/nephos/store"
)

// An image service without an API: a record, its bytes, and back.
func Example() {
	ctx := context.Background()
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	dir, err := os.MkdirTemp("", "images")
	check(err)
	defer os.RemoveAll(dir)
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "nephos.db"), store.Options{})
	check(err)
	defer db.Close()
	check(db.Migrate(ctx, image.Migrations()))
	rules, err := policy.New(policy.Base(), image.Rules())
	check(err)
	blobs, err := blob.NewStore(ctx, mem.New(mem.Config{}), blob.StoreOptions{})
	check(err)
	images, err := image.New(image.Config{Store: db, Policy: rules, Blobs: []*blob.Store{blobs}})
	check(err)

	ctx = nephos.WithCaller(ctx, nephos.Caller{UserID: "alice", ProjectID: "p1", Roles: []string{"member", "reader"}})
	name := "disk"
	img, err := images.CreateImage(ctx, image.Spec{Name: &name, DiskFormat: "raw", ContainerFormat: "bare"})
	check(err)
	fmt.Println(*img.Name, img.Status)
	check(images.Upload(ctx, img.ID, strings.NewReader("bytes"), 5))
	img, bytes, err := images.Download(ctx, img.ID, nil)
	check(err)
	defer bytes.Close()
	data, err := io.ReadAll(bytes)
	check(err)
	fmt.Println(img.Status, *img.Size, img.Checksum, string(data))
	// Output:
	// disk queued
	// active 5 4b3a6218bb3e3a7303e8a171a60fcf92 bytes
}
