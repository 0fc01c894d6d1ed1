package rbd

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseLocation(t *testing.T) {
	l, err := parseLocation("rbd://f/images/1/snap")
	require.NoError(t, err)
	require.Equal(t, location{fsid: "f", pool: "images", image: "1", snapshot: "snap"}, l)
	l, err = parseLocation("rbd://f/images/ns/1%2e/snap")
	require.NoError(t, err)
	require.Equal(t, location{fsid: "f", pool: "images", namespace: "ns", image: "1.", snapshot: "snap"}, l)
}

func FuzzParseLocation(f *testing.F) {
	for _, s := range []string{"", "rbd://", "rbd://a/b/c", "rbd://a/b/c/d/e/f", "rbd://a/b//d", "rbd://a/b%2fc/d/e", "file:///x", "rbd://a/%zz/c/d", "rbd://a/b/c@d/e", "rbd://f/p/i/s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := parseLocation(s)
		if err != nil {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			return
		}
		require.NotEmpty(t, l.pool)
		require.NotContains(t, l.image+l.snapshot+l.pool, "/")
	})
}
