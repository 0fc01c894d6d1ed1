package trace

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// Scale says what the public traces leave out.
type Scale struct {
	// VCPUs and MemoryMB are what a fraction of 1 stands for: traces of machines'
	// shares give no amounts. 0 means 64 and 262,144.
	VCPUs, MemoryMB int64
	// Limit is how many servers are read at most; 0 means all.
	Limit int
}

func (s Scale) normal() Scale {
	if s.VCPUs == 0 {
		s.VCPUs = 64
	}
	if s.MemoryMB == 0 {
		s.MemoryMB = 262_144
	}
	return s
}

// share is a part of an amount, at least 1.
func share(part float64, of int64) int64 {
	return max(1, int64(math.Ceil(min(max(part, 0), 1e6)*float64(of)-1e-9)))
}

// table reads a CSV file whose columns have names, in a first row or by its
// documentation.
type table struct {
	what string
	r    *csv.Reader
	at   map[string]int
	row  []string
	line int
}

// newTable takes the names of the first row if all that are needed are in it,
// else those that are given.
func newTable(what string, r io.Reader, documented []string, needed ...string) (*table, error) {
	t := &table{what: what, r: csv.NewReader(r), at: map[string]int{}}
	t.r.FieldsPerRecord, t.r.ReuseRecord, t.r.LazyQuotes = -1, true, true
	first, err := t.r.Read()
	if err != nil {
		return nil, t.failed(err)
	}
	for i, name := range first {
		t.at[strings.ToLower(strings.TrimSpace(name))] = i
	}
	for _, name := range needed {
		if _, ok := t.at[name]; !ok {
			if documented == nil || len(first) < len(documented)-1 {
				return nil, nephos.Errorf(nephos.ErrInvalid, "reading %s: it has no column %q", what, name)
			}
			clear(t.at)
			for i, name := range documented {
				t.at[name] = i
			}
			t.row = slices.Clone(first) // is data
			break
		}
	}
	return t, nil
}

func (t *table) failed(err error) error {
	if errors.Is(err, io.EOF) {
		return nephos.Errorf(nephos.ErrInvalid, "reading %s: it is empty", t.what)
	}
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return nephos.Errorf(nephos.ErrInvalid, "reading %s: %v", t.what, err)
	}
	return err
}

// next goes to the next row; false is the end.
func (t *table) next() (bool, error) {
	t.line++
	if t.line == 1 && t.row != nil {
		return true, nil
	}
	row, err := t.r.Read()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, t.failed(err)
	}
	t.row = row
	return true, nil
}

func (t *table) text(name string) string {
	if i, ok := t.at[name]; ok && i < len(t.row) {
		return strings.TrimSpace(t.row[i])
	}
	return ""
}

