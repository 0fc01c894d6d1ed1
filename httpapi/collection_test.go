package httpapi_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/httpapi"
)

// A collection is what encoding it at once would have been, in the items' order.
func TestCollection(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 1000} {
		for _, links := range [][]httpapi.Link{nil, {{Rel: "next", Href: "http://c/servers?marker=1&limit=2"}}} {
			want := map[string]any{"servers": []any{}}
			items := []any{}
			for i := range n {
				items = append(items, map[string]any{"id": float64(i), "name": "<&>"})
			}
			want["servers"] = items
			if links != nil {
				want["servers_links"] = []any{map[string]any{"rel": "next", "href": "http://c/servers?marker=1&limit=2"}}
			}
			resp, err := httpapi.Collection("servers", n, func(i int) (any, error) { return items[i], nil }, links)
			require.NoError(t, err)
			var got map[string]any
			require.NoError(t, json.Unmarshal(resp.Body.(json.RawMessage), &got))
			require.Equal(t, want, got)
		}
	}
	broken := errors.New("broken")
	_, err := httpapi.Collection("servers", 500, func(i int) (any, error) {
		if i == 400 {
			return nil, broken
		}
		return i, nil
	}, nil)
	require.ErrorIs(t, err, broken)
	require.PanicsWithValue(t, "bug", func() {
		_, _ = httpapi.Collection("servers", 500, func(i int) (any, error) {
			if i == 0 {
				panic("bug")
			}
			return i, nil
		}, nil)
	})
}
