package sqlstore_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/store"
	"github.com/nephos-cloud/nephos/store/storetest"
)

// The cloud of the histories: few hosts with little room, so that most
// operations get in one another's way.
const (
	linearHosts     = 2
	linearRoom      = 2
	linearConsumers = 6
	linearWorkers   = 4
)

// act is one operation of a history, or its end.
type act struct {
	ID       int
	Op       string // schedule, put, release or claims
	Consumer string
	Host     string // put: on which; the end of schedule: which it got
	Full     bool   // there was no room
	End      bool
	All      string // the end of claims
}

// lost is the end of an operation whose process was killed.
var lost = act{End: true, Op: "lost"}

// claimsModel is what the operations mean one after the other: a state is who
// has a claim on which host. strict says that there is no room only when every
// host is full.
func claimsModel(strict bool) porcupine.Model {
	room := func(s map[string]string, host string) bool {
		n := 0
		for _, h := range s {
			if h == host {
				n++
			}
		}
		return n < linearRoom
	}
	with := func(s map[string]string, consumer, host string) string {
		next := maps.Clone(s)
		delete(next, consumer)
		if host != "" {
			next[consumer] = host
		}
		return written(next)
	}
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{""} },
		Step: func(state, input, output any) []any {
			s, in, out := read(state.(string)), input.(act), output.(act)
			gone := out.Op == "lost"
			var next []any
			if gone {
				next = append(next, state) // it did nothing
			}
			switch in.Op {
			case "schedule":
				held, has := s[in.Consumer]
				for i := range linearHosts {
					h := fmt.Sprint("h", i)
					if !gone && out.Host != h {
						continue
					}
					if has && held == h || !has && room(s, h) {
						next = append(next, with(s, in.Consumer, h))
					}
				}
				full := !room(s, "h0") && !room(s, "h1")
				if out.Full && !has && (full || !strict) {
					next = append(next, state)
				}
			case "put":
				before := maps.Clone(s)
				delete(before, in.Consumer)
				fits := room(before, in.Host)
				if fits && !out.Full {
					next = append(next, with(s, in.Consumer, in.Host))
				}
				if !fits && out.Full {
					next = append(next, state)
				}
			case "release":
				next = append(next, with(s, in.Consumer, ""))
			case "claims":
				if out.All == state {
					next = append(next, state)
				}
			}
			return next
		},
		Equal: func(a, b any) bool { return a == b },
		DescribeOperation: func(input, output any) string {
			in, out := input.(act), output.(act)
			return fmt.Sprintf("%s %s %s -> %s full=%t %s", in.Op, in.Consumer, in.Host, out.Host+out.All, out.Full, out.Op)
		},
	}
	return model.ToModel()
}

func written(s map[string]string) string {
	var b strings.Builder
	for _, c := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s=%s ", c, s[c])
	}
	return b.String()
}

func read(s string) map[string]string {
	out := map[string]string{}
	for f := range strings.FieldsSeq(s) {
		c, h, _ := strings.Cut(f, "=")
		out[c] = h
	}
	return out
}

// claimsNow is who has a claim on which host.
func claimsNow(ctx context.Context, s *sqlstore.Store) (string, error) {
	now := map[string]string{}
	for i := range linearHosts {
		list, err := s.Claims(ctx, fmt.Sprint("h", i))
		if err != nil {
			return "", err
		}
		for _, c := range list {
			now[c.Consumer.ID] = fmt.Sprint("h", i)
		}
	}
	return written(now), nil
}

// claimUntilKilled is the other process: it works on the database with several
// workers, and says on its standard output, before each operation and after it,
// what it does. Two stores with connections of their own share a PostgreSQL
// database. Some transactions fail on their own, in the middle.
func claimUntilKilled(url string, seed uint64, first int) error {
	ctx := context.Background()
	var stores []*sqlstore.Store
	var dbs []*store.DB
	for range 2 {
		db, err := store.Open(ctx, url, store.Options{})
		if err != nil {
			return err
		}
		s, err := sqlstore.New(sqlstore.Config{Store: db, Ratios: map[string]float64{}})
		if err != nil {
			return err
		}
		dbs, stores = append(dbs, db), append(stores, s)
		if !db.Postgres() {
			dbs, stores = append(dbs, db), append(stores, s)
			break
		}
	}
	var mu sync.Mutex
	out, id := json.NewEncoder(os.Stdout), first
	say := func(a act) act {
		mu.Lock()
		defer mu.Unlock()
		if !a.End {
			id++
			a.ID = id
		}
		_ = out.Encode(a)
		return a
	}
	failed := errors.New("failed on purpose")
	work := func(w int) error {
		r := rand.New(rand.NewPCG(seed, uint64(w)))
		db, s := dbs[w%2], stores[w%2]
		for {
			a := act{Op: []string{"schedule", "schedule", "schedule", "put", "release", "release"}[r.IntN(6)], Consumer: fmt.Sprint("c", r.IntN(linearConsumers))}
			var err error
			switch a.Op {
			case "schedule":
				a = say(a)
				fail := r.IntN(8) == 0
				var d scheduler.Decision
				for {
					d, err = s.Schedule(ctx, scheduler.Request{ID: a.Consumer, Resources: small()}, sqlstore.Options{Consumer: sqlstore.Consumer{ID: a.Consumer}},
						func(context.Context, *store.Tx, scheduler.HostRef) error {
							if fail {
								return failed
							}
							return nil
						})
					if !errors.Is(err, failed) {
						break
					}
					fail = false // what failed left nothing behind: try again
				}
				if err == nil {
					a.Host = d.Choices[0].Host.ID
				}
				a.Full = errors.Is(err, nephos.ErrNoCapacity)
			case "put":
				a.Host = fmt.Sprint("h", r.IntN(linearHosts))
				a = say(a)
				err = s.SetAllocations(ctx, []sqlstore.AllocationSpec{{
					Consumer: sqlstore.Consumer{ID: a.Consumer}, Of: map[string]scheduler.Resources{sqlstore.ProviderID(a.Host): small()},
				}})
				a.Full = errors.Is(err, nephos.ErrConflict)
			case "release":
				a = say(a)
				err = db.Tx(ctx, func(ctx context.Context, tx *store.Tx) error { return s.Release(ctx, tx, a.Consumer) })
			}
			if err != nil && !a.Full {
				return fmt.Errorf("%+v: %w", a, err)
			}
			a.End = true
			say(a)
		}
	}
	errs := make(chan error)
	for w := range linearWorkers {
		go func() { errs <- work(w) }()
	}
	return <-errs
}

