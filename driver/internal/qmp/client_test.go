package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// pair returns the two ends of a unix socket.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	conn := func(fd int) *net.UnixConn {
		f := os.NewFile(uintptr(fd), "pair")
		defer f.Close()
		c, err := net.FileConn(f)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c.(*net.UnixConn)
	}
	return conn(fds[0]), conn(fds[1])
}

// serve answers each command with what the function says; an empty answer is
// none.
func serve(conn net.Conn, answer func(command string, id uint64) string) {
	fmt.Fprintln(conn, `{"QMP": {"version": {}, "capabilities": []}}`)
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		var c struct {
			Execute string
			ID      uint64
		}
		if json.Unmarshal(lines.Bytes(), &c) != nil {
			return
		}
		if c.Execute == "qmp_capabilities" {
			fmt.Fprintf(conn, `{"return": {}, "id": %d}`+"\n", c.ID)
			continue
		}
		if a := answer(c.Execute, c.ID); a != "" {
			fmt.Fprintln(conn, a)
		}
	}
}

func connect(t *testing.T, onEvent func(Event), answer func(string, uint64) string) *Client {
	t.Helper()
	a, b := pair(t)
	go serve(b, answer)
	c, err := New(t.Context(), a, onEvent)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestAnswersFindTheirCommands(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	var late string
	c := connect(t, nil, func(cmd string, id uint64) string {
		switch cmd {
		case "lost":
			late = fmt.Sprintf(`{"return": "late", "id": %d}`, id)
			return ""
		case "bad":
			return fmt.Sprintf(`{"error": {"class": "GenericError", "desc": "no"}, "id": %d}`, id)
		}
		return late + "\n" + fmt.Sprintf(`{"return": {"name": %q}, "id": %d}`, cmd, id)
	})
	ctx, cancel := context.WithCancel(t.Context())
	context.AfterFunc(ctx, func() {})
	cancel()
	require.ErrorIs(t, c.Execute(ctx, "early", nil, nil), context.Canceled)
	ctx, cancel = context.WithTimeout(t.Context(), 1)
	defer cancel()
	require.ErrorIs(t, c.Execute(ctx, "lost", nil, nil), context.DeadlineExceeded)
	var got struct{ Name string }
	require.NoError(t, c.Execute(t.Context(), "good", nil, &got))
	require.Equal(t, "good", got.Name, "a late answer to another command is nobody's")
	var refusal *Error
	require.ErrorAs(t, c.Execute(t.Context(), "bad", nil, nil), &refusal)
	require.Equal(t, "GenericError", refusal.Class)
	require.Error(t, c.Execute(t.Context(), "good", nil, new(int)), "an answer of another shape")
}

func TestEventsAndEnd(t *testing.T) {
	events := make(chan Event, 1)
	c := connect(t, func(e Event) { events <- e }, func(cmd string, id uint64) string {
		if cmd == "garbage" {
			return "{not json"
		}
		return `{"event": "SHUTDOWN", "data": {"guest": true}, "timestamp": {"seconds": 7, "microseconds": 5}}` +
			"\n" + fmt.Sprintf(`{"return": {}, "id": %d}`, id)
	})
	require.NoError(t, c.Execute(t.Context(), "x", nil, nil))
	e := <-events
	require.Equal(t, "SHUTDOWN", e.Name)
	require.EqualValues(t, 7, e.At.Unix())
	require.JSONEq(t, `{"guest": true}`, string(e.Data))
	require.Error(t, c.Execute(t.Context(), "garbage", nil, nil))
	<-c.Done()
	require.Error(t, c.Execute(t.Context(), "x", nil, nil))
}

func TestFileGoesAlong(t *testing.T) {
	a, b := pair(t)
	got := make(chan string, 1)
	go func() {
		fmt.Fprintln(b, `{"QMP": {}}`)
		buf, oob := make([]byte, 4096), make([]byte, 256)
		for id := 1; ; id++ {
			_, oobn, _, _, err := b.ReadMsgUnix(buf, oob)
			if err != nil {
				return
			}
			if oobn > 0 {
				msgs, _ := unix.ParseSocketControlMessage(oob[:oobn])
				fds, _ := unix.ParseUnixRights(&msgs[0])
				f := os.NewFile(uintptr(fds[0]), "got")
				text, _ := io.ReadAll(f)
				_ = f.Close()
				got <- string(text)
			}
			fmt.Fprintf(b, `{"return": {}, "id": %d}`+"\n", id)
		}
	}()
	c, err := New(t.Context(), a, nil)
	require.NoError(t, err)
	defer c.Close()
	path := t.TempDir() + "/f"
	require.NoError(t, os.WriteFile(path, []byte("hello"), 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, c.ExecuteFile(t.Context(), "getfd", map[string]string{"fdname": "x"}, nil, f))
	require.Equal(t, "hello", <-got)
}

func TestNoGreeting(t *testing.T) {
	a, b := pair(t)
	require.NoError(t, b.Close())
	_, err := New(t.Context(), a, nil)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	a, _ = pair(t)
	ctx, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	_, err = New(ctx, a, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"QMP": {}}`, `{"return": {}, "id": 1}`, `{"return": null}`, `[]`, `{"event": "X", "timestamp": {"seconds": -1}}`,
		`{"error": {"class": "a", "desc": "b"}, "id": 18446744073709551615}`, `{"return": 1, "event": "X"}`, strings.Repeat("[", 100),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		m, err := parse(line)
		if err != nil {
			return
		}
		kinds := 0
		for _, is := range []bool{m.greeting, m.event != nil, m.result != nil, m.refusal != nil} {
			if is {
				kinds++
			}
		}
		require.Equal(t, 1, kinds)
	})
}
