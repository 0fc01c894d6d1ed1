package nephos

// Page asks for one page of a list: at most Limit items after the item whose
// id is Marker, in the order of Sort. A service never returns more than the
// limit, and says whether something follows, so that a wire package
// can always write the link to the next page.
type Page struct {
	Limit   int // 0: the service's maximum
	Marker  string
	Sort    []SortKey
	Reverse bool // page_reverse of the Networking API
}

// SortKey is one key of an ordering.
type SortKey struct {
	Key  string // the field's name on the wire, checked against the resource's list
	Desc bool
}
