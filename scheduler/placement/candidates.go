package placement

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

// A parameter of a request group, with the group's suffix.
var (
	plainGroup    = regexp.MustCompile(`^(resources|required|member_of)()$`)
	numberedGroup = regexp.MustCompile(`^(resources|required|member_of|in_tree)([1-9][0-9]*)?$`)
	namedGroup    = regexp.MustCompile(`^(resources|required|member_of|in_tree)([a-zA-Z0-9_-]{1,64})?$`)
)

const (
	codeMissing = "placement.query.missing_value"
	codeBad     = "placement.query.bad_value"
	maxGroups   = 32
)

func groupPattern(r *httpapi.Request) *regexp.Regexp {
	switch {
	case at(r, "1.33"):
		return namedGroup
	case at(r, "1.25"):
		return numberedGroup
	}
	return plainGroup
}

// candidatesRequest reads the query of a request for allocation candidates.
func candidatesRequest(r *httpapi.Request) (sqlstore.CandidatesRequest, error) {
	req := sqlstore.CandidatesRequest{Flat: !at(r, "1.29")}
	if err := checkQuery(r, candidatesQuery(r)); err != nil {
		return req, err
	}
	keys := queryKeys(r)
	for _, key := range slices.Sorted(slices.Values(keys)) { // what concerns the whole comes first
		if err := wideParam(r, key, &req); err != nil {
			return req, err
		}
	}
	pattern := groupPattern(r)
	for _, key := range keys {
		m := pattern.FindStringSubmatch(key)
		if m == nil {
			continue // the schema has seen to it
		}
		i := slices.IndexFunc(req.Groups, func(g sqlstore.RequestGroup) bool { return g.Suffix == m[2] })
		if i < 0 {
			i = len(req.Groups)
			req.Groups = append(req.Groups, sqlstore.RequestGroup{Suffix: m[2]})
		}
		if len(req.Groups) > maxGroups {
			return req, nephos.Errorf(nephos.ErrTooLarge, "one request has at most %d groups", maxGroups)
		}
		if err := groupParam(r, m[1], key, &req.Groups[i]); err != nil {
			return req, err
		}
	}
	return req, checkGroups(r, &req, r.Query().Get("group_policy"))
}

// queryKeys returns the names of a query's parameters in the order in which they
// come, which is that of the groups in faults.
func queryKeys(r *httpapi.Request) []string {
	var keys []string
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if name, err := url.QueryUnescape(name); err == nil && r.Query().Has(name) && !seen[name] {
			seen[name] = true
			keys = append(keys, name)
		}
	}
	return keys
}

// groupParam reads a parameter of a group. Of several values of resources or of a
// tree the last counts, but each is checked.
func groupParam(r *httpapi.Request, name, key string, g *sqlstore.RequestGroup) (err error) {
	switch name {
	case "resources":
		for _, value := range r.Query()[key] {
			if g.Resources, err = parseResources(value); err != nil {
				return err
			}
		}
	case "required":
		g.Required, g.Forbidden, err = parseRequired(r, key)
	case "member_of":
		g.MemberOf, g.NotMemberOf, err = parseMemberOf(r, key)
	case "in_tree":
		for _, value := range r.Query()[key] {
			uuid, ok := normalUUID(strings.TrimSpace(value))
			if !ok {
				return badQuery(key, "Expected 'in_tree' parameter to be a format of uuid. Got: %s", clip(value))
			}
			g.InTree = uuid
		}
	}
	return err
}

// wideParam reads a parameter if it concerns the whole request. Of several values
// the first counts.
func wideParam(r *httpapi.Request, key string, req *sqlstore.CandidatesRequest) error {
	value := r.Query().Get(key)
	switch {
	case key == "limit" && at(r, "1.16"):
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) || n == 0 { // the schema has seen the last value only
			return badQuery(key, "%s does not match '^[1-9][0-9]*$'", bounded(dialect.Quote.Repr(value)))
		}
		req.Limit = int(min(n, math.MaxInt32))
	case key == "group_policy" && at(r, "1.25"):
		if value != "none" && value != "isolate" {
			return badQuery(key, "%s is not one of ['none', 'isolate']", bounded(dialect.Quote.Repr(value)))
		}
		req.Isolate = value == "isolate"
	case key == "root_required" && at(r, "1.35"):
		if len(r.Query()[key]) > 1 {
			return nephos.Errorf(nephos.ErrInvalid, "Query parameter 'root_required' may be specified only once.").
				WithReason("placement.query.duplicate_key").WithField(key)
		}
		if strings.HasPrefix(value, "in:") {
			return badQuery(key, "The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' only supported since microversion 1.39. Got: %s", clip(value))
		}
		for t := range strings.SplitSeq(value, ",") {
			t = strings.TrimSpace(t)
			bare := strings.TrimLeft(t, "!")
			if bare == "" {
				return badQuery(key, "Expected 'required' parameter value of the form: HW_CPU_X86_VMX,!CUSTOM_MAGIC. Got an empty trait in: %s", clip(value))
			}
			if bare == t {
				req.RootRequired = append(req.RootRequired, t)
			} else {
				req.RootForbidden = append(req.RootForbidden, bare)
			}
		}
		both := slices.DeleteFunc(slices.Clone(req.RootRequired), func(t string) bool { return !slices.Contains(req.RootForbidden, t) })
		if len(both) > 0 {
			slices.Sort(both)
			return nephos.Errorf(nephos.ErrInvalid, "Conflicting required and forbidden traits found in root_required: %s",
				strings.Join(slices.Compact(both), ", ")).WithReason(codeBad)
		}
	case key == "same_subtree" && at(r, "1.36"):
		for _, v := range r.Query()[key] {
			var set []string
			for suffix := range strings.SplitSeq(v, ",") {
				suffix = strings.TrimSpace(suffix)
				if suffix == "" {
					return nephos.Errorf(nephos.ErrInvalid, "Empty string (unsuffixed group) can not be specified in `same_subtree` ").WithReason(codeBad).WithField(key)
				}
				set = append(set, suffix)
			}
			req.SameSubtree = append(req.SameSubtree, set)
		}
	}
	return nil
}

