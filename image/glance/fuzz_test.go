package glance

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/image"
)

// refusal holds a parser to answering nonsense with an error for the caller.
func refusal(t *testing.T, err error) {
	t.Helper()
	var e *nephos.Error
	require.True(t, errors.As(err, &e), "%v", err)
	require.NotEmpty(t, e.Message)
}

func FuzzDecodePointer(f *testing.F) {
	for _, s := range []string{"/name", "/a~1b", "/locations/-", "name", "//", "/", "/~", "/ /", "/a/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		path, err := decodePointer(s)
		if err != nil {
			refusal(t, err)
			return
		}
		require.NotEmpty(t, path)
	})
}

func FuzzChange(f *testing.F) {
	f.Add(`{"op":"add","path":"/name","value":"x"}`, false)
	f.Add(`{"replace":"/tags","value":["x"]}`, true)
	f.Add(`{"op":"add","path":"/locations/-","value":{"url":"x","metadata":{}}}`, false)
	f.Add(`{"op":{},"path":[],"value":1e999}`, false)
	f.Fuzz(func(t *testing.T, s string, draft4 bool) {
		dec := json.NewDecoder(strings.NewReader(s))
		dec.UseNumber()
		var raw map[string]any
		if dec.Decode(&raw) != nil {
			return
		}
		ch, err := changeOf(raw, draft4)
		if err != nil {
			refusal(t, err)
			return
		}
		switch ch.Value.(type) {
		case nil, string, int64, bool, []string:
		default:
			t.Fatalf("a value of type %T", ch.Value)
		}
	})
}

func FuzzSpec(f *testing.F) {
	f.Add(`{"name":"x","tags":["t"],"min_disk":1,"os_distro":"debian"}`)
	f.Add(`{"self":1}`)
	f.Fuzz(func(t *testing.T, s string) {
		dec := json.NewDecoder(strings.NewReader(s))
		dec.UseNumber()
		var attrs map[string]any
		if dec.Decode(&attrs) != nil {
			return
		}
		if _, err := specOf(attrs); err != nil {
			refusal(t, err)
		}
	})
}

func FuzzRange(f *testing.F) {
	f.Add("bytes=0-4", int64(10))
	f.Add("bytes=-3", int64(10))
	f.Add("bytes=9223372036854775807-", int64(1))
	f.Add("bytes 0-3/*", int64(4))
	f.Fuzz(func(t *testing.T, s string, size int64) {
		if size < 0 {
			return
		}
		for _, parse := range []func(string, int64) (int64, int64, error){parseRange, parseContentRange} {
			offset, length, err := parse(s, size)
			if err != nil {
				refusal(t, err)
				continue
			}
			if offset < 0 || length <= 0 || length > size || offset > size-length {
				t.Fatalf("%q of %d bytes gives %d bytes from %d", s, size, length, offset)
			}
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add(`name=in:"a,b",c&size_min=1`)
	f.Add(`created_at=gt:2026-01-01T00:00:00Z&tag=x&tag=y`)
	f.Fuzz(func(t *testing.T, s string) {
		q, _ := url.ParseQuery(s)
		filter := image.Filter{Properties: map[string]string{}}
		for name, values := range q {
			for _, v := range values {
				if err := addFilter(&filter, name, v); err != nil {
					refusal(t, err)
				}
			}
		}
	})
}

func FuzzSplitList(f *testing.F) {
	f.Add(`a,"b,c",d`)
	f.Add(`"\"",`)
	f.Fuzz(func(t *testing.T, s string) {
		list, err := splitList(s)
		if err != nil {
			refusal(t, err)
			return
		}
		for _, v := range list {
			require.NotEmpty(t, v)
			require.LessOrEqual(t, len(v), len(s))
		}
	})
}