// number is a number, or missing where the field is empty. Buckets such as ">24"
// are their bound.
func (t *table) number(name string, missing float64) (float64, error) {
	s := strings.TrimLeft(t.text(name), "><= ")
	if s == "" || strings.EqualFold(s, "null") {
		return missing, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > 1e18 {
		return 0, nephos.Errorf(nephos.ErrInvalid, "reading %s: row %d: %s is %.40q, which is no number", t.what, t.line, name, s)
	}
	return f, nil
}

// numbers reads several at once; what is missing is -1.
func (t *table) numbers(names ...string) ([]float64, error) {
	out := make([]float64, len(names))
	for i, name := range names {
		f, err := t.number(name, -1)
		if err != nil {
			return nil, err
		}
		out[i] = f
	}
	return out, nil
}

// stay is one server's time.
type stay struct {
	id, project string
	from, to    float64 // to < 0: it stays
	vcpus       int64
	memory      int64
}

// events are the stays as boots and deletes, from time 0.
func events(stays []stay) []Event {
	if len(stays) == 0 {
		return nil
	}
	begin := slices.MinFunc(stays, func(a, b stay) int { return cmp.Compare(a.from, b.from) }).from
	var out []Event
	for _, s := range stays {
		out = append(out, Event{At: round(s.from - begin), Boot: &scheduler.Request{
			ID: s.id, ProjectID: s.project, Resources: scheduler.Resources{scheduler.VCPU: s.vcpus, scheduler.MemoryMB: s.memory},
		}})
		if s.to >= s.from {
			out = append(out, Event{At: round(s.to - begin), Delete: s.id})
		}
	}
	slices.SortStableFunc(out, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return out
}

// azureColumns are those of vmtable.csv, which has no row of names.
func azureColumns() []string {
	return []string{
		"vmid", "subscriptionid", "deploymentid", "vmcreated", "vmdeleted", "maxcpu", "avgcpu", "p95maxcpu", "vmcategory",
		"vmcorecountbucket", "vmmemorybucket",
	}
}

// Azure reads the vmtable.csv of the Azure public dataset (2017 and 2019): times
// in seconds, sizes in cores and GiB.
func Azure(r io.Reader, scale Scale) ([]Event, error) {
	t, err := newTable("the Azure trace", r, azureColumns(), "vmid", "vmcreated", "vmdeleted", "vmcorecountbucket", "vmmemorybucket")
	if err != nil {
		return nil, err
	}
	var stays []stay
	for scale.Limit == 0 || len(stays) < scale.Limit {
		if ok, err := t.next(); err != nil {
			return nil, err
		} else if !ok {
			break
		}
		n, err := t.numbers("vmcreated", "vmdeleted", "vmcorecountbucket", "vmmemorybucket")
		if err != nil {
			return nil, err
		}
		stays = append(stays, stay{
			id: t.text("vmid"), project: t.text("subscriptionid"), from: n[0], to: n[1],
			vcpus: share(n[2], 1), memory: share(n[3], 1024),
		})
	}
	return events(stays), nil
}

// AzurePacking reads the Azure packing trace of 2020, its tables vm and vmType
// exported as CSV with their names: times in days, sizes in parts of a machine. A
// size that fits several machines counts as on the first.
func AzurePacking(vms, types io.Reader, scale Scale) ([]Event, error) {
	scale = scale.normal()
	t, err := newTable("the table of VM types", types, nil, "vmtypeid", "core", "memory")
	if err != nil {
		return nil, err
	}
	sizes := map[string][2]int64{}
	for {
		if ok, err := t.next(); err != nil {
			return nil, err
		} else if !ok {
			break
		}
		n, err := t.numbers("core", "memory")
		if err != nil {
			return nil, err
		}
		if _, ok := sizes[t.text("vmtypeid")]; !ok {
			sizes[t.text("vmtypeid")] = [2]int64{share(n[0], scale.VCPUs), share(n[1], scale.MemoryMB)}
		}
	}
	if t, err = newTable("the table of VMs", vms, nil, "vmid", "vmtypeid", "starttime", "endtime"); err != nil {
		return nil, err
	}
	var stays []stay
	for scale.Limit == 0 || len(stays) < scale.Limit {
		if ok, err := t.next(); err != nil {
			return nil, err
		} else if !ok {
			break
		}
		size, ok := sizes[t.text("vmtypeid")]
		if !ok {
			return nil, nephos.Errorf(nephos.ErrInvalid, "reading the table of VMs: row %d: no VM type %.40q", t.line, t.text("vmtypeid"))
		}
		from, err := t.number("starttime", 0)
		if err != nil {
			return nil, err
		}
		to, err := t.number("endtime", math.Inf(-1))
		if err != nil {
			return nil, err
		}
		stays = append(stays, stay{
			id: t.text("vmid"), project: t.text("tenantid"), from: from * 86400, to: to * 86400, vcpus: size[0], memory: size[1],
		})
	}
	return events(stays), nil
}

// google2011Columns are those of task_events, which has no row of names.
func google2011Columns() []string {
	return []string{
		"time", "missing", "collection_id", "instance_index", "machine_id", "type", "user", "scheduling_class", "priority",
		"resource_request.cpus", "resource_request.memory", "disk", "different_machines",
	}
}

// Google reads task_events of the Google cluster data of 2011, or, told by its
// row of names, instance_events of 2019 as exported from BigQuery: times in
// microseconds, sizes in parts of the greatest machine. A task is there from its
// being scheduled first to its last end.
func Google(r io.Reader, scale Scale) ([]Event, error) {
	scale = scale.normal()
	t, err := newTable("the Google trace", r, google2011Columns(), "time", "type", "collection_id", "instance_index")
	if err != nil {
		return nil, err
	}
	begins, ends := float64(1), []float64{2, 3, 4, 5, 6} // 2011: SCHEDULE; EVICT, FAIL, FINISH, KILL, LOST
	if t.row == nil {
		begins, ends = 3, []float64{4, 5, 6, 7, 8} // 2019
	}
	var stays []stay
	at := map[string]int{}
	for {
		if ok, err := t.next(); err != nil {
			return nil, err
		} else if !ok {
			break
		}
		n, err := t.numbers("time", "type", "resource_request.cpus", "resource_request.memory")
		if err != nil {
			return nil, err
		}
		id := fmt.Sprintf("%s-%s", t.text("collection_id"), t.text("instance_index"))
		k, known := at[id]
		switch {
		case n[1] == begins && known:
			stays[k].to = -1
		case n[1] == begins && (scale.Limit == 0 || len(stays) < scale.Limit):
			at[id] = len(stays)
			stays = append(stays, stay{
				id: id, project: t.text("user"), from: n[0] / 1e6, to: -1,
				vcpus: share(n[2], scale.VCPUs), memory: share(n[3], scale.MemoryMB),
			})
		case known && slices.Contains(ends, n[1]):
			stays[k].to = n[0] / 1e6
		}
	}
	return events(stays), nil
}
