package watch_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/identity/policy"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/watch"
)

// A service emits an event with each change; whoever has a stream open hears of
// it, and can go on later from where it was.
func ExampleService_Open() {
	dir, err := os.MkdirTemp("", "watch")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := nephos.WithCaller(context.Background(), nephos.Caller{UserID: "root", Roles: []string{"admin"}})
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(dir, "cloud.db"), store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	enforcer, err := policy.New(policy.Base(), watch.Rules())
	if err != nil {
		log.Fatal(err)
	}
	w, err := watch.New(watch.Config{Store: db, Policy: enforcer})
	if err != nil {
		log.Fatal(err)
	}
	stream, err := w.Open(ctx, watch.Query{Types: watch.Types{"door"}})
	if err != nil {
		log.Fatal(err)
	}
	change := func(what string) {
		err := db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
			return tx.Emit(ctx, store.Event{Service: "house", Type: what, ResourceID: "front"}, nil)
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	change("door.open")
	events, err := stream.Next(ctx)
	stream.Close()
	fmt.Println(events[0].Type, events[0].ResourceID, err)

	change("window.open")
	change("door.shut")
	again, err := w.Open(ctx, watch.Query{Types: watch.Types{"door"}, Since: events[0].Token})
	if err != nil {
		log.Fatal(err)
	}
	defer again.Close()
	events, err = again.Next(ctx)
	fmt.Println(events[0].Type, events[0].ResourceID, err)
	// Output:
	// house.door.open front <nil>
	// house.door.shut front <nil>
}
