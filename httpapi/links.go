package httpapi

import (
	"maps"
	"net/url"
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
	return r.Link(r.SelfPath(), pageQuery(r, lastID, false))
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
	return r.Link(r.SelfPath(), pageQuery(r, firstID, true))
}

func pageQuery(r *Request, marker string, reverse bool) url.Values {
	q := maps.Clone(r.Query())
	delete(q, "page_reverse")
	if marker == "" {
		delete(q, "marker")
	} else {
		q["marker"] = []string{marker}
	}
	if reverse {
		q["page_reverse"] = []string{"True"}
	}
	return q
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
