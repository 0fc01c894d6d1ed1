package sqlstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

func Example() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "claims")
	defer os.RemoveAll(dir)
	db, _ := store.Open(ctx, "sqlite:"+filepath.Join(dir, "claims.db"), store.Options{})
	defer db.Close()
	_ = db.Migrate(ctx, sqlstore.Migrations())

	s, _ := sqlstore.New(sqlstore.Config{Store: db})
	defer s.Close()
	_ = s.PutHost(ctx, scheduler.Host{
		ID: "host1", Up: true, Enabled: true,
		Inventory: map[string]scheduler.Inventory{scheduler.MemoryMB: {Total: 1024, Ratio: 1}},
	})
	for _, server := range []string{"a", "b"} {
		d, err := s.Schedule(ctx, scheduler.Request{Resources: scheduler.Resources{scheduler.MemoryMB: 600}},
			sqlstore.Options{Consumer: sqlstore.Consumer{ID: server}}, nil)
		if err != nil {
			fmt.Println(server, "has no host:", d.Explanation.Summary())
			continue
		}
		fmt.Println(server, "is on", d.Choices[0].Host.Name)
	}
	// Output:
	// a is on host1
	// b has no host: No valid host: 1 host, 1 lack memory (nearest short of 176 MiB)
}
