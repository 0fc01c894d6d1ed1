package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/uptrace/bun"
)

// Migrations are one service's forward migrations: files named NNNN_title.sql
// in the root of FS, applied once each in the order of their numbers and never
// changed after a release. They are written in SQL that both databases
// understand; BLOB, TIMESTAMP and SERIAL PRIMARY KEY are translated.
// Statements end with a semicolon at the end of a line.
type Migrations struct {
	Service string
	FS      fs.FS
}

// MigrationsOf returns the migrations of a service whose package embeds their
// folder, which is called migrations.
func MigrationsOf(service string, embedded embed.FS) Migrations {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // the name is a valid path
	}
	return Migrations{Service: service, FS: sub}
}

//go:embed migrations/*.sql
var ownMigrations embed.FS

type migrationRow struct {
	bun.BaseModel `bun:"table:schema_migrations"`

	Service string `bun:",pk"`
	Version int    `bun:",pk"`
	Name    string
}

// Migrate brings the database to the newest version of every set given, in one
// transaction. A database that is newer than this program is refused.
func (db *DB) Migrate(ctx context.Context, sets ...Migrations) error {
	sets = append([]Migrations{MigrationsOf("store", ownMigrations)}, sets...)
	err := db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if db.postgres {
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock(7305810)"); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (
			service VARCHAR(64), version INTEGER, name TEXT NOT NULL, PRIMARY KEY (service, version))`)
		if err != nil {
			return err
		}
		var rows []migrationRow
		if err := tx.NewSelect().Model(&rows).Scan(ctx); err != nil {
			return err
		}
		done := map[string]map[int]bool{}
		for _, r := range rows {
			if done[r.Service] == nil {
				done[r.Service] = map[int]bool{}
			}
			done[r.Service][r.Version] = true
		}
		for _, set := range sets {
			if err := tx.migrate(ctx, set, done[set.Service]); err != nil {
				return fmt.Errorf("%s: %w", set.Service, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("migrating the database: %w", err)
	}
	return nil
}

func (tx *Tx) migrate(ctx context.Context, set Migrations, done map[int]bool) error {
	names, err := fs.Glob(set.FS, "*.sql")
	if err != nil {
		return err
	}
	sort.Strings(names)
	known := map[int]bool{}
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		version, err := strconv.Atoi(number)
		if err != nil || known[version] {
			return fmt.Errorf("the migration %s needs a number of its own", name)
		}
		known[version] = true
		if done[version] {
			continue
		}
		text, err := fs.ReadFile(set.FS, name)
		if err != nil {
			return err
		}
		for _, statement := range statements(string(text), tx.db.postgres) {
			// Past bun's formatter: a question mark here is SQL, not a placeholder.
			if _, err := tx.NewRaw("?", bun.Safe(statement)).Exec(ctx); err != nil {
				return fmt.Errorf("%s: %w\n%s", name, err, statement)
			}
		}
		row := migrationRow{Service: set.Service, Version: version, Name: name}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
	}
	for version := range done {
		if !known[version] {
			return fmt.Errorf("the database has migration %d, which this program does not know: it was written by a newer one", version)
		}
	}
	return nil
}

var (
	comments  = regexp.MustCompile(`(?m)^\s*--.*$`)
	serial    = regexp.MustCompile(`\bSERIAL PRIMARY KEY\b`)
	blob      = regexp.MustCompile(`\bBLOB\b`)
	timestamp = regexp.MustCompile(`\bTIMESTAMP\b`)
)

func statements(text string, postgres bool) []string {
	text = comments.ReplaceAllString(text, "")
	if postgres {
		text = serial.ReplaceAllString(text, "BIGSERIAL PRIMARY KEY")
		text = blob.ReplaceAllString(text, "BYTEA")
		text = timestamp.ReplaceAllString(text, "TIMESTAMPTZ")
	} else {
		text = serial.ReplaceAllString(text, "INTEGER PRIMARY KEY AUTOINCREMENT")
	}
	var out []string
	for s := range strings.SplitSeq(text, ";\n") {
		if s = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(s), ";")); s != "" {
			out = append(out, s)
		}
	}
	return out
}
