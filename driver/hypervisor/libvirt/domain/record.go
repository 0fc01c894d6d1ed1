package domain

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// The namespaces of our elements in a domain's <metadata>. A later shape of an
// element gets a namespace of its own.
const (
	GuestNS = "https://nephos.cloud/xmlns/libvirt/guest/1"
	RunNS   = "https://nephos.cloud/xmlns/libvirt/run/1"
	Prefix  = "nephos"
	RunKey  = "nephosrun"
)

// Record is what a guest is: element guest of the metadata.
type Record struct {
	ID   string
	Spec hypervisor.Spec // without secrets
	// Made tells of each local disk that has a file what it was made on.
	Made map[string]*driver.Image `json:",omitempty"`
	// Targets are the names of the disks' targets, such as vda, by disk. A disk
	// keeps its target as long as the guest has it.
	Targets map[string]string `json:",omitempty"`
	// Sizes are what local disks were resized to, beyond the spec.
	Sizes map[string]int64 `json:",omitempty"`
	// Imported are local disks that came whole: they have no base.
	Imported map[string]bool `json:",omitempty"`
	// Rescue, if set, is the disk that the guest boots from for now, in front of
	// those of Spec.
	Rescue *driver.Disk `json:",omitempty"`
	// Moving is the last migration to another host that was begun here; Left says
	// that it was completed, and the guest runs there.
	Moving *Moving `json:",omitempty"`
	Left   *Left   `json:",omitempty"`
	// Incoming says that the guest waits here for its memory.
	Incoming bool `json:",omitempty"`
}

// Moving tells of a migration to another host.
type Moving struct {
	Target  string // where to
	Error   string // why it failed; empty while it may be under way
	Aborted bool   // we ended it
}

// Left tells of a migration to another host that was completed.
type Left struct {
	Target string // where to
	// Memory and Disk are the bytes that travelled.
	Memory, Disk      int64
	Elapsed, Downtime time.Duration
}

// Clone copies a record deep enough to change its maps and disks.
func (r Record) Clone() Record {
	r.Spec.Disks = slices.Clone(r.Spec.Disks)
	r.Made, r.Targets, r.Sizes, r.Imported = cloned(r.Made), cloned(r.Targets), cloned(r.Sizes), cloned(r.Imported)
	return r
}

func cloned[M ~map[K]V, K comparable, V any](m M) M {
	if m == nil {
		return make(M)
	}
	return maps.Clone(m)
}

// Active is the spec as it counts now: with the sizes that disks were grown to
// and the disk of a rescue.
func (r Record) Active() hypervisor.Spec {
	s := r.Spec
	s.Disks = make([]driver.Disk, 0, len(r.Spec.Disks)+1)
	if r.Rescue != nil {
		s.Disks = append(s.Disks, *r.Rescue)
	}
	for _, d := range r.Spec.Disks {
		d.SizeBytes = max(d.SizeBytes, r.Sizes[d.ID])
		if r.Imported[d.ID] {
			d.Base = nil
		}
		if r.Rescue != nil && d.BootIndex >= 0 {
			d.BootIndex++
		}
		s.Disks = append(s.Disks, d)
	}
	return s
}

// Run is the guest's last or present power-on: element run of the metadata.
type Run struct {
	Started time.Time
	// Ended is how it ended, where libvirt forgets that or means something else.
	Ended hypervisor.State
}

// WithoutSecrets copies a spec.
func WithoutSecrets(s hypervisor.Spec) hypervisor.Spec {
	s.Disks, s.NICs, s.Labels = slices.Clone(s.Disks), slices.Clone(s.NICs), maps.Clone(s.Labels)
	for i := range s.Disks {
		s.Disks[i].Source.Secrets = nil
		s.Disks[i].Source.Options = maps.Clone(s.Disks[i].Source.Options)
		if b := s.Disks[i].Base; b != nil {
			base := *b
			s.Disks[i].Base = &base
		}
	}
	return s
}

