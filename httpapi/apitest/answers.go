package apitest

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"
)

// Answers makes the requests of a file and compares what they are answered, to
// the letter, with what the file says. A line that begins with a word is the
// token, the method with its microversion, and the path of the requests that
// follow it; a line that begins like JSON is the body of one of them, and the
// line below, set in by a tab, its answer: the status and the fault's message.
// "<x*300>" is three hundred times x, and # begins a comment.
//
//	member POST 2.96 /v2.1/flavors
//	{"flavor": 1}
//		400 Invalid input for field/attribute flavor. Value: 1. 1 is not of type 'object'
//
// With NEPHOS_WRITE_ANSWERS=1 in the environment the file is written anew, to be
// read before it is committed.
func (s *Server) Answers(file string) {
	s.T.Helper()
	said, err := os.ReadFile(file)
	require.NoError(s.T, err)
	var now strings.Builder
	var token, method, path string
	lines := strings.Split(strings.TrimSuffix(string(said), "\n"), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, "\t"):
			continue
		case line == "" || line[0] == '#':
		case line[0] >= 'a' && line[0] <= 'z' && strings.Contains(line, " /"):
			method, path, _ = strings.Cut(line, " /")
			token, method, _ = strings.Cut(method, " ")
		default:
			a := s.Do(token, method, "/"+path, unfold(line))
			answer := fmt.Sprintf("\t%d %s", a.Status, fold(a.Message()))
			if i+1 == len(lines) || lines[i+1] != answer {
				s.T.Errorf("%s:%d: %s is answered%s", file, i+1, line, answer)
			}
			line += "\n" + answer
		}
		now.WriteString(line + "\n")
	}
	if os.Getenv("NEPHOS_WRITE_ANSWERS") == "1" {
		require.NoError(s.T, os.WriteFile(file, []byte(now.String()), 0o600))
	}
}

var folded = regexp.MustCompile(`<(.)\*(\d+)>`)

// unfold writes out what a file's line abbreviates.
func unfold(line string) string {
	return folded.ReplaceAllStringFunc(line, func(short string) string {
		m := folded.FindStringSubmatch(short)
		n, _ := strconv.Atoi(m[2])
		return strings.Repeat(m[1], n)
	})
}

// fold writes a text as one short line.
func fold(text string) string {
	var b strings.Builder
	for rest := []rune(text); len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n] == rest[0] {
			n++
		}
		switch {
		case n >= 20:
			fmt.Fprintf(&b, "<%c*%d>", rest[0], n)
		case rest[0] == '\'':
			b.WriteString(strings.Repeat("'", n))
		default:
			quoted := strconv.QuoteRune(rest[0])
			b.WriteString(strings.Repeat(quoted[1:len(quoted)-1], n))
		}
		rest = rest[n:]
	}
	return b.String()
}
