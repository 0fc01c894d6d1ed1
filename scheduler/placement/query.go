package placement

import (
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/httpapi"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
)

// providerFilter reads the query of a list of providers, in the order in which
// Placement complains.
func providerFilter(r *httpapi.Request) (sqlstore.ProviderFilter, error) {
	var f sqlstore.ProviderFilter
	if err := checkQuery(r, providersQuery(r)); err != nil {
		return f, err
	}
	q := r.Query()
	f.Name = last(q["name"])
	for _, p := range []struct {
		name string
		to   *string
	}{{"uuid", &f.UUID}, {"in_tree", &f.InTree}} {
		*p.to, _ = normalUUID(last(q[p.name]))
	}
	var err error
	if f.MemberOf, f.NotMemberOf, err = parseMemberOf(r, "member_of"); err != nil {
		return f, err
	}
	if f.Required, f.Forbidden, err = parseRequired(r, "required"); err != nil {
		return f, err
	}
	if q.Has("resources") {
		f.Resources, err = parseResources(last(q["resources"]))
	}
	return f, err
}

// lastParam returns the last value of a parameter, and whether it was given.
func lastParam(r *httpapi.Request, name string) (string, bool) {
	values := r.Query()[name]
	return last(values), len(values) > 0
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// parseResources reads VCPU:2,MEMORY_MB:1024.
func parseResources(s string) (scheduler.Resources, error) {
	bad := func(got string) error {
		return nephos.Errorf(nephos.ErrInvalid, "Badly formed resources parameter. Expected resources query string parameter in form: "+
			"?resources=VCPU:2,MEMORY_MB:1024. Got: %s.", clip(got)).WithField("resources")
	}
	if strings.TrimSpace(s) == "" {
		return nil, bad("empty string")
	}
	out := scheduler.Resources{}
	for part := range strings.SplitSeq(s, ",") {
		class, amount, ok := strings.Cut(part, ":")
		if !ok || strings.Contains(amount, ":") {
			return nil, bad(part)
		}
		n, err := strconv.ParseInt(strings.TrimSpace(amount), 10, 64)
		switch {
		case err != nil || n > 1<<53:
			return nil, nephos.Errorf(nephos.ErrInvalid, "Requested resource %s expected positive integer amount. Got: %s.", clip(class), clip(amount)).WithField("resources")
		case n < 1:
			return nil, nephos.Errorf(nephos.ErrInvalid, "Requested resource %s requires amount >= 1. Got: %d.", clip(class), n).WithField("resources")
		case len(out) >= maxNames:
			return nil, nephos.Errorf(nephos.ErrTooLarge, "one request has at most %d resource classes", maxNames)
		}
		out[class] = n
	}
	return out, nil
}

// parseMemberOf reads all of a parameter's values: UUID, in:UUID,UUID, and since
// 1.32 either after an exclamation mark.
func parseMemberOf(r *httpapi.Request, name string) (sets [][]string, not []string, err error) {
	values := r.Query()[name]
	if len(values) > 1 && !at(r, "1.24") {
		return nil, nil, nephos.Errorf(nephos.ErrInvalid, "Multiple %s parameters are not supported", name).WithField(name)
	}
	if len(values) > maxNames {
		return nil, nil, nephos.Errorf(nephos.ErrTooLarge, "one request has at most %d aggregates", maxNames)
	}
	for _, v := range values {
		rest, forbidden := strings.CutPrefix(v, "!")
		list, several := strings.CutPrefix(rest, "in:")
		if strings.Contains(rest, ",") && !several {
			return nil, nil, nephos.Errorf(nephos.ErrInvalid, "Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword "+
				"using the valid microversion. Got: %s", clip(v)).WithField(name)
		}
		set := []string{list}
		if several {
			set = strings.Split(list, ",")
		}
		for i, id := range set {
			uuid, ok := normalUUID(id)
			if !ok {
				return nil, nil, badQuery(name, "Expected 'member_of' parameter to contain valid UUID(s). Got: %s", clip(id))
			}
			set[i] = uuid
		}
		if !forbidden {
			sets = append(sets, set)
			continue
		}
		if !at(r, "1.32") {
			return nil, nil, nephos.Errorf(nephos.ErrInvalid, "Forbidden %s parameters are not supported in the specified microversion", name).WithField(name)
		}
		not = append(not, set...)
	}
	return sets, not, nil
}

// parseRequired reads a parameter of traits: TRAIT,TRAIT all of which are
// required; since 1.22 !TRAIT is forbidden; since 1.39 in:TRAIT,TRAIT is one of
// them, and several values hold together.
func parseRequired(r *httpapi.Request, name string) (sets [][]string, not []string, err error) {
	values := r.Query()[name]
	anyOf, forbidden := at(r, "1.39"), at(r, "1.22")
	if !anyOf && len(values) > 1 {
		values = values[len(values)-1:]
	}
	bad := func(format string, args ...any) error {
		return badQuery(name, format, args...)
	}
	form := "HW_CPU_X86_VMX,CUSTOM_MAGIC"
	if forbidden {
		form = "HW_CPU_X86_VMX,!CUSTOM_MAGIC"
	}
	n := 0
	for _, v := range values {
		list, several := strings.CutPrefix(v, "in:")
		if several && !anyOf {
			return nil, nil, bad("The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' only supported since microversion 1.39. Got: %s", clip(v))
		}
		var set []string
		for t := range strings.SplitSeq(list, ",") {
			t = strings.TrimSpace(t)
			bare := strings.TrimLeft(t, "!")
			switch {
			case bare == "" && several:
				return nil, nil, bad("Expected 'required' parameter value of the form: in:HW_CPU_X86_VMX,CUSTOM_MAGIC. Got an empty trait in: %s", clip(v))
			case bare == "":
				return nil, nil, bad("Expected 'required' parameter value of the form: %s. Got an empty trait in: %s", form, clip(v))
			case bare != t && several:
				return nil, nil, bad("The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' does not support forbidden traits. Got: %s", clip(v))
			case bare != t && !forbidden:
				return nil, nil, bad("Expected 'required' parameter value of the form: %s. Got: %s", form, clip(v))
			case bare != t:
				not = append(not, bare)
			case several:
				set = append(set, t)
			default:
				sets = append(sets, []string{t})
			}
			if n++; n > maxNames {
				return nil, nil, nephos.Errorf(nephos.ErrTooLarge, "one request has at most %d traits", maxNames)
			}
		}
		if several {
			sets = append(sets, set)
		}
	}
	return sets, not, nil
}
