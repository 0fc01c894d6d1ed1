package process

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nephos-cloud/nephos"
)

// The bounds of what a plugin may log: lines longer than maxLogLine are cut,
// and beyond burst lines in a row only perSecond are passed on; the rest is
// counted and said.
const (
	maxLogLine = 8 << 10
	burst      = 500
	perSecond  = 100
	lastWords  = 5
)

// Log turns a plugin's standard error into log records. A line that is a JSON
// object as hclog or slog write it keeps its level, message and attributes; the
// prefix of a line such as "[WARN]" is its level; any other line is a message
// of the default level.
type Log struct {
	log   *slog.Logger
	clock nephos.Clock
	plain slog.Level

	mu      sync.Mutex
	part    []byte // of a line that has not ended
	skip    bool   // the rest of a line that was cut
	tokens  float64
	last    time.Time
	dropped int
	words   []string // the newest lines, for when it dies
}

// NewLog returns a writer for a plugin's output. Lines that say no level have
// the level plain.
func NewLog(log *slog.Logger, clock nephos.Clock, plain slog.Level) *Log {
	return &Log{log: log, clock: clock, plain: plain, tokens: burst, last: clock.Now()}
}

// Write implements io.Writer. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if !l.skip {
			room := maxLogLine - len(l.part)
			cut := len(line) > room
			if cut {
				line = line[:room]
			}
			l.part = append(l.part, line...)
			if cut {
				l.line(append(l.part, "…"...))
				l.part, l.skip = l.part[:0], true
			}
		}
		if ended {
			if !l.skip && len(l.part) > 0 {
				l.line(l.part)
			}
			l.part, l.skip = l.part[:0], false
		}
		p = rest
	}
	return n, nil
}

// LastWords returns the newest messages, for the error that tells of the end.
func (l *Log) LastWords() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.keep(string(l.part))
		l.part = l.part[:0]
	}
	return strings.Join(l.words, "; ")
}

func (l *Log) keep(message string) {
	if len(message) > 200 {
		message = message[:200] + "…"
	}
	if len(l.words) == lastWords {
		l.words = slices.Delete(l.words, 0, 1)
	}
	l.words = append(l.words, message)
}

// line passes one line on.
func (l *Log) line(line []byte) {
	level, message, attrs := parse(bytes.TrimRight(line, "\r"), l.plain)
	words := message
	for _, a := range attrs {
		words += " " + a.String()
	}
	l.keep(words)
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	now := l.clock.Now()
	l.tokens = min(burst, l.tokens+max(0, now.Sub(l.last).Seconds())*perSecond)
	l.last = now
	if l.tokens < 1 {
		l.dropped++
		return
	}
	l.tokens--
	if l.dropped > 0 {
		l.log.Warn("the plugin logs too much: lines were dropped", "lines", l.dropped)
		l.dropped = 0
	}
	l.log.LogAttrs(context.Background(), level, message, attrs...)
}

// Flush says what was dropped, at the end.
func (l *Log) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.line(l.part)
		l.part = nil
	}
	if l.dropped > 0 {
		l.log.Warn("the plugin logs too much: lines were dropped", "lines", l.dropped)
		l.dropped = 0
	}
}

var levels = map[string]slog.Level{
	"TRACE": slog.LevelDebug - 4, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo,
	"WARN": slog.LevelWarn, "WARNING": slog.LevelWarn, "ERROR": slog.LevelError, "ERR": slog.LevelError,
	"FATAL": slog.LevelError, "CRITICAL": slog.LevelError,
}

// parse reads a line. Keys of its own that could pass for ours are kept apart
// below "plugin".
func parse(line []byte, plain slog.Level) (slog.Level, string, []slog.Attr) {
	if len(line) > 0 && line[0] == '{' {
		if level, message, attrs, ok := parseJSON(line, plain); ok {
			return level, message, attrs
		}
	}
	text := strings.ToValidUTF8(string(line), "�")
	if rest, ok := strings.CutPrefix(text, "["); ok {
		if name, after, ok := strings.Cut(rest, "]"); ok {
			if level, ok := levels[strings.TrimSpace(name)]; ok {
				return level, strings.TrimSpace(after), nil
			}
		}
	}
	if strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "fatal error: ") {
		return slog.LevelError, text, nil
	}
	return plain, text, nil
}

func parseJSON(line []byte, plain slog.Level) (slog.Level, string, []slog.Attr, bool) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	if d.Decode(&fields) != nil {
		return 0, "", nil, false
	}
	take := func(keys ...string) string {
		for _, k := range keys {
			if s, ok := fields[k].(string); ok {
				delete(fields, k)
				return s
			}
		}
		return ""
	}
	message, ok := fields["@message"].(string)
	if !ok {
		if message, ok = fields["msg"].(string); !ok {
			return 0, "", nil, false
		}
	}
	delete(fields, "@message")
	delete(fields, "msg")
	level := plain
	name := strings.ToUpper(take("@level", "level"))
	if l, ok := levels[name]; ok {
		level = l
	} else if l := slog.Level(0); l.UnmarshalText([]byte(name)) == nil { // such as DEBUG-4
		level = l
	}
	take("@timestamp", "time") // ours is near enough, and cannot lie
	var attrs []slog.Attr
	for k, v := range fields {
		attrs = append(attrs, slog.Any(strings.TrimPrefix(k, "@"), v))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	if len(attrs) > 0 {
		attrs = []slog.Attr{slog.GroupAttrs("fields", attrs...)}
	}
	return level, message, attrs, true
}
