package httpapi

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
)

// PageStyle is how a service's clients ask for a page.
type PageStyle int

// The styles.
const (
	// Nova: limit, marker, repeated sort_key and sort_dir, descending unless told.
	Nova PageStyle = iota
	// Cinder: limit, marker, offset; sort=key:dir,... or one sort_key and sort_dir.
	Cinder
	// Glance: limit, marker; sort=key:dir,... or repeated sort_key and sort_dir.
	Glance
	// Neutron: limit, marker, page_reverse, as many sort_key as sort_dir.
	Neutron
	// Keystone: limit, marker, sort_key and sort_dir.
	Keystone
)

// PageOptions is what a resource's list allows.
type PageOptions struct {
	Style PageStyle
	// MaxLimit bounds the limit; 0 means 1000.
	MaxLimit int
	// DefaultLimit is for a client that names none; 0 means MaxLimit.
	DefaultLimit int
	// SortKeys are the fields the list can be sorted by, as on the wire; empty
	// means that it cannot.
	SortKeys []string
	// DefaultSort is the order when the client names none.
	DefaultSort []nephos.SortKey
}

// maxSortKeys bounds how many keys a client may sort by.
const maxSortKeys = 16

// Page reads limit, marker and order from the query. Its Limit is the number of
// items the page may hold: what the client asks for, bounded by MaxLimit. Errors
// wrap [nephos.ErrInvalid] and read as the service's.
//
// A limit of zero means no limit in Neutron and Keystone, but an empty list
// elsewhere: Page then returns a Limit of 0 and [Request.NoItems] reports true.
func (r *Request) Page(o PageOptions) (nephos.Page, error) {
	if o.MaxLimit == 0 {
		o.MaxLimit = 1000
	}
	if o.DefaultLimit == 0 || o.DefaultLimit > o.MaxLimit {
		o.DefaultLimit = o.MaxLimit
	}
	p := nephos.Page{Limit: o.DefaultLimit}
	if s, ok := r.Param("limit"); ok {
		n, err := o.limit(s)
		if err != nil {
			return nephos.Page{}, err
		}
		switch {
		case n > 0:
			p.Limit = min(n, o.MaxLimit)
		case o.Style == Nova || o.Style == Cinder || o.Style == Glance:
			p.Limit = 0
		}
	}
	p.Marker, _ = r.Param("marker")
	if len(p.Marker) > 255 || strings.ContainsRune(p.Marker, 0) {
		return nephos.Page{}, nephos.Errorf(nephos.ErrInvalid,
			"marker [%s] not found", clip(p.Marker, 64)).WithField("marker")
	}
	if o.Style == Neutron {
		s, _ := r.Param("page_reverse")
		p.Reverse = strings.EqualFold(s, "true")
	}
	sort, err := o.sort(r)
	if err != nil {
		return nephos.Page{}, err
	}
	if len(sort) == 0 {
		sort = o.DefaultSort
	}
	p.Sort = sort
	return p, nil
}

// NoItems reports whether the query's limit is zero, which in the styles of Nova,
// Cinder and Glance asks for an empty list.
func (r *Request) NoItems() bool {
	s, ok := r.Param("limit")
	if !ok {
		return false
	}
	n, err := strconv.Atoi(strings.TrimSpace(s))
	return err == nil && n == 0
}