const (
	linearURL  = "NEPHOS_TEST_CLAIMS_URL"
	linearSeed = "NEPHOS_TEST_CLAIMS_SEED"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(linearURL); url != "" {
		var seed uint64
		var first int
		_, _ = fmt.Sscan(os.Getenv(linearSeed), &seed, &first)
		fmt.Fprintln(os.Stderr, claimUntilKilled(url, seed, first))
		os.Exit(1)
	}
	_ = flag.Set("rapid.checks", "8") // unless the command line says otherwise
	os.Exit(m.Run())
}

// runAndKill starts the other process, kills it after so many lines, and returns
// the lines.
func runAndKill(t *testing.T, url string, seed uint64, first, lines int) []act {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), linearURL+"="+url, fmt.Sprintf("%s=%d %d", linearSeed, seed, first))
	var stderr strings.Builder
	cmd.Stderr = &stderr
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var acts []act
	in := bufio.NewReader(pipe)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
			break // what it said before it died is read to the end
		}
		require.NoError(t, err)
		var a act
		require.NoError(t, json.Unmarshal(line, &a))
		acts = append(acts, a)
		if len(acts) == lines {
			require.NoError(t, cmd.Process.Kill())
		}
	}
	_ = cmd.Wait()
	require.GreaterOrEqual(t, len(acts), lines, "the other process: %s", stderr.String())
	return acts
}

// TestClaimsAreLinearizableAcrossCrashes kills a process with kill -9 in the
// middle of its claims, again and again, and asks whether what it and its
// successors were told can be put in one order, in which no host has more than
// its room and none has less.
func TestClaimsAreLinearizableAcrossCrashes(t *testing.T) {
	run := func(t *testing.T, url string, strict bool, seed uint64) {
		open := func() (*store.DB, *sqlstore.Store) {
			db, err := store.Open(t.Context(), url, store.Options{})
			require.NoError(t, err)
			return db, newStore(t, db, nephos.WallClock{})
		}
		db, s := open()
		require.NoError(t, db.Migrate(t.Context(), sqlstore.Migrations()))
		for i := range linearHosts {
			require.NoError(t, s.PutHost(t.Context(), testHost(fmt.Sprint("h", i), linearRoom, 1<<20)))
		}
		require.NoError(t, db.Close())
		var ops []porcupine.Operation
		var clock int64
		tick := func() int64 { clock++; return clock }
		first := 0
		for life := range 3 {
			started := map[int]int{} // operation to its place in ops
			for _, a := range runAndKill(t, url, seed*10+uint64(life), first, 60+17*life) {
				if !a.End {
					started[a.ID], first = len(ops), max(first, a.ID)
					ops = append(ops, porcupine.Operation{ClientId: a.ID, Input: a, Call: tick(), Output: lost})
					continue
				}
				ops[started[a.ID]].Output, ops[started[a.ID]].Return = a, tick()
				delete(started, a.ID)
			}
			died := tick()
			for _, i := range started {
				ops[i].Return = died // what it began had its effect by then, or has none
			}
			db, s = open()
			all, err := claimsNow(t.Context(), s)
			require.NoError(t, err)
			ops = append(ops, porcupine.Operation{Input: act{Op: "claims"}, Call: tick(), Output: act{All: all}, Return: tick()})
			requireSound(t, db)
			require.NoError(t, db.Close())
		}
		res, info := porcupine.CheckOperationsVerbose(claimsModel(strict), ops, 30*time.Second)
		if res != porcupine.Ok {
			longest := 0
			for _, part := range info.PartialLinearizationsOperations()[0] {
				longest = max(longest, len(part))
			}
			for _, op := range ops[max(0, longest-25):min(len(ops), longest+15)] {
				t.Logf("%4d-%4d %s", op.Call, op.Return, claimsModel(strict).DescribeOperation(op.Input, op.Output))
			}
			t.Logf("an order was found for %d of %d", longest, len(ops))
		}
		require.Equal(t, porcupine.Ok, res)

		// All the room that is not taken can be had.
		db, s = open()
		defer db.Close()
		taken := requireSound(t, db)
		for i := range linearHosts*linearRoom - taken {
			_, err := schedule(t.Context(), s, fmt.Sprint("last", i))
			require.NoError(t, err)
		}
		_, err := schedule(t.Context(), s, "too much")
		require.ErrorIs(t, err, nephos.ErrNoCapacity)
		require.EqualValues(t, linearHosts*linearRoom, requireSound(t, db))
	}
	t.Run("sqlite", func(t *testing.T) {
		for seed := range uint64(2) {
			run(t, "sqlite:"+filepath.Join(t.TempDir(), "linear.db"), true, seed)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		// Several processes read each host at another moment: while room moves
		// from one to another, they may see none.
		run(t, storetest.PostgresURL(t), false, 7)
	})
}
