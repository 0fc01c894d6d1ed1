package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
)

var update = flag.Bool("update", false, "write the golden files anew")

// ticking is a clock that goes on by a step each time it is read.
type ticking struct {
	now  time.Time
	step time.Duration
}

func (c *ticking) Now() time.Time {
	c.now = c.now.Add(c.step)
	return c.now
}

func (c *ticking) After(time.Duration) <-chan time.Time { return nil }

// do runs a command line and returns its exit status and what it wrote.
func do(t *testing.T, in string, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	l := &lab{in: strings.NewReader(in), out: &out, errs: &errs, clock: &ticking{step: time.Microsecond}}
	status := l.main(t.Context(), args)
	return status, out.String(), errs.String()
}

func ok(t *testing.T, in string, args ...string) string {
	t.Helper()
	status, out, errs := do(t, in, args...)
	require.Zero(t, status, errs)
	require.Empty(t, errs)
	return out
}

// golden compares with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test ./scheduler/lab -update writes it anew")
}

func TestGoldenAnswers(t *testing.T) {
	for name, args := range map[string][]string{
		"help.txt":     {"-h"},
		"help-fit.txt": {"help", "fit"},
		"run.txt":      {"run", "example"},
		"run-pack.txt": {"run", "-policy", "testdata/policy.json", "-seed", "7", "example"},
		"compare.txt":  {"compare", "-a", "spread", "-b", "pack", "example"},
		"fit.txt":      {"fit", "-vcpus", "4", "-memory", "8192", "-add", "2", "example"},
		"fit-zone.txt": {"fit", "-zone", "az3", "-traits", "HW_CPU_X86_AVX512F", "-group", "anti-affinity", "-at", "12", "example"},
		"made.jsonl":   {"generate", "-hosts", "3", "-servers", "6", "-seed", "2"},
		"azure.jsonl":  {"import", "-hosts", "1", "testdata/vmtable.csv"},
		"grow.txt":     {"grow", "-hosts", "100", "-decisions", "5"},
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, ok(t, "", args...)) })
	}
}

func TestPlotsAreTidySVG(t *testing.T) {
	dir := t.TempDir()
	ok(t, "", "run", "-plot", dir, "example")
	ok(t, "", "compare", "-plot", filepath.Join(dir, "two"), "example")
	ok(t, "", "grow", "-hosts", "100", "-decisions", "3", "-plot", filepath.Join(dir, "grow.svg"))
	for _, name := range []string{"utilisation.svg", "fragmentation.svg", "hosts.svg", "two/utilisation.svg", "two/fragmentation.svg", "grow.svg"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Less(t, len(text), 20_000, name)
		require.NotContains(t, string(text), "NaN", name)
		d := xml.NewDecoder(bytes.NewReader(text))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, name)
		}
		if name == "utilisation.svg" {
			golden(t, name, string(text))
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".lab-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestARecordReplaysExactlyAndAnotherPolicyDiffers(t *testing.T) {
	record := filepath.Join(t.TempDir(), "r.jsonl")
	trace := ok(t, "", "generate", "-hosts", "20", "-servers", "300", "-seed", "5")
	ok(t, trace, "run", "-seed", "9", "-record", record, "-")
	require.Equal(t, "300 decisions, 300 as recorded, 0 otherwise\n", ok(t, "", "replay", record))
	status, out, errs := do(t, "", "replay", "-policy", "pack", "-show", "2", record)
	require.Equal(t, 1, status)
	require.Contains(t, errs, "decisions fell otherwise")
	require.Equal(t, 3, strings.Count(out, "\n"))
	// One host in it was another one.
	text, err := os.ReadFile(record)
	require.NoError(t, err)
	forged := bytes.Replace(text, []byte(`"chosen":["host-`), []byte(`"chosen":["ghost-`), 1)
	status, out, _ = do(t, string(forged), "replay", "-")
	require.Equal(t, 1, status)
	require.Contains(t, out, "got ghost-")
	require.Contains(t, out, "300 decisions, 299 as recorded, 1 otherwise")
}