// Element returns the record as XML. The attributes are for people and their
// tools; the text is the whole of it, in JSON.
func (r Record) Element() string {
	r.Spec = WithoutSecrets(r.Spec)
	if r.Rescue != nil {
		rescue := WithoutSecrets(hypervisor.Spec{Disks: []driver.Disk{*r.Rescue}}).Disks[0]
		r.Rescue = &rescue
	}
	data, err := json.Marshal(r)
	if err != nil {
		panic("domain: " + err.Error()) // plain data always marshals
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<%s:guest xmlns:%s="%s" id="%s" cloud="%s" revision="%d">`,
		Prefix, Prefix, GuestNS, escape(r.ID), escape(r.Spec.CloudID), r.Spec.Revision)
	b.WriteString(escape(string(data)))
	fmt.Fprintf(&b, `</%s:guest>`, Prefix)
	return b.String()
}

// Element returns the run as XML.
func (r Run) Element() string {
	var started string
	if !r.Started.IsZero() {
		started = r.Started.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf(`<%s:run xmlns:%s="%s" started="%s" ended="%s"/>`, RunKey, RunKey, RunNS, started, escape(string(r.Ended)))
}

// escape makes text of XML. What XML cannot hold is written as JSON would.
func escape(s string) string {
	s = strings.NewReplacer("\ufffe", `\ufffe`, "\uffff", `\uffff`).Replace(s)
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(s)) // a buffer takes it all
	return b.String()
}

// element is one child of <metadata>, as written.
type element struct {
	name xml.Name
	text string
}

// elements splits the inside of <metadata>.
func elements(inside string) ([]element, error) {
	dec := xml.NewDecoder(strings.NewReader(inside))
	var all []element
	depth, start := 0, int64(0)
	var name xml.Name
	for {
		at := dec.InputOffset()
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read a domain's metadata: %w", err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			if depth == 0 {
				name, start = t.Name, at
			}
			depth++
		case xml.EndElement:
			if depth--; depth == 0 {
				all = append(all, element{name, inside[start:dec.InputOffset()]})
			}
		}
	}
}

// ReadMetadata finds our elements in the inside of a domain's <metadata>. A
// domain that is not ours has no record, which is no error.
func ReadMetadata(inside string) (rec *Record, run Run, err error) {
	all, err := elements(inside)
	if err != nil {
		return nil, Run{}, err
	}
	for _, e := range all {
		switch e.name {
		case xml.Name{Space: GuestNS, Local: "guest"}:
			var text struct {
				JSON string `xml:",chardata"`
			}
			if err := xml.Unmarshal([]byte(e.text), &text); err != nil {
				return nil, Run{}, fmt.Errorf("read a domain's metadata: %w", err)
			}
			rec = new(Record)
			if err := json.Unmarshal([]byte(text.JSON), rec); err != nil {
				return nil, Run{}, fmt.Errorf("read a guest's record: %w", err)
			}
			if err := hypervisor.CheckID(rec.ID); err != nil {
				return nil, Run{}, fmt.Errorf("read a guest's record: %w", err)
			}
		case xml.Name{Space: RunNS, Local: "run"}:
			var attrs struct {
				Started string `xml:"started,attr"`
				Ended   string `xml:"ended,attr"`
			}
			if err := xml.Unmarshal([]byte(e.text), &attrs); err != nil {
				return nil, Run{}, fmt.Errorf("read a domain's metadata: %w", err)
			}
			run.Ended = hypervisor.State(attrs.Ended)
			run.Started, _ = time.Parse(time.RFC3339Nano, attrs.Started)
		}
	}
	return rec, run, nil
}

// metadata is the inside of <metadata>: ours, and what others put there.
func metadata(old string, rec Record, run Run) (string, error) {
	all, err := elements(old)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(rec.Element())
	b.WriteString(run.Element())
	for _, e := range all {
		if e.name.Space != GuestNS && e.name.Space != RunNS {
			b.WriteString(e.text)
		}
	}
	return b.String(), nil
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// UUID is the domain's: the guest's ID if it is one, else made from it.
func UUID(id string) string {
	if uuidPattern.MatchString(id) && id != "00000000-0000-0000-0000-000000000000" {
		return id
	}
	sum := sha256.Sum256([]byte("nephos guest " + id))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8, of our own making
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// DiskAlias and NICAlias are the names by which libvirt knows a device of ours,
// also one that was plugged by a driver that died before it wrote that down.
func DiskAlias(id string) string { return "ua-disk-" + aliasPart(id) }

// NICAlias is the name of a network card.
func NICAlias(id string) string { return "ua-nic-" + aliasPart(id) }

// aliasPart writes an ID with the letters that aliases may have.
func aliasPart(id string) string {
	if !strings.ContainsAny(id, "._") {
		return id
	}
	var b strings.Builder
	for i := range len(id) {
		switch c := id[i]; c {
		case '.', '_':
			b.WriteString("_" + strconv.FormatInt(int64(c), 16))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// IDOfAlias undoes [DiskAlias] and [NICAlias].
func IDOfAlias(alias string) (kind, id string, ok bool) {
	for _, kind := range []string{"disk", "nic"} {
		if part, ok := strings.CutPrefix(alias, "ua-"+kind+"-"); ok {
			return kind, strings.NewReplacer("_2e", ".", "_5f", "_").Replace(part), true
		}
	}
	return "", "", false
}

// Inner is the element as libvirt's call for metadata wants it: without a
// namespace, which it adds.
func (r Run) Inner() string {
	var started string
	if !r.Started.IsZero() {
		started = r.Started.UTC().Format(time.RFC3339Nano)
	}
	return fmt.Sprintf(`<run started="%s" ended="%s"/>`, started, escape(string(r.Ended)))
}