// checkGroups checks what concerns the groups together.
func checkGroups(r *httpapi.Request, req *sqlstore.CandidatesRequest, groupPolicy string) error {
	var empty, suffixes []string
	suffixed := 0
	for _, g := range req.Groups {
		suffixes = append(suffixes, g.Suffix)
		if len(g.Resources) == 0 {
			empty = append(empty, g.Suffix)
		}
		if g.Suffix != "" {
			suffixed++
		}
	}
	if at(r, "1.36") {
		if len(empty) == len(req.Groups) {
			return nephos.Errorf(nephos.ErrInvalid, "There must be at least one resources or resources[$S] parameter.").WithReason(codeMissing)
		}
		together := slices.Concat(req.SameSubtree...)
		if bad := without(empty, together); len(bad) > 0 {
			return nephos.Errorf(nephos.ErrInvalid, "Resourceless suffixed group request should be specified in `same_subtree` query param: bad group(s) - ['%s'].",
				strings.Join(bad, "', '")).WithReason(codeBad)
		}
		if bad := without(together, suffixes); len(bad) > 0 {
			return nephos.Errorf(nephos.ErrInvalid, "Real suffixes should be specified in `same_subtree`: ['%s'] not found in ['%s'].",
				clip(strings.Join(bad, "', '")), strings.Join(suffixes, "', '")).WithReason(codeBad)
		}
	} else if err := checkOrphans(req.Groups); err != nil {
		return err
	}
	var conflicts []string
	for _, g := range req.Groups {
		for _, set := range g.Required {
			if at(r, "1.22") && len(without(set, g.Forbidden)) == 0 {
				conflicts = append(conflicts, fmt.Sprintf("required%s: (%s)", g.Suffix, strings.Join(slices.Sorted(slices.Values(set)), ", ")))
			}
		}
	}
	if len(conflicts) > 0 {
		slices.Sort(conflicts)
		return nephos.Errorf(nephos.ErrInvalid, "Conflicting required and forbidden traits found in the following traits keys: %s", strings.Join(conflicts, ", "))
	}
	if groupPolicy == "" && suffixed > 1 {
		return nephos.Errorf(nephos.ErrInvalid, `The "group_policy" parameter is required when specifying more than one "resources{N}" parameter.`).WithField("group_policy")
	}
	return nil
}

// without returns the names that are not among others, sorted.
func without(names, others []string) []string {
	return slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for _, n := range names {
			if !slices.Contains(others, n) && !yield(n) {
				return
			}
		}
	}))
}

// checkOrphans refuses groups without resources.
func checkOrphans(groups []sqlstore.RequestGroup) error {
	var required, members []string
	bare := false
	for _, g := range groups {
		if len(g.Resources) > 0 {
			continue
		}
		bare = true
		if len(g.Required) > 0 {
			required = append(required, "required"+g.Suffix)
		}
		if len(g.MemberOf)+len(g.NotMemberOf) > 0 {
			members = append(members, "member_of"+g.Suffix)
		}
	}
	switch {
	case len(required) > 0:
		return nephos.Errorf(nephos.ErrInvalid, "All traits parameters must be associated with resources.  Found the following orphaned traits keys: %s", strings.Join(required, ", "))
	case len(members) > 0:
		return nephos.Errorf(nephos.ErrInvalid, "All member_of parameters must be associated with resources. Found the following orphaned member_of keys: %s", strings.Join(members, ", "))
	case bare:
		return nephos.Errorf(nephos.ErrInvalid, "All request groups must specify resources.")
	case len(groups) == 0:
		return nephos.Errorf(nephos.ErrInvalid, "At least one request group (`resources` or `resources{$S}`) is required.")
	}
	return nil
}

func (a *api) listCandidates(r *httpapi.Request) (*httpapi.Response, error) {
	req, err := candidatesRequest(r)
	if err != nil {
		return nil, err
	}
	found, providers, err := a.store.Candidates(r.Context(), req)
	if err != nil {
		return nil, err
	}
	e := candidatesEncoder{
		mapped: at(r, "1.34"), keyed: at(r, "1.12"), traits: at(r, "1.17"), family: at(r, "1.29"),
	}
	if !at(r, "1.27") {
		e.only = map[string]bool{}
		for _, g := range req.Groups {
			for class := range g.Resources {
				e.only[class] = true
			}
		}
	}
	body := e.encode(found, providers)
	resp := &httpapi.Response{Status: http.StatusOK, Length: int64(len(body)), Write: func(w io.Writer) error {
		_, _ = w.Write(body) // a client that hangs up is nobody's failure
		return nil
	}}
	return a.modified(r, resp.Set("Content-Type", "application/json"), time.Time{}), nil
}
