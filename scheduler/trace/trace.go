// Package trace reads and writes what happens in a cloud as lines of JSON, one
// [Event] each: the hosts there are, servers that come and go, and decisions as
// they fell. Package scheduler/lab plays such files, made up or recorded.
//
//	{"host": {"ID": "h1", "Up": true, "Enabled": true, "Inventory": {"VCPU": {"Total": 8}}}}
//	{"at": 12.5, "boot": {"ID": "s1", "Resources": {"VCPU": 2}}}
//	{"at": 99, "delete": "s1"}
//
// A workload has hosts, boots and deletes. A recording has hosts, their use,
// claims and decisions in the order in which the scheduler saw them, so that
// playing it to the same scheduler gives the same decisions: see [Recorder].
//
// [Azure] and [Google] read the public traces of those clouds as workloads.
package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"math"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

// Event is one line: a time and one of the other fields.
type Event struct {
	// At is in seconds from the beginning.
	At float64 `json:"at,omitempty"`

	// Ratios are the allocation ratios of classes for which a host gives none.
	// They come before any host; without them they are Nova's.
	Ratios map[string]float64 `json:"ratios,omitempty"`
	// Host is put, new or changed; Remove is the id of one that goes.
	Host   *scheduler.Host `json:"host,omitempty"`
	Remove string          `json:"remove,omitempty"`
	// Boot asks for servers; Delete is the ID of a Boot whose servers go.
	Boot   *scheduler.Request `json:"boot,omitempty"`
	Delete string             `json:"delete,omitempty"`
	// Usage, Claim and Decision are of recordings.
	Usage    *Usage    `json:"usage,omitempty"`
	Claim    *Claim    `json:"claim,omitempty"`
	Decision *Decision `json:"decision,omitempty"`
}

// Usage is what a host's use is from now on.
type Usage struct {
	Host string `json:"host"`
	scheduler.Usage
}

// Claim takes resources of a host for a server that is on its way.
type Claim struct {
	Host      string              `json:"host"`
	Resources scheduler.Resources `json:"resources"`
}

// Decision is what was asked for, and what came of it.
type Decision struct {
	Request    scheduler.Request `json:"request"`
	Seed       uint64            `json:"seed,omitempty"`
	Alternates int               `json:"alternates,omitempty"`
	// Chosen are host ids, one for each server; empty if there was no room.
	Chosen []string `json:"chosen,omitempty"`
}

// maxLine bounds one line.
const maxLine = 4 << 20

// check says whether the event is one thing, at a time that is one.
func (e Event) check() error {
	n := 0
	for _, is := range []bool{
		e.Ratios != nil, e.Host != nil, e.Remove != "", e.Boot != nil, e.Delete != "", e.Usage != nil, e.Claim != nil, e.Decision != nil,
	} {
		if is {
			n++
		}
	}
	if n != 1 {
		return errors.New("it is not one of ratios, host, remove, boot, delete, usage, claim and decision")
	}
	if e.At < 0 || e.At > 1e12 || math.IsNaN(e.At) {
		return errors.New("its time is out of bounds")
	}
	return nil
}

// Read returns the events of a file, and stops at the first error, which names
// the line and wraps nephos.ErrInvalid if it is the line's.
func Read(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 64<<10), maxLine)
		n := 0
		for lines.Scan() {
			n++
			text := bytes.TrimSpace(lines.Bytes())
			if len(text) == 0 || text[0] == '#' {
				continue
			}
			var e Event
			dec := json.NewDecoder(bytes.NewReader(text))
			dec.DisallowUnknownFields()
			err := dec.Decode(&e)
			if err == nil && dec.More() {
				err = errors.New("something follows the object")
			}
			if err == nil {
				err = e.check()
			}
			if err != nil {
				yield(Event{}, nephos.Errorf(nephos.ErrInvalid, "reading the trace, line %d: %v", n, err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(Event{}, nephos.Errorf(nephos.ErrInvalid, "reading the trace, line %d: it is longer than %d bytes", n+1, maxLine))
		} else if err != nil {
			yield(Event{}, err)
		}
	}
}

// ReadAll returns all events of a file.
func ReadAll(r io.Reader) ([]Event, error) {
	var all []Event
	for e, err := range Read(r) {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// Write writes events, one a line.
func Write(w io.Writer, events iter.Seq[Event]) error {
	b := bufio.NewWriter(w)
	enc := encoder{w: b}
	for e := range events {
		if err := enc.encode(e); err != nil {
			return err
		}
	}
	return b.Flush()
}