// limit parses the query's limit.
func (o PageOptions) limit(s string) (int, error) {
	refuse := func(format string, args ...any) (int, error) {
		err := nephos.Errorf(nephos.ErrInvalid, format, args...).WithField("limit")
		if o.Style == Neutron {
			err.Reason = "BadRequest"
		}
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil && isDigits(s) {
		n, err = o.MaxLimit, nil // larger than an int is larger than the bound
	}
	switch o.Style {
	case Nova:
		if !isDigits(s) {
			q := clip(s, 64)
			return refuse("Invalid input for query parameters limit. Value: %s. '%s' does not match '^[0-9]*$'", q, q)
		}
	case Neutron:
		if err != nil || n < 0 {
			return refuse("Bad limit request: Limit must be an integer 0 or greater and not '%s'.", clip(s, 64))
		}
	case Keystone:
		if err != nil || n < 0 {
			return refuse("Invalid input for field 'limit': '%s' does not match '^[0-9]*$'", clip(s, 64))
		}
	default:
		if err != nil {
			return refuse("limit param must be an integer")
		}
		if n < 0 {
			return refuse("limit param must be positive")
		}
	}
	return n, nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// sort reads the order a client asks for; nil when it names none.
func (o PageOptions) sort(r *Request) ([]nephos.SortKey, error) {
	q := r.Query()
	keys, dirs := trimmed(q["sort_key"], o.Style), trimmed(q["sort_dir"], o.Style)
	if list, ok := r.Param("sort"); ok && (o.Style == Cinder || o.Style == Glance) {
		if len(keys)+len(dirs) > 0 {
			if o.Style == Glance {
				return nil, sortError("Old and new sorting syntax cannot be combined")
			}
			return nil, sortError("The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with the 'sort' parameter.")
		}
		for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
			key, dir, _ := strings.Cut(part, ":")
			if dir == "" {
				dir = "desc"
			}
			keys, dirs = append(keys, strings.TrimSpace(key)), append(dirs, strings.TrimSpace(dir))
		}
	}
	if len(keys) > maxSortKeys || len(dirs) > maxSortKeys {
		return nil, sortError("At most %d sort keys are accepted.", maxSortKeys)
	}
	if err := o.checkSort(keys, dirs); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		if len(dirs) == 0 || len(o.DefaultSort) == 0 {
			return nil, nil
		}
		// A direction alone turns the default order.
		keys = []string{o.DefaultSort[0].Key}
	}
	out := make([]nephos.SortKey, len(keys))
	for i, k := range keys {
		dir := "desc"
		if o.Style == Keystone {
			dir = "asc"
		}
		switch {
		case i < len(dirs):
			dir = dirs[i]
		case len(dirs) > 0:
			dir = dirs[0]
		}
		out[i] = nephos.SortKey{Key: k, Desc: dir == "desc"}
	}
	return out, nil
}

// trimmed trims the values, of which Glance takes empty ones as they are.
func trimmed(in []string, style PageStyle) []string {
	var out []string
	for _, s := range in {
		if s = strings.TrimSpace(s); s != "" || style == Glance {
			out = append(out, s)
		}
	}
	return out
}

func sortError(format string, args ...any) error {
	return nephos.Errorf(nephos.ErrInvalid, format, args...).WithField("sort")
}

// checkSort holds keys and directions against what is allowed.
func (o PageOptions) checkSort(keys, dirs []string) error {
	if o.Style == Neutron && len(keys) != len(dirs) {
		return sortError("The number of sort_keys and sort_dirs must be same")
	}
	if len(dirs) > len(keys) && (o.Style != Nova || len(keys) > 0) && (len(keys) > 0 || len(dirs) > 1) {
		if o.Style == Glance {
			return sortError("Number of sort dirs does not match the number of sort keys")
		}
		return sortError("Sort direction array size exceeds sort key array size.")
	}
	if o.Style == Glance && len(dirs) > 1 && len(dirs) != len(keys) {
		return sortError("Number of sort dirs does not match the number of sort keys")
	}
	if o.Style == Neutron {
		// Neutron names all of them at once.
		if bad := others(keys, o.SortKeys); len(bad) > 0 {
			return sortError("%s is invalid attribute for sort_keys", pythonList(bad))
		}
		if bad := others(dirs, []string{"asc", "desc"}); len(bad) > 0 {
			return sortError("%s is invalid value for sort_dirs, valid value is 'asc' and 'desc'", pythonList(bad))
		}
		return nil
	}
	for _, k := range keys {
		if slices.Contains(o.SortKeys, k) {
			continue
		}
		k = clip(k, 64)
		switch o.Style {
		case Nova:
			return sortError("Invalid input for query parameters sort_key. Value: %s. '%s' is not one of %s", k, k, pythonList(o.SortKeys))
		case Glance:
			return sortError("Invalid sort key: %s. It must be one of the following: %s.", k, strings.Join(o.SortKeys, ", "))
		case Cinder:
			return sortError("Invalid input received: Invalid sort key")
		default:
			return sortError("Sort key supplied is invalid: %s", k)
		}
	}
	for _, d := range dirs {
		if d == "asc" || d == "desc" {
			continue
		}
		d = clip(d, 64)
		switch o.Style {
		case Nova:
			return sortError("Invalid input for query parameters sort_dir. Value: %s. '%s' is not one of ['asc', 'desc']", d, d)
		case Glance:
			return sortError("Invalid sort direction: %s", d)
		default:
			return sortError("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")
		}
	}
	return nil
}

func pythonList(in []string) string {
	if len(in) == 0 {
		return "[]"
	}
	return "['" + strings.Join(in, "', '") + "']"
}

// others returns the strings of in that are not allowed, clipped.
func others(in, allowed []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(allowed, s) {
			out = append(out, clip(s, 64))
		}
	}
	return out
}
