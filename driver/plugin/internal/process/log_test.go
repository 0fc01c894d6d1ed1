package process

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

func TestLinesAreReadWhateverTheirPieces(t *testing.T) {
	var out bytes.Buffer
	l := NewLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})), nephos.NewVirtualClock(time.Unix(0, 0)), slog.LevelInfo)
	for _, piece := range []string{"one\ntw", "o\n", "", "\n\n", `{"@level":"warn","@message":"th`, `ree","@timestamp":"x","n":1}` + "\r\n", "[ERROR] four\n", "panic: five\n", `{"msg":6}` + "\n", "last"} {
		n, err := l.Write([]byte(piece))
		require.NoError(t, err)
		require.Equal(t, len(piece), n)
	}
	require.Contains(t, l.LastWords(), "last")
	for _, want := range []string{
		"level=INFO msg=one", "level=INFO msg=two", "level=WARN msg=three fields.n=1", "level=ERROR msg=four", `level=ERROR msg="panic: five"`, `level=INFO msg="{\"msg\":6}"`,
	} {
		require.Contains(t, out.String(), want)
	}
}

func TestAFloodAbatesWithTime(t *testing.T) {
	var out bytes.Buffer
	clock := nephos.NewVirtualClock(time.Unix(0, 0))
	l := NewLog(slog.New(slog.NewTextHandler(&out, nil)), clock, slog.LevelInfo)
	_, _ = l.Write(bytes.Repeat([]byte("x\n"), burst+1000))
	require.Equal(t, burst, strings.Count(out.String(), "\n"))
	clock.Advance(time.Second)
	out.Reset()
	_, _ = l.Write(bytes.Repeat([]byte("y\n"), 1000))
	require.Equal(t, perSecond+1, strings.Count(out.String(), "\n"))
	require.Contains(t, out.String(), "lines were dropped\" lines=1000")
}

func FuzzLog(f *testing.F) {
	f.Add([]byte(`{"@level":"info","@message":"m","k":{"a":[1]}}` + "\n[WARN] x\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var out bytes.Buffer
		l := NewLog(slog.New(slog.NewJSONHandler(&out, nil)), nephos.NewVirtualClock(time.Unix(0, 0)), slog.LevelInfo)
		_, _ = l.Write(p)
		l.Flush()
		if out.Len() > 20*len(p)+20_000 {
			t.Errorf("%d bytes of log from %d", out.Len(), len(p))
		}
		_ = l.LastWords()
	})
}
