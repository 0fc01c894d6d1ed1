package placement

import (
	"io"
	"maps"
	"math"
	"net/http"
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
	q := r.Query()
	groups := map[string]*sqlstore.RequestGroup{}
	pattern := groupPattern(r)
	for _, key := range slices.Sorted(maps.Keys(q)) {
		if ok, err := wideParam(r, key, &req); err != nil {
			return req, err
		} else if ok {
			continue
		}
		m := pattern.FindStringSubmatch(key)
		if m == nil {
			continue // the schema has seen to it
		}
		g := groups[m[2]]
		if g == nil {
			g = &sqlstore.RequestGroup{Suffix: m[2]}
			groups[m[2]] = g
		}
		if len(groups) > maxGroups {
			return req, nephos.Errorf(nephos.ErrTooLarge, "one request has at most %d groups", maxGroups)
		}
		if err := groupParam(r, m[1], key, g); err != nil {
			return req, err
		}
	}
	for _, suffix := range slices.Sorted(maps.Keys(groups)) {
		req.Groups = append(req.Groups, *groups[suffix])
	}
	return req, checkGroups(r, &req, q.Get("group_policy"))
}

func groupParam(r *httpapi.Request, name, key string, g *sqlstore.RequestGroup) (err error) {
	value := last(r.Query()[key])
	switch name {
	case "resources":
		g.Resources, err = parseResources(value)
	case "required":
		g.Required, g.Forbidden, err = parseRequired(r, key)
	case "member_of":
		g.MemberOf, g.NotMemberOf, err = parseMemberOf(r, key)
	case "in_tree":
		uuid, ok := normalUUID(strings.TrimSpace(value))
		if !ok {
			return badQuery(key, "Expected 'in_tree' parameter to be a format of uuid. Got: %s", clip(value))
		}
		g.InTree = uuid
	}
	return err
}

// wideParam reads a parameter that concerns the whole request; false says that
// it is none.
func wideParam(r *httpapi.Request, key string, req *sqlstore.CandidatesRequest) (bool, error) {
	value := last(r.Query()[key])
	switch {
	case key == "limit" && at(r, "1.16"):
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			n = math.MaxInt32 // more digits than that
		}
		req.Limit = int(min(n, math.MaxInt32))
	case key == "group_policy" && at(r, "1.25"):
		req.Isolate = value == "isolate"
	case key == "root_required" && at(r, "1.35"):
		if len(r.Query()[key]) > 1 {
			return true, nephos.Errorf(nephos.ErrInvalid, "Query parameter 'root_required' may be specified only once.").
				WithReason("placement.query.duplicate_key").WithField(key)
		}
		if strings.HasPrefix(value, "in:") {
			return true, badQuery(key, "The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' only supported since microversion 1.39. Got: %s", clip(value))
		}
		for t := range strings.SplitSeq(value, ",") {
			t = strings.TrimSpace(t)
			bare := strings.TrimLeft(t, "!")
			if bare == "" {
				return true, badQuery(key, "Expected 'required' parameter value of the form: HW_CPU_X86_VMX,!CUSTOM_MAGIC. Got an empty trait in: %s", clip(value))
			}
			if bare == t {
				req.RootRequired = append(req.RootRequired, t)
			} else {
				req.RootForbidden = append(req.RootForbidden, bare)
			}
		}
		for _, t := range req.RootRequired {
			if slices.Contains(req.RootForbidden, t) {
				return true, nephos.Errorf(nephos.ErrInvalid, "Conflicting required and forbidden traits found in root_required: %s", t).WithReason(codeBad)
			}
		}
	case key == "same_subtree" && at(r, "1.36"):
		for _, v := range r.Query()[key] {
			var set []string
			for suffix := range strings.SplitSeq(v, ",") {
				suffix = strings.TrimSpace(suffix)
				if suffix == "" {
					return true, nephos.Errorf(nephos.ErrInvalid, "Empty string (unsuffixed group) can not be specified in `same_subtree` ").WithReason(codeBad).WithField(key)
				}
				set = append(set, suffix)
			}
			req.SameSubtree = append(req.SameSubtree, set)
		}
	default:
		return false, nil
	}
	return true, nil
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
		for _, s := range empty {
			if !slices.Contains(together, s) {
				return nephos.Errorf(nephos.ErrInvalid, "Resourceless suffixed group request should be specified in `same_subtree` query param: bad group(s) - ['%s'].", s).WithReason(codeBad)
			}
		}
		for _, s := range together {
			if !slices.Contains(suffixes, s) {
				return nephos.Errorf(nephos.ErrInvalid, "Real suffixes should be specified in `same_subtree`: ['%s'] not found in ['%s'].",
					clip(s), strings.Join(suffixes, "', '")).WithReason(codeBad)
			}
		}
	} else if err := checkOrphans(req.Groups); err != nil {
		return err
	}
	for _, g := range req.Groups {
		for _, set := range g.Required {
			if at(r, "1.22") && !slices.ContainsFunc(set, func(t string) bool { return !slices.Contains(g.Forbidden, t) }) {
				return nephos.Errorf(nephos.ErrInvalid, "Conflicting required and forbidden traits found in the following traits keys: required%s: (%s)",
					g.Suffix, strings.Join(slices.Sorted(slices.Values(set)), ", "))
			}
		}
	}
	if groupPolicy == "" && suffixed > 1 {
		return nephos.Errorf(nephos.ErrInvalid, `The "group_policy" parameter is required when specifying more than one "resources{N}" parameter.`).WithField("group_policy")
	}
	return nil
}

// checkOrphans refuses groups without resources.
func checkOrphans(groups []sqlstore.RequestGroup) error {
	for _, g := range groups {
		switch {
		case len(g.Resources) > 0:
		case len(g.Required) > 0:
			return nephos.Errorf(nephos.ErrInvalid, "All traits parameters must be associated with resources.  Found the following orphaned traits keys: required%s", g.Suffix)
		case len(g.MemberOf)+len(g.NotMemberOf) > 0:
			return nephos.Errorf(nephos.ErrInvalid, "All member_of parameters must be associated with resources. Found the following orphaned member_of keys: member_of%s", g.Suffix)
		default:
			return nephos.Errorf(nephos.ErrInvalid, "All request groups must specify resources.")
		}
	}
	if len(groups) == 0 {
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
