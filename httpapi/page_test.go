package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
)

var sortByName = []nephos.SortKey{{Key: "created_at", Desc: true}}

func pageOf(t *testing.T, style PageStyle, query string) (nephos.Page, error) {
	r := request(t, "compute", "/x?"+query, "")
	return r.Page(PageOptions{Style: style, MaxLimit: 100, SortKeys: []string{"name", "created_at"}, DefaultSort: sortByName})
}

func TestPage(t *testing.T) {
	name := func(desc bool) []nephos.SortKey { return []nephos.SortKey{{Key: "name", Desc: desc}} }
	for _, c := range []struct {
		style PageStyle
		query string
		want  nephos.Page
	}{
		{Nova, "", nephos.Page{Limit: 100, Sort: sortByName}},
		{Nova, "limit=7&marker=m", nephos.Page{Limit: 7, Marker: "m", Sort: sortByName}},
		{Nova, "limit=1000", nephos.Page{Limit: 100, Sort: sortByName}},
		{Nova, "limit=99999999999999999999999", nephos.Page{Limit: 100, Sort: sortByName}},
		{Nova, "limit=0", nephos.Page{Limit: 0, Sort: sortByName}},
		{Neutron, "limit=0", nephos.Page{Limit: 100, Sort: sortByName}},
		{Nova, "sort_key=name", nephos.Page{Limit: 100, Sort: name(true)}},
		{Nova, "sort_key=name&sort_dir=asc", nephos.Page{Limit: 100, Sort: name(false)}},
		{Nova, "sort_dir=asc", nephos.Page{Limit: 100, Sort: []nephos.SortKey{{Key: "created_at"}}}},
		{Nova, "sort_key=name&sort_key=created_at&sort_dir=asc", nephos.Page{Limit: 100, Sort: []nephos.SortKey{{Key: "name"}, {Key: "created_at"}}}},
		{Cinder, "sort=name:asc,created_at", nephos.Page{Limit: 100, Sort: []nephos.SortKey{{Key: "name"}, {Key: "created_at", Desc: true}}}},
		{Glance, "sort=name", nephos.Page{Limit: 100, Sort: name(true)}},
		{Neutron, "sort_key=name&sort_dir=asc&page_reverse=True", nephos.Page{Limit: 100, Sort: name(false), Reverse: true}},
		{Keystone, "sort_key=name", nephos.Page{Limit: 100, Sort: name(false)}},
	} {
		got, err := pageOf(t, c.style, c.query)
		require.NoError(t, err, c.query)
		require.Equal(t, c.want, got, c.query)
	}
}

func TestPageRefuses(t *testing.T) {
	for _, c := range []struct {
		style PageStyle
		query string
		want  string
	}{
		{Nova, "limit=-1", "Invalid input for query parameters limit. Value: -1. '-1' does not match '^[0-9]*$'"},
		{Nova, "limit=a", "Invalid input for query parameters limit. Value: a. 'a' does not match '^[0-9]*$'"},
		{Nova, "sort_key=x", "Invalid input for query parameters sort_key. Value: x. 'x' is not one of ['name', 'created_at']"},
		{Nova, "sort_key=name&sort_dir=up", "Invalid input for query parameters sort_dir. Value: up. 'up' is not one of ['asc', 'desc']"},
		{Cinder, "limit=a", "limit param must be an integer"},
		{Cinder, "limit=-2", "limit param must be positive"},
		{Cinder, "sort=name&sort_key=name", "The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter."},
		{Cinder, "sort=name:up", "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'."},
		{Glance, "limit=-2", "limit param must be positive"},
		{Glance, "sort=x", "Invalid sort key: x. It must be one of the following: name, created_at."},
		{Glance, "sort=name:up", "Invalid sort direction: up"},
		{Glance, "sort_key=name&sort_dir=asc&sort_dir=asc", "Number of sort dirs does not match the number of sort keys"},
		{Neutron, "limit=x", "Bad limit request: Limit must be an integer 0 or greater and not 'x'."},
		{Neutron, "sort_key=name", "The number of sort_keys and sort_dirs must be same"},
		{Neutron, "sort_key=x&sort_key=name&sort_key=y&sort_dir=asc&sort_dir=asc&sort_dir=asc", "['x', 'y'] is invalid attribute for sort_keys"},
		{Neutron, "sort_key=name&sort_dir=up", "['up'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'"},
		{Nova, "marker=" + strings.Repeat("m", 256), "marker [" + strings.Repeat("m", 64) + "…] not found"},
	} {
		_, err := pageOf(t, c.style, c.query)
		require.EqualError(t, err, c.want, c.query)
		require.ErrorIs(t, err, nephos.ErrInvalid)
	}
}

// inventory is a list behind an API: it pages as a service does.
type inventory []string

func (inv inventory) list(p nephos.Page) (items []string, err error) {
	from := 0
	if p.Marker != "" {
		from = -1
		for i, id := range inv {
			if id == p.Marker {
				from = i + 1
			}
		}
		if from < 0 {
			return nil, nephos.Errorf(nephos.ErrInvalid, "marker [%s] not found", p.Marker)
		}
	}
	return inv[from:min(len(inv), from+p.Limit)], nil
}

