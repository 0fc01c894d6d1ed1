//go:build linux

package agent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/agent"
	"github.com/nephos-cloud/nephos/bus"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/qemu"
	"github.com/nephos-cloud/nephos/driver/network"
	"github.com/nephos-cloud/nephos/driver/network/linux"
)

// The guests' user and the host's address on the external network.
const (
	guestUser    = 64055
	hostExternal = "172.24.5.1/24"
	realCloud    = "agent-e2e"
)

// realHostEnv makes this program a host with an agent and real drivers, that
// keeps everything in the folder: a process that can be killed.
const realHostEnv = "NEPHOS_AGENT_TEST_HOST"

func TestMain(m *testing.M) {
	dir := os.Getenv(realHostEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := runRealHost(context.Background(), dir, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// order is a line that a test sends to its host: an object, or a question.
type order struct {
	N        int
	Put      *driver.Object `json:",omitempty"`
	Question string         `json:",omitempty"`
	In       any            `json:",omitempty"`
	Type     string         `json:",omitempty"` // with the question console: what to type there
	Until    string         `json:",omitempty"` // and the text to read until
}

// answer is a line that a host sends: what came of an order, or a report.
type answer struct {
	N      int
	Err    string
	Out    json.RawMessage  `json:",omitempty"`
	Report *driver.Report   `json:",omitempty"`
	Beat   *driver.HostBeat `json:",omitempty"`
}

// teller is the services' side inside the host's process: it passes on what
// it hears.
type teller struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (t *teller) tell(a answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.out.Encode(a)
}

func (t *teller) Reported(_ context.Context, r driver.Report) error {
	t.tell(answer{Report: &r})
	return nil
}

func (t *teller) Beat(_ context.Context, b driver.HostBeat) error {
	t.tell(answer{Beat: &b})
	return nil
}

func (*teller) Republish(context.Context, string, func(driver.Object) error) error { return nil }

func runRealHost(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	nd, err := linux.Open(ctx, linux.Config{
		CloudID: realCloud, Dir: filepath.Join(dir, "netns"), TapUID: guestUser, TapGID: guestUser,
		Physical: map[string]linux.External{"public": {HostAddress: netip.MustParsePrefix(hostExternal)}},
	})
	if err != nil {
		return err
	}
	defer nd.Close()
	hd, err := qemu.Open(ctx, qemu.Config{
		CloudID: realCloud, Dir: filepath.Join(dir, "guests"), UID: guestUser, GID: guestUser, Accel: "tcg",
	})
	if err != nil {
		return err
	}
	defer hd.Close()
	hv, err := hypervisor.NewNode(ctx, hd, hypervisor.NodeOptions{})
	if err != nil {
		return err
	}
	net, err := network.NewNode(ctx, nd, network.NodeOptions{})
	if err != nil {
		return err
	}
	b := bus.NewMemory(nil)
	fleet := agent.NewFleet(b, nil)
	t := &teller{out: json.NewEncoder(out)}
	fleet.Observe(t, driver.KindServer, driver.KindPort, driver.KindNetwork, driver.KindSecurityGroup, driver.KindRouter)
	a, err := agent.New(agent.Config{Host: "host", CloudID: realCloud, Dir: filepath.Join(dir, "agent"), Bus: b, Hypervisor: hv, Network: net})
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { _ = fleet.Run(ctx) })
	wg.Go(func() {
		if err := a.Run(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "the agent ended:", err)
			os.Exit(1)
		}
	})
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return err
		}
		switch {
		case o.Put != nil:
			err = fleet.Put(ctx, "host", *o.Put)
			t.tell(answer{N: o.N, Err: text(err)})
		case o.Question == driver.DialConsole:
			wg.Go(func() {
				out, err := typeAt(ctx, fleet, o)
				b, _ := json.Marshal(out)
				t.tell(answer{N: o.N, Err: text(err), Out: b})
			})
		default:
			var out json.RawMessage
			err = fleet.Ask(ctx, "host", o.Question, o.In, &out)
			t.tell(answer{N: o.N, Err: text(err), Out: out})
		}
	}
	return lines.Err()
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// typeAt types at a console and returns what it says up to the wanted text.
func typeAt(ctx context.Context, fleet *agent.Fleet, o order) (string, error) {
	c, err := fleet.Dial(ctx, "host", o.Question, o.In)
	if err != nil {
		return "", err
	}
	defer c.Close()
	late := time.AfterFunc(patience, func() { c.Close() })
	defer late.Stop()
	if _, err := io.WriteString(c, o.Type); err != nil {
		return "", err
	}
	var said []byte
	chunk := make([]byte, 4096)
	for {
		n, err := c.Read(chunk)
		if said = append(said, chunk[:n]...); strings.Contains(string(said), o.Until) {
			return string(said), nil
		}
		if err != nil {
			return string(said), err
		}
	}
}

// patience bounds each wait: guests are emulated, on a busy machine.
const patience = 2 * time.Minute

// realHost is a test's hold on a host's process.
type realHost struct {
	t       *testing.T
	dir     string
	objects map[string]driver.Object // the desired state, sent again to each new process

	cmd   *exec.Cmd
	stdin *json.Encoder
	ended chan struct{}

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when something was heard
	n       int
	answers map[int]answer
	reports []driver.Report
}

// startRealHost runs a host in the folder until the test ends.
func startRealHost(t *testing.T, dir string) *realHost {
	h := &realHost{t: t, dir: dir, objects: map[string]driver.Object{}, answers: map[int]answer{}, changed: make(chan struct{})}
	h.start()
	t.Cleanup(h.kill)
	return h
}

