package rbd

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

func FuzzParseEntry(f *testing.F) {
	f.Add([]byte(`{"image":"image-1","size":5,"created":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"image":"volume-1","size":5}`))
	f.Add([]byte(`{"image":"image-1","size":-5}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := parseEntry("o", value)
		if err != nil {
			return
		}
		require.True(t, strings.HasPrefix(e.Image, imagePrefix))
		require.GreaterOrEqual(t, e.Size, int64(0))
		again, err := json.Marshal(e)
		if err != nil {
			return // a year that JSON cannot have
		}
		same, err := parseEntry("o", again)
		require.NoError(t, err)
		require.Equal(t, e.Image, same.Image)
		require.True(t, e.Created.Equal(same.Created))
	})
}

func TestConfig(t *testing.T) {
	good := Config{Pool: "images", Monitors: []string{"10.0.0.1"}}
	_, err := good.check()
	require.NoError(t, err)
	for _, bad := range []Config{{}, {Pool: "images"}, {Monitors: []string{"a"}}, {Pool: "a/b", Monitors: []string{"a"}}} {
		_, err := bad.check()
		require.ErrorIs(t, err, nephos.ErrInvalid)
	}
}