// The pages that the links lead through are the whole list, once, in order.
func TestPagesJoinToTheWhole(t *testing.T) {
	for n := range 12 {
		var inv inventory
		for i := range n {
			inv = append(inv, fmt.Sprintf("id %d&x", i))
		}
		for _, style := range []PageStyle{Nova, Cinder, Neutron} {
			a := newAPI(t, "compute", NovaFault, get("GET /things", func(r *Request) (*Response, error) {
				p, err := r.Page(PageOptions{Style: style, MaxLimit: 5})
				if err != nil {
					return nil, err
				}
				items, err := inv.list(p)
				if err != nil {
					return nil, err
				}
				first, last := "", ""
				if len(items) > 0 {
					first, last = items[0], items[len(items)-1]
				}
				return OK(map[string]any{"things": items, "links": PageLinks(r, style, p, len(items), first, last)}), nil
			}))
			for limit := 1; limit <= 7; limit++ {
				var got []string
				path := "/things?name=x%20y&limit=" + strconv.Itoa(limit)
				for pages := 0; path != ""; pages++ {
					require.Less(t, pages, 20)
					w := do(a, "GET "+path, "")
					require.Equal(t, 200, w.Code)
					var page struct {
						Things []string
						Links  []Link
					}
					require.NoError(t, json.Unmarshal(w.Body.Bytes(), &page))
					require.LessOrEqual(t, len(page.Things), min(limit, 5))
					got = append(got, page.Things...)
					path = ""
					for _, l := range page.Links {
						if l.Rel == "next" {
							u, err := url.Parse(l.Href)
							require.NoError(t, err)
							require.Equal(t, "cloud.example", u.Host)
							require.Equal(t, "x y", u.Query().Get("name"))
							path = strings.TrimPrefix(u.RequestURI(), "/compute")
						}
					}
				}
				require.Equal(t, []string(inv), got, "%d items by %d", n, limit)
			}
		}
	}
}

func TestLinks(t *testing.T) {
	r := request(t, "compute", "/v2.1/servers/?limit=2&status=ACTIVE&marker=old&page_reverse=True", "")
	p := nephos.Page{Limit: 2}
	require.Equal(t, "http://cloud.example/compute/v2.1/servers?limit=2&status=ACTIVE&marker=m", NextLink(r, p, "m"))
	require.Equal(t, "/v2.1/servers?limit=2&status=ACTIVE&page_reverse=True&marker=m", NextPath(r, p, "m"))
	require.Equal(t, "http://cloud.example/compute/v2.1/servers?limit=2&status=ACTIVE&marker=f&page_reverse=True", PreviousLink(r, p, "f"))
	require.Equal(t, "/v2.1/servers?limit=2&status=ACTIVE&page_reverse=True", FirstPath(r))
	require.Nil(t, PageLinks(r, Nova, p, 1, "a", "a"))
	require.Len(t, PageLinks(r, Nova, p, 2, "a", "b"), 1)
	require.Equal(t, []Link{{"previous", PreviousLink(r, p, "a")}}, PageLinks(r, Neutron, p, 1, "a", "a"))
	require.Len(t, PageLinks(r, Neutron, p, 2, "a", "b"), 2)
	l := IdentityLinks(r, p, "m", true)
	require.Equal(t, NextLink(r, p, "m"), *l.Next)
	require.Equal(t, "http://cloud.example/compute/v2.1/servers?limit=2&status=ACTIVE&marker=old&page_reverse=True", l.Self)
	require.Nil(t, IdentityLinks(r, p, "m", false).Next)
	require.Nil(t, PageLinks(request(t, "network", "/n", ""), Neutron, nephos.Page{Limit: 2}, 2, "a", "b"))

	a := New(Config{PublicURLFunc: func() string { return "https://late.example/" }})
	late := &Request{Request: httptest.NewRequest("GET", "http://evil.example/x", nil), api: a}
	require.Equal(t, "https://late.example/v3/users?a=b", late.Link("v3/users", url.Values{"a": {"b"}}))
}

func TestQuery(t *testing.T) {
	r := request(t, "compute", "/x?fields=id,name&fields=size&a=YES&b=off&c=maybe&n=5", "")
	require.Equal(t, []string{"id", "name", "size"}, r.Fields())
	for name, want := range map[string]bool{"a": true, "b": false, "absent": true} {
		v, err := r.Bool(name, true)
		require.NoError(t, err)
		require.Equal(t, want, v, name)
	}
	_, err := r.Bool("c", false)
	require.ErrorIs(t, err, nephos.ErrInvalid)
	n, err := r.Int("n", 0, 0, 9)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	_, err = r.Int("n", 0, 0, 4)
	require.ErrorIs(t, err, nephos.ErrInvalid)
	require.True(t, request(t, "compute", "/x?limit=0", "").NoItems())
	require.False(t, request(t, "compute", "/x?limit=1", "").NoItems())
}

func FuzzPage(f *testing.F) {
	for _, s := range []string{"limit=5&marker=a", "sort=name:asc", "sort_key=name&sort_dir=desc", "limit=-0", "limit=%zz", "page_reverse=1", "sort=,,:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, q string) {
		for _, style := range []PageStyle{Nova, Cinder, Glance, Neutron, Keystone} {
			hr := httptest.NewRequest("GET", "/x", nil)
			hr.URL.RawQuery = q
			r := &Request{Request: hr, api: New(Config{Service: "compute"})}
			p, err := r.Page(PageOptions{Style: style, MaxLimit: 10, SortKeys: []string{"name"}, DefaultSort: sortByName})
			if err != nil {
				require.True(t, errors.Is(err, nephos.ErrInvalid))
				continue
			}
			require.LessOrEqual(t, p.Limit, 10)
			require.GreaterOrEqual(t, p.Limit, 0)
			for _, k := range p.Sort {
				require.Contains(t, []string{"name", "created_at"}, k.Key)
			}
			_ = PageLinks(r, style, p, 10, "a", "b")
		}
	})
}