func (h *realHost) start() {
	self, err := os.Executable()
	require.NoError(h.t, err)
	h.cmd = exec.Command(self)
	h.cmd.Env = append(os.Environ(), realHostEnv+"="+h.dir)
	h.cmd.Stderr = os.Stderr
	in, err := h.cmd.StdinPipe()
	require.NoError(h.t, err)
	out, err := h.cmd.StdoutPipe()
	require.NoError(h.t, err)
	require.NoError(h.t, h.cmd.Start())
	h.stdin, h.ended = json.NewEncoder(in), make(chan struct{})
	go h.listen(out, h.ended)
	for _, o := range h.objects {
		h.order(order{Put: &o})
	}
}

func (h *realHost) listen(out io.Reader, ended chan struct{}) {
	defer close(ended)
	d := json.NewDecoder(out)
	for {
		var a answer
		if err := d.Decode(&a); err != nil {
			return
		}
		h.mu.Lock()
		switch {
		case a.Report != nil:
			h.reports = append(h.reports, *a.Report)
		case a.N > 0:
			h.answers[a.N] = a
		}
		close(h.changed)
		h.changed = make(chan struct{})
		h.mu.Unlock()
	}
}

// kill ends the process as kill -9 does.
func (h *realHost) kill() {
	_ = h.cmd.Process.Kill()
	<-h.ended
	_ = h.cmd.Wait()
}

// restart kills the process and starts a new one, which knows nothing but what
// is on the host and what it is sent.
func (h *realHost) restart() {
	h.t.Helper()
	h.kill()
	h.mu.Lock()
	h.reports = nil
	h.mu.Unlock()
	h.start()
}

// await waits until f is true of what was heard.
func (h *realHost) await(what string, f func() bool) {
	h.t.Helper()
	late := time.After(patience)
	for {
		h.mu.Lock()
		ok, changed := f(), h.changed
		h.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-h.ended:
			require.FailNow(h.t, "the host ended", "waiting for %s", what)
		case <-late:
			h.mu.Lock()
			defer h.mu.Unlock()
			require.FailNow(h.t, "too late", "waiting for %s; heard %+v", what, h.reports)
		}
	}
}

func (h *realHost) order(o order) json.RawMessage {
	h.t.Helper()
	h.mu.Lock()
	h.n++
	o.N = h.n
	h.mu.Unlock()
	require.NoError(h.t, h.stdin.Encode(o))
	h.await("an answer", func() bool { return h.answers[o.N].N != 0 })
	a := h.answers[o.N]
	require.Empty(h.t, a.Err)
	return a.Out
}

// put sends desired state and waits until it is carried out.
func (h *realHost) put(objects ...driver.Object) {
	h.t.Helper()
	for _, o := range objects {
		h.objects[string(o.Kind)+"/"+o.ID] = o
		if o.Deleted {
			delete(h.objects, string(o.Kind)+"/"+o.ID)
		}
		h.order(order{Put: &o})
	}
	for _, o := range objects {
		h.done(o)
	}
}

func (h *realHost) done(o driver.Object) {
	h.t.Helper()
	h.await(fmt.Sprintf("%s %s at revision %d", o.Kind, o.ID, o.Revision), func() bool {
		for _, r := range h.reports {
			if r.Kind == o.Kind && r.ID == o.ID && r.Revision >= o.Revision && r.Deleted == o.Deleted {
				if r.Fatal {
					require.Empty(h.t, r.Error, "%s %s", o.Kind, o.ID)
				}
				if r.Error == "" {
					return true
				}
			}
		}
		return false
	})
}

// awaitState waits for the newest report of a server to say so.
func (h *realHost) awaitState(id string, state hypervisor.State) {
	h.t.Helper()
	h.await(fmt.Sprintf("server %s %s", id, state), func() bool {
		for i := len(h.reports) - 1; i >= 0; i-- {
			if r := h.reports[i]; r.Kind == driver.KindServer && r.ID == id && r.State != "" {
				return r.State == string(state)
			}
		}
		return false
	})
}

// awaitMoments waits until all of the moments were reported.
func (h *realHost) awaitMoments(id string, names ...string) {
	h.t.Helper()
	h.await(fmt.Sprintf("moments %v of %s", names, id), func() bool {
		seen := map[string]bool{}
		for _, r := range h.reports {
			if r.ID == id {
				for _, m := range r.Moments {
					seen[m.Name] = true
				}
			}
		}
		for _, n := range names {
			if !seen[n] {
				return false
			}
		}
		return true
	})
}

func (h *realHost) consoleLog(id string) string {
	h.t.Helper()
	var a driver.ConsoleLogAnswer
	require.NoError(h.t, json.Unmarshal(h.order(order{Question: driver.AskConsoleLog, In: driver.ConsoleLogQuestion{ID: id, Max: 100 << 10}}), &a))
	return string(a.Log)
}

// awaitConsole waits for the guest to write the text n times in all.
func (h *realHost) awaitConsole(id, text string, n int) {
	h.t.Helper()
	var log string
	require.Eventually(h.t, func() bool {
		log = h.consoleLog(id)
		return strings.Count(log, text) >= n
	}, patience, 200*time.Millisecond, "waiting for %q on the console", text)
	require.Equal(h.t, n, strings.Count(log, text), "%q in %s", text, log)
}

// typeAt types at the serial console.
func (h *realHost) typeAt(id, text, until string) string {
	h.t.Helper()
	var said string
	require.NoError(h.t, json.Unmarshal(h.order(order{
		Question: driver.DialConsole, In: driver.ConsoleQuestion{ID: id, Kind: string(hypervisor.Serial)}, Type: text, Until: until,
	}), &said))
	return said
}