func TestMisuseIsExplained(t *testing.T) {
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"dance"}, 2, `there is no command "dance"`},
		{[]string{"run"}, 2, "it takes 1 argument after the flags, not 0"},
		{[]string{"run", "-"}, 1, "the trace has no host"},
		{[]string{"compare", "-"}, 1, "the trace has no host"},
		{[]string{"fit", "-"}, 1, "the trace has no host"},
		{[]string{"fit", "-group", "together", "example"}, 1, "there is no policy together for a server group: use one of affinity,"},
		{[]string{"fit", "-add", "-1", "example"}, 2, "it cannot add -1 hosts"},
		{[]string{"replay", "example"}, 1, "it has no decisions: record some with run -record"},
		{[]string{"replay", "-show", "-1", "example"}, 2, "it cannot show -1 differences"},
		{[]string{"import", "-hosts", "-1", "testdata/vmtable.csv"}, 2, "no negative numbers"},
		{[]string{"import", "-limit", "-1", "testdata/vmtable.csv"}, 2, "no negative numbers"},
		{[]string{"run", "-what", "example"}, 2, "flag provided but not defined"},
		{[]string{"run", "/nowhere/t.jsonl"}, 1, "no such file"},
		{[]string{"run", "-policy", "nice", "example"}, 1, "there is no policy nice: use one of filter, random"},
		{[]string{"run", "testdata/vmtable.csv"}, 1, "testdata/vmtable.csv: reading the trace, line 1"},
		{[]string{"generate", "-hosts", "0"}, 1, "0 hosts is not between"},
		{[]string{"fit", "-vcpus", "-1", "example"}, 1, "cannot be"},
		{[]string{"import", "-format", "amazon", "testdata/vmtable.csv"}, 2, "there is no format"},
		{[]string{"import", "-format", "azure-packing", "testdata/vmtable.csv"}, 2, "needs -types"},
		{[]string{"grow", "-hosts", "3"}, 2, "it takes 10 to"},
		{[]string{"export"}, 2, "it needs -database"},
	} {
		status, out, errs := do(t, "", c.args...)
		require.Equal(t, c.status, status, "%v: %s", c.args, errs)
		require.Contains(t, errs, c.want, "%v", c.args)
		require.Empty(t, out, "%v", c.args)
	}
}

func TestProgressIsShownFromTheFirstSecondOn(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		want     string
	}{{true, "\r\x1b[Kplaying: "}, {false, "playing: "}} {
		var out, errs bytes.Buffer
		l := &lab{out: &out, errs: &errs, clock: &ticking{step: 100 * time.Millisecond}, terminal: c.terminal}
		require.Zero(t, l.main(t.Context(), []string{"run", "example"}), errs.String())
		require.Contains(t, errs.String(), c.want)
		require.Contains(t, errs.String(), " left")
		require.NotContains(t, out.String(), "left")
	}
}

func TestAnInterruptEndsTheWork(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	l := &lab{out: &out, errs: &errs, clock: nephos.WallClock{}}
	require.Equal(t, 1, l.main(ctx, []string{"run", "example"}))
	require.Contains(t, errs.String(), "canceled")
}

func TestADatabaseIsExportedAndPlayed(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "claims.db")
	db, err := store.Open(t.Context(), url, store.Options{NoSync: true})
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), sqlstore.Migrations()))
	s, err := sqlstore.New(sqlstore.Config{Store: db})
	require.NoError(t, err)
	want := scheduler.Resources{scheduler.VCPU: 2, scheduler.MemoryMB: 1024}
	require.NoError(t, s.PutHost(t.Context(), scheduler.Host{ID: "h", Up: true, Enabled: true, Inventory: map[string]scheduler.Inventory{
		scheduler.VCPU: {Total: 8, Ratio: 1}, scheduler.MemoryMB: {Total: 8192, Ratio: 1},
	}}))
	for _, id := range []string{"a", "b"} {
		_, err := s.Schedule(t.Context(), scheduler.Request{ID: id, Resources: want}, sqlstore.Options{Consumer: sqlstore.Consumer{ID: id, ProjectID: "p"}}, nil)
		require.NoError(t, err)
	}
	s.Close()
	require.NoError(t, db.Close())
	trace := ok(t, "", "export", "-database", url)
	require.Contains(t, ok(t, trace, "fit", "-vcpus", "2", "-memory", "1024", "-disk", "0", "-"),
		"beside 2 servers: 2 more of 2 VCPUs, 1024 MiB, 0 GiB fit, on 1 of 1 hosts")
}
