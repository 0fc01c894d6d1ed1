package httpapi

import (
	"net/url"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// Link is one entry of a list of links.
type Link struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

// NextLink returns the absolute URL of the page after the one that ends with
// lastID: the request's own path and query with another marker.
func NextLink(r *Request, _ nephos.Page, lastID string) string {
	return r.Link(r.SelfPath(), nil) + "?" + pageQuery(r, lastID, false)
}

// NextPath is [NextLink] without scheme, host and mount point, as the Image API
// writes its "next": "/v2/images?marker=...". The parameters keep their order.
func NextPath(r *Request, _ nephos.Page, lastID string) string {
	return r.SelfPath() + "?" + inOrder(r, "marker", lastID)
}

// FirstPath is the path of the first page, as the Image API writes its "first".
func FirstPath(r *Request) string {
	q := inOrder(r, "marker", "")
	if q == "" {
		return r.SelfPath()
	}
	return r.SelfPath() + "?" + q
}

// inOrder returns the query with another value of one parameter, or without it,
// and otherwise as it came.
func inOrder(r *Request, name, value string) string {
	var q strings.Builder
	add := func(k, v string) {
		if q.Len() > 0 {
			q.WriteByte('&')
		}
		q.WriteString(url.QueryEscape(k) + "=" + url.QueryEscape(v))
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		k, v, _ := strings.Cut(pair, "=")
		k, err := url.QueryUnescape(k)
		v, err2 := url.QueryUnescape(v)
		if k == "" || k == name || err != nil || err2 != nil {
			continue
		}
		add(k, v)
	}
	if value != "" {
		add(name, value)
	}
	return q.String()
}

// PreviousLink returns the absolute URL of the page before the one that begins
// with firstID, in the Networking API's manner.
func PreviousLink(r *Request, _ nephos.Page, firstID string) string {
	return r.Link(r.SelfPath(), nil) + "?" + pageQuery(r, firstID, true)
}

// pageQuery is the request's query for another page: the parameters as they
// came, those of the Compute API in the order of their names, then the marker.
func pageQuery(r *Request, marker string, reverse bool) string {
	type param struct{ key, value string }
	var params []param
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		k, v, _ := strings.Cut(pair, "=")
		k, err := url.QueryUnescape(k)
		v, err2 := url.QueryUnescape(v)
		if k == "" || k == "marker" || k == "page_reverse" || err != nil || err2 != nil {
			continue
		}
		params = append(params, param{k, v})
	}
	if r.api.cfg.Service == "compute" {
		slices.SortStableFunc(params, func(a, b param) int { return strings.Compare(a.key, b.key) })
	}
	if marker != "" {
		params = append(params, param{"marker", marker})
	}
	if reverse {
		params = append(params, param{"page_reverse", "True"})
	}
	var q strings.Builder
	for i, p := range params {
		if i > 0 {
			q.WriteByte('&')
		}
		q.WriteString(url.QueryEscape(p.key) + "=" + url.QueryEscape(p.value))
	}
	return q.String()
}

// PageLinks returns the links that belong beside a list of n items, the first and
// last of which have these ids: the value of servers_links, volumes_links,
// networks_links and their kin. Nil means that the field is left out.
//
// As the real services do, it goes by the number of items: a full page has a
// next link even if nothing follows. Neutron's lists have links only when the
// client gave a limit, and a previous link unless a reversed page fell short.
func PageLinks(r *Request, style PageStyle, p nephos.Page, n int, firstID, lastID string) []Link {
	full := n > 0 && n >= p.Limit && p.Limit > 0
	if style != Neutron {
		if full {
			return []Link{{"next", NextLink(r, p, lastID)}}
		}
		return nil
	}
	if limit, ok := r.Param("limit"); !ok || limit == "0" {
		return nil
	}
	short := n < p.Limit
	var links []Link
	if !short || p.Reverse {
		links = append(links, Link{"next", NextLink(r, p, lastID)})
	}
	if !short || !p.Reverse {
		links = append(links, Link{"previous", PreviousLink(r, p, firstID)})
	}
	return links
}

// CollectionLinks is the "links" object of the Identity API's lists.
type CollectionLinks struct {
	Next     *string `json:"next"`
	Self     string  `json:"self"`
	Previous *string `json:"previous"`
}

// IdentityLinks returns the links of a list; next is set when more follows the
// item lastID.
func IdentityLinks(r *Request, p nephos.Page, lastID string, more bool) CollectionLinks {
	l := CollectionLinks{Self: r.Link(r.SelfPath(), nil)}
	if r.URL.RawQuery != "" {
		l.Self += "?" + r.URL.RawQuery
	}
	if more {
		next := NextLink(r, p, lastID)
		l.Next = &next
	}
	return l
}
