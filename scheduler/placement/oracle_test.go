package placement_test

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// thing is a resource provider as the oracle knows it.
type thing struct {
	uuid, name, parent, root string
	inventory                map[string]stock
	traits, aggregates       []string
}

type stock struct {
	total, reserved, used, min, max, step int64
	ratio                                 float64
}

func (s stock) capacity() int64 { return int64(float64(s.total-s.reserved) * s.ratio) }

func (s stock) gives(n int64) bool {
	return s.used+n <= s.capacity() && n >= s.min && n <= s.max && n%s.step == 0
}

const shares = "MISC_SHARES_VIA_AGGREGATE"

var (
	oracleClasses = []string{"VCPU", "MEMORY_MB", "DISK_GB"}
	oracleTraits  = []string{"HW_CPU_X86_AVX", "HW_CPU_X86_SSE", "STORAGE_DISK_SSD"}
	oracleAggs    = []string{agg1, agg2}
)

// someCloud draws a few small provider trees, of which some share.
func someCloud(t *rapid.T) []thing {
	var cloud []thing
	add := func(parent, root string) string {
		uuid := fmt.Sprintf("00000000-0000-4000-8000-%012d", len(cloud)+1)
		if root == "" {
			root = uuid
		}
		p := thing{uuid: uuid, name: fmt.Sprint("p", len(cloud)), parent: parent, root: root, inventory: map[string]stock{}}
		for _, class := range oracleClasses {
			if rapid.IntRange(0, 9).Draw(t, "has") < 6 {
				s := stock{
					total: rapid.Int64Range(1, 8).Draw(t, "total"), ratio: rapid.SampledFrom([]float64{1, 1, 1, 1.5, 0.3}).Draw(t, "ratio"),
					min: rapid.SampledFrom([]int64{1, 1, 1, 2}).Draw(t, "min"), max: rapid.SampledFrom([]int64{8, 8, 3}).Draw(t, "max"),
					step: rapid.SampledFrom([]int64{1, 1, 1, 2}).Draw(t, "step"),
				}
				s.reserved = max(0, rapid.Int64Range(-3, s.total).Draw(t, "reserved"))
				if n := rapid.Int64Range(-4, 4).Draw(t, "used"); n > 0 && s.gives(n) {
					s.used = n
				}
				p.inventory[class] = s
			}
		}
		for _, trait := range oracleTraits {
			if rapid.IntRange(0, 9).Draw(t, "trait") < 4 {
				p.traits = append(p.traits, trait)
			}
		}
		for _, a := range oracleAggs {
			if rapid.IntRange(0, 9).Draw(t, "aggregate") < 4 {
				p.aggregates = append(p.aggregates, a)
			}
		}
		cloud = append(cloud, p)
		return uuid
	}
	for range rapid.IntRange(1, 3).Draw(t, "roots") {
		root := add("", "")
		family := []string{root}
		for range rapid.IntRange(0, 3).Draw(t, "children") {
			family = append(family, add(rapid.SampledFrom(family).Draw(t, "parent"), root))
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "sharing") {
		add("", "")
		cloud[len(cloud)-1].traits = append(cloud[len(cloud)-1].traits, shares)
	}
	return cloud
}

// ask is one group of a query.
type ask struct {
	suffix    string
	resources map[string]int64
	required  [][]string
	forbidden []string
	member    [][]string
	notMember []string
	inTree    string
}

type question struct {
	groups                      []ask
	isolate                     bool
	rootRequired, rootForbidden []string
	sameSubtree                 [][]string
	limit                       int
}

// someQuestion draws a query of microversion 1.39.
func someQuestion(t *rapid.T, cloud []thing) question {
	var q question
	suffixes := rapid.SampledFrom([][]string{{""}, {""}, {"", "_A"}, {"_A"}, {"_A", "_B"}, {"", "_A", "_B"}}).Draw(t, "suffixes")
	often := func(label string, percent int) bool { return rapid.IntRange(0, 99).Draw(t, label) < percent }
	for _, suffix := range suffixes {
		g := ask{suffix: suffix, resources: map[string]int64{}}
		for _, class := range oracleClasses {
			if often("wants", 45) {
				g.resources[class] = rapid.Int64Range(1, 4).Draw(t, "amount")
			}
		}
		if len(g.resources) == 0 {
			g.resources["VCPU"] = 1
		}
		for _, trait := range oracleTraits {
			switch {
			case often("required", 15):
				g.required = append(g.required, []string{trait})
			case often("forbidden", 10):
				g.forbidden = append(g.forbidden, trait)
			}
		}
		if often("any", 15) && len(g.forbidden) == 0 {
			g.required = append(g.required, oracleTraits[:2])
		}
		for _, a := range oracleAggs {
			switch {
			case often("member", 15):
				g.member = append(g.member, []string{a})
			case often("not member", 10):
				g.notMember = append(g.notMember, a)
			}
		}
		if often("member of any", 10) {
			g.member = append(g.member, oracleAggs)
		}
		if often("in tree", 10) {
			g.inTree = rapid.SampledFrom(cloud).Draw(t, "tree").uuid
		}
		q.groups = append(q.groups, g)
	}
	if slices.Contains(suffixes, "_A") {
		q.isolate = rapid.Bool().Draw(t, "isolate")
		if often("resourceless", 20) {
			// A real Placement (8.0) finds nothing for such a group that requires no
			// trait and no aggregate, and looks in every tree in spite of in_tree.
			g := ask{suffix: "_R"}
			if often("requires", 60) {
				g.required = [][]string{{rapid.SampledFrom(oracleTraits).Draw(t, "trait")}}
			} else {
				g.member = [][]string{{rapid.SampledFrom(oracleAggs).Draw(t, "aggregate")}}
			}
			if often("forbids", 20) && len(g.required) == 0 {
				g.forbidden = []string{rapid.SampledFrom(oracleTraits).Draw(t, "not")}
			}
			if often("excludes", 20) && len(g.member) == 0 {
				g.notMember = []string{rapid.SampledFrom(oracleAggs).Draw(t, "outside")}
			}
			q.groups = append(q.groups, g)
			q.sameSubtree = append(q.sameSubtree, []string{"_A", "_R"})
		}
		if slices.Contains(suffixes, "_B") && often("same subtree", 40) {
			q.sameSubtree = append(q.sameSubtree, []string{"_A", "_B"})
		}
	}
	for _, trait := range oracleTraits {
		switch {
		case often("root required", 6):
			q.rootRequired = append(q.rootRequired, trait)
		case often("root forbidden", 6):
			q.rootForbidden = append(q.rootForbidden, trait)
		}
	}
	if often("limit", 15) {
		q.limit = rapid.IntRange(1, 3).Draw(t, "at most")
	}
	return q
}

func (q question) query() string {
	v := url.Values{}
	for _, g := range q.groups {
		var amounts []string
		for _, class := range slices.Sorted(maps.Keys(g.resources)) {
			amounts = append(amounts, fmt.Sprintf("%s:%d", class, g.resources[class]))
		}
		if len(amounts) > 0 {
			v.Set("resources"+g.suffix, strings.Join(amounts, ","))
		}
		var traits []string
		for _, set := range g.required {
			if len(set) > 1 {
				v.Add("required"+g.suffix, "in:"+strings.Join(set, ","))
			} else {
				traits = append(traits, set[0])
			}
		}
		for _, trait := range g.forbidden {
			traits = append(traits, "!"+trait)
		}
		if len(traits) > 0 {
			v.Add("required"+g.suffix, strings.Join(traits, ","))
		}
		for _, set := range g.member {
			v.Add("member_of"+g.suffix, "in:"+strings.Join(set, ","))
		}
		if len(g.notMember) > 0 {
			v.Add("member_of"+g.suffix, "!in:"+strings.Join(g.notMember, ","))
		}
		if g.inTree != "" {
			v.Set("in_tree"+g.suffix, g.inTree)
		}
	}
	if len(q.groups) > 1 {
		v.Set("group_policy", "none")
		if q.isolate {
			v.Set("group_policy", "isolate")
		}
	}
	var root []string
	root = append(root, q.rootRequired...)
	for _, trait := range q.rootForbidden {
		root = append(root, "!"+trait)
	}
	if len(root) > 0 {
		v.Set("root_required", strings.Join(root, ","))
	}
	for _, set := range q.sameSubtree {
		v.Add("same_subtree", strings.Join(set, ","))
	}
	if q.limit > 0 {
		v.Set("limit", fmt.Sprint(q.limit))
	}
	return v.Encode()
}

func common(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func all(sets [][]string, names []string) bool {
	return !slices.ContainsFunc(sets, func(set []string) bool { return !common(set, names) })
}

// served tells more of a candidate of the oracle.
type served struct {
	alone string   // what serves the group without a suffix, as a candidate of its own
	trees []string // the roots of the trees whose candidate it is
}

// oracle answers by trying everything, as the API reference words it: for each
// tree, with what is shared with it, every choice of a provider for every group
// with a suffix and for every class of the group without one.
func oracle(cloud []thing, q question) map[string]served {
	by := map[string]thing{}
	for _, p := range cloud {
		by[p.uuid] = p
	}
	out := map[string]served{}
	for _, root := range cloud {
		if root.parent != "" || !all(sets(q.rootRequired), root.traits) || common(q.rootForbidden, root.traits) {
			continue
		}
		var near []thing
		for _, p := range cloud {
			shared := slices.Contains(p.traits, shares) && slices.ContainsFunc(cloud, func(o thing) bool {
				return o.root == root.uuid && common(o.aggregates, p.aggregates)
			})
			if p.root == root.uuid || shared {
				near = append(near, p)
			}
		}
		// One slot for each choice that is to be made.
		type slot struct {
			g     ask
			class string // of a group without a suffix
		}
		var slots []slot
		for _, g := range q.groups {
			if g.suffix != "" {
				slots = append(slots, slot{g, ""})
				continue
			}
			for _, class := range slices.Sorted(maps.Keys(g.resources)) {
				slots = append(slots, slot{g, class})
			}
		}
		choice := make([]thing, len(slots))
		var try func(i int)
		try = func(i int) {
			if i < len(slots) {
				for _, p := range near {
					choice[i] = p
					try(i + 1)
				}
				return
			}
			taken, alone := map[string]map[string]int64{}, map[string]map[string]int64{}
			serves := map[string][]string{}
			traits := []string{}
			for k, p := range choice {
				g := slots[k].g
				if common(g.forbidden, p.traits) || common(g.notMember, p.aggregates) {
					return
				}
				if g.inTree != "" && by[g.inTree].root != p.root {
					return
				}
				member := all(g.member, p.aggregates)
				amounts := g.resources
				if g.suffix == "" {
					if g.inTree != "" && p.root != root.uuid || common(g.notMember, root.aggregates) {
						return
					}
					member = member || p.root == root.uuid && all(g.member, root.aggregates)
					amounts = map[string]int64{slots[k].class: g.resources[slots[k].class]}
					traits = append(traits, p.traits...)
				} else if !all(g.required, p.traits) {
					return
				}
				if !member {
					return
				}
				if taken[p.uuid] == nil && len(amounts) > 0 {
					taken[p.uuid] = map[string]int64{}
				}
				for class, n := range amounts {
					if s, ok := p.inventory[class]; !ok || !s.gives(n) {
						return
					}
					taken[p.uuid][class] += n
					if g.suffix == "" {
						if alone[p.uuid] == nil {
							alone[p.uuid] = map[string]int64{}
						}
						alone[p.uuid][class] = n
					}
				}
				if !slices.Contains(serves[g.suffix], p.uuid) {
					serves[g.suffix] = append(serves[g.suffix], p.uuid)
				}
			}
			for _, g := range q.groups {
				if g.suffix == "" && !all(g.required, traits) {
					return
				}
			}
			for uuid, amounts := range taken {
				for class, n := range amounts {
					if s := by[uuid].inventory[class]; s.used+n > s.capacity() || n > s.max {
						return
					}
				}
			}
			if q.isolate {
				seen := map[string]bool{}
				for suffix, uuids := range serves {
					if suffix != "" && seen[uuids[0]] {
						return
					}
					if suffix != "" {
						seen[uuids[0]] = true
					}
				}
			}
			for _, set := range q.sameSubtree {
				var uuids []string
				for _, suffix := range set {
					uuids = append(uuids, serves[suffix]...)
				}
				if !slices.ContainsFunc(uuids, func(top string) bool {
					return !slices.ContainsFunc(uuids, func(u string) bool {
						for u != "" && u != top {
							u = by[u].parent
						}
						return u != top
					})
				}) {
					return
				}
			}
			key := canonical(taken, serves)
			c := out[key]
			c.alone = canonical(alone, map[string][]string{"": serves[""]})
			if !slices.Contains(c.trees, root.uuid) {
				c.trees = append(c.trees, root.uuid)
			}
			out[key] = c
		}
		try(0)
	}
	return out
}

// alone is the question without the groups that have a suffix.
func (q question) alone() question {
	q.groups = slices.DeleteFunc(slices.Clone(q.groups), func(g ask) bool { return g.suffix != "" })
	q.sameSubtree, q.isolate, q.limit = nil, false, 0
	return q
}

// addsUp says whether a real Placement (8.0) may add up what several candidates
// take: with isolation it changes the amounts that a group without a suffix has
// in common with others in place, for all candidates.
func addsUp(q question) bool {
	var plain, others []string
	for _, g := range q.groups {
		if g.suffix == "" {
			plain = slices.Collect(maps.Keys(g.resources))
		} else {
			others = slices.AppendSeq(others, maps.Keys(g.resources))
		}
	}
	return q.isolate && common(plain, others)
}

// forgets says whether a real Placement (8.0) may leave candidates out. Where
// sharing providers alone serve the group without a suffix, they serve it alike
// in each tree that they share with; the real one takes the trees' choices for
// one, before it seeks providers for the other groups, and seeks them in a single
// tree, which hangs on the order of its sets. The reference knows nothing of it,
// and who asks would never hear of the other hosts: ours has the candidates of
// all trees.
func forgets(cloud []thing, q question) bool {
	if len(q.groups) == 1 || !slices.ContainsFunc(q.groups, func(g ask) bool { return g.suffix == "" }) {
		return false
	}
	for _, c := range oracle(cloud, q.alone()) {
		if len(c.trees) > 1 {
			return true
		}
	}
	return false
}

// remembered is what a real Placement answers that forgets: for each way to serve
// the group without a suffix, the wanted candidates of one tree. It takes the
// tree from the answer, or is false if no choice of trees explains it.
func remembered(cloud []thing, q question, want map[string]served, got map[string]bool) bool {
	for key := range got {
		if _, ok := want[key]; !ok {
			return false
		}
	}
	for way, first := range oracle(cloud, q.alone()) {
		if !slices.ContainsFunc(first.trees, func(tree string) bool {
			for key, c := range want {
				if c.alone == way && slices.Contains(c.trees, tree) != got[key] {
					return false
				}
			}
			return true
		}) {
			return false
		}
	}
	return true
}

func sets(names []string) (out [][]string) {
	for _, n := range names {
		out = append(out, []string{n})
	}
	return out
}

func canonical(taken map[string]map[string]int64, serves map[string][]string) string {
	sorted := map[string][]string{}
	for suffix, uuids := range serves {
		sorted[suffix] = slices.Sorted(slices.Values(uuids))
	}
	return fmt.Sprint(taken, sorted)
}
