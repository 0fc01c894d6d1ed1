package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/sqlstore"
	"github.com/nephos-cloud/nephos/scheduler/trace"
	"github.com/nephos-cloud/nephos/store"
)

func generate(_ context.Context, l *lab, args []string) error {
	f := l.flags("generate", "", "Makes up a cloud and a workload, and writes both to standard output: hosts of\nthree kinds, servers of six sizes, some in groups, that come over the hours, and\nof which about half go again.")
	var s trace.Spec
	f.IntVar(&s.Hosts, "hosts", 100, "how `many` hosts")
	f.IntVar(&s.Zones, "zones", 3, "in how `many` zones")
	f.IntVar(&s.Servers, "servers", 2000, "how `many` servers come")
	f.Float64Var(&s.Hours, "hours", 24, "over how many `hours`")
	f.Uint64Var(&s.Seed, "seed", 1, "the `number` that decides all that is random")
	if _, err := parse(f, args, 0); err != nil {
		return err
	}
	s.Zones = min(s.Zones, max(s.Hosts, 1))
	events, err := trace.Generate(s)
	if err != nil {
		return err
	}
	return trace.Write(l.out, events)
}

func importTrace(_ context.Context, l *lab, args []string) error {
	f := l.flags("import", "FILE", `Reads a public trace, which you must have, and writes it as a workload to standard
output, with made-up hosts before it. FILE may end in .gz. Formats:

  azure          vmtable.csv of the Azure public dataset, 2017 or 2019
  azure-packing  the Azure packing trace of 2020: its table vm as CSV with names,
                 and with -types its table vmType
  google         task_events of the Google cluster data of 2011 (several files may be
                 joined), or instance_events of 2019 as CSV with names`)
	format := f.String("format", "azure", "the trace's `format`")
	types := f.String("types", "", "the `file` with VM types, for azure-packing")
	hosts := f.Int("hosts", 100, "how `many` hosts to make up; 0 writes the servers alone")
	var scale trace.Scale
	f.IntVar(&scale.Limit, "limit", 0, "how `many` servers are read at most; 0 is all")
	f.Int64Var(&scale.VCPUs, "machine-vcpus", 64, "the `VCPUs` of a whole machine, where a trace has parts")
	f.Int64Var(&scale.MemoryMB, "machine-memory", 262_144, "its memory in `MiB`")
	rest, err := parse(f, args, 1)
	if err != nil {
		return err
	}
	if *hosts < 0 || scale.Limit < 0 || scale.VCPUs < 1 || scale.MemoryMB < 1 {
		return misused("it takes no negative numbers, and machines with VCPUs and memory")
	}
	in, err := l.open(rest[0])
	if err != nil {
		return err
	}
	defer in.Close()
	var events []trace.Event
	switch *format {
	case "azure":
		events, err = trace.Azure(in, scale)
	case "azure-packing":
		if *types == "" {
			return misused("azure-packing needs -types")
		}
		var t io.ReadCloser
		if t, err = l.open(*types); err != nil {
			return err
		}
		defer t.Close()
		events, err = trace.AzurePacking(in, t, scale)
	case "google":
		events, err = trace.Google(in, scale)
	default:
		return misused("there is no format %q", *format)
	}
	if err != nil {
		return err
	}
	return trace.Write(l.out, func(yield func(trace.Event) bool) {
		if *hosts > 0 {
			made, err := trace.Generate(trace.Spec{Hosts: *hosts, Zones: min(3, *hosts)})
			if err != nil {
				return
			}
			for e := range made {
				if !yield(e) {
					return
				}
			}
		}
		for _, e := range events {
			if !yield(e) {
				return
			}
		}
	})
}

func export(ctx context.Context, l *lab, args []string) error {
	f := l.flags("export", "", `Writes the hosts of a Nephos database with their present use, and what is claimed of
them as servers that are there, to standard output: for fit, or to go on from.
Decisions are recorded as they fall, by a program that sets sqlstore.Config.Record.`)
	database := f.String("database", "", "the database's `URL`, sqlite:PATH or postgres://…")
	if _, err := parse(f, args, 0); err != nil {
		return err
	}
	if *database == "" {
		return misused("it needs -database")
	}
	db, err := store.Open(ctx, *database, store.Options{})
	if err != nil {
		return err
	}
	defer db.Close()
	s, err := sqlstore.New(sqlstore.Config{Store: db})
	if err != nil {
		return err
	}
	defer s.Close()
	hosts, err := s.Hosts(ctx)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(l.out)
	p := l.progress("exporting hosts", len(hosts))
	var boots []trace.Event
	for i, h := range hosts {
		claims, err := s.Claims(ctx, h.ID)
		if err != nil {
			return err
		}
		h.Used, h.NumInstances, h.Generation = nil, 0, 0
		for _, c := range claims {
			boots = append(boots, trace.Event{Boot: &scheduler.Request{
				ID: c.Consumer.ID, ProjectID: c.Consumer.ProjectID, Resources: c.Resources, ForcedHost: h.ID,
			}})
		}
		if err := trace.Write(w, slices.Values([]trace.Event{{Host: &h}})); err != nil {
			return err
		}
		p.at(i + 1)
	}
	p.end()
	slices.SortStableFunc(boots, func(a, b trace.Event) int { return cmp.Compare(a.Boot.ID, b.Boot.ID) })
	if err := trace.Write(w, slices.Values(boots)); err != nil {
		return err
	}
	return w.Flush()
}

// flavor are the flags that say what kind of server.
type flavor struct {
	vcpus, memory, disk int64
	zone, group         string
	traits              string
}

func (v *flavor) check() error {
	if v.vcpus < 0 || v.memory < 0 || v.disk < 0 || v.vcpus+v.memory+v.disk == 0 {
		return nephos.Errorf(nephos.ErrInvalid, "a server of %d VCPUs, %d MiB and %d GiB cannot be", v.vcpus, v.memory, v.disk)
	}
	if policies := []string{scheduler.Affinity, scheduler.AntiAffinity, scheduler.SoftAffinity, scheduler.SoftAntiAffinity}; v.group != "" && !slices.Contains(policies, v.group) {
		return nephos.Errorf(nephos.ErrInvalid, "there is no policy %s for a server group: use one of %s", v.group, strings.Join(policies, ", "))
	}
	return nil
}

func (v *flavor) String() string {
	return fmt.Sprintf("%d VCPUs, %d MiB, %d GiB", v.vcpus, v.memory, v.disk)
}
