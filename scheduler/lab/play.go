package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
	"github.com/nephos-cloud/nephos/scheduler/heatmap"
	"github.com/nephos-cloud/nephos/scheduler/lab/plot"
	"github.com/nephos-cloud/nephos/scheduler/lab/sim"
	"github.com/nephos-cloud/nephos/scheduler/trace"
)

// probeFlags are those of the server that fragmentation is measured with.
func probeFlags(f flagSet) *flavor {
	v := &flavor{}
	f.Int64Var(&v.vcpus, "probe-vcpus", 2, "`VCPUs` of the server that fragmentation is measured with")
	f.Int64Var(&v.memory, "probe-memory", 8192, "its memory in `MiB`")
	return v
}

func (v *flavor) resources() scheduler.Resources {
	out := scheduler.Resources{}
	for class, n := range map[string]int64{scheduler.VCPU: v.vcpus, scheduler.MemoryMB: v.memory, scheduler.DiskGB: v.disk} {
		if n > 0 {
			out[class] = n
		}
	}
	return out
}

// play plays events under a policy, with progress.
func (l *lab) play(ctx context.Context, what, policyName string, cfg sim.Config, events []trace.Event) (*sim.Sim, sim.Outcome, error) {
	var err error
	if cfg.Scheduler, err = policy(policyName); err != nil {
		return nil, sim.Outcome{}, err
	}
	p := l.progress(what, len(events))
	cfg.Progress = p.at
	s, err := sim.New(cfg)
	if err != nil {
		return nil, sim.Outcome{}, err
	}
	out, err := s.Run(ctx, events)
	p.end()
	return s, out, err
}

func run(ctx context.Context, l *lab, args []string) error {
	f := l.flags("run", "TRACE", "Plays a workload: every server that comes is scheduled and claimed, every one that\ngoes gives back what it had.")
	name := f.String("policy", scheduler.PresetFilter, "the `policy`: one of "+strings.Join(scheduler.Presets(), ", ")+", or a configuration file")
	seed := f.Uint64("seed", 1, "the `number` that settles ties")
	dir := f.String("plot", "", "write utilisation.svg, fragmentation.svg and hosts.svg into this `folder`")
	record := f.String("record", "", "write the decisions to this `file`, for replay")
	probe := probeFlags(f)
	rest, err := parse(f, args, 1)
	if err != nil {
		return err
	}
	events, err := l.workload(rest[0])
	if err != nil {
		return err
	}
	cfg := sim.Config{Seed: *seed, Probe: probe.resources()}
	var s *sim.Sim
	var out sim.Outcome
	play := func() (err error) {
		s, out, err = l.play(ctx, "playing", *name, cfg, events)
		return err
	}
	if *record == "" {
		err = play()
	} else {
		err = save(*record, func(w io.Writer) error {
			var failed error
			written := trace.Write(w, func(yield func(trace.Event) bool) {
				cfg.Record = func(e trace.Event) error {
					if !yield(e) {
						return errStopped
					}
					return nil
				}
				failed = play()
			})
			return errors.Join(written, failed)
		})
	}
	if err != nil {
		return err
	}
	l.report([]string{*name}, []sim.Outcome{out})
	if *dir == "" {
		return nil
	}
	if err := l.plots(*dir, charts([]string{*name}, []sim.Outcome{out})); err != nil {
		return err
	}
	hosts := slices.Collect(sim.Hosts(s.Snapshot()))
	return save(filepath.Join(*dir, "hosts.svg"), func(w io.Writer) error {
		return heatmap.Write(w, heatmap.Cells(hosts, scheduler.MemoryMB, nil), heatmap.Options{Title: "Memory in use at the end, by host"})
	})
}

// errStopped ends a run whose record cannot be written.
var errStopped = errors.New("the record could not be written")

func compare(ctx context.Context, l *lab, args []string) error {
	f := l.flags("compare", "TRACE", "Plays a workload twice, under two policies, and shows the outcomes side by side.")
	a := f.String("a", scheduler.PresetSpread, "one `policy`: one of "+strings.Join(scheduler.Presets(), ", ")+", or a configuration file")
	b := f.String("b", scheduler.PresetPack, "the other `policy`")
	seed := f.Uint64("seed", 1, "the `number` that settles ties")
	dir := f.String("plot", "", "write utilisation.svg and fragmentation.svg into this `folder`")
	probe := probeFlags(f)
	rest, err := parse(f, args, 1)
	if err != nil {
		return err
	}
	events, err := l.workload(rest[0])
	if err != nil {
		return err
	}
	names := []string{*a, *b}
	var outcomes []sim.Outcome
	for _, name := range names {
		_, out, err := l.play(ctx, "playing with "+name, name, sim.Config{Seed: *seed, Probe: probe.resources()}, events)
		if err != nil {
			return err
		}
		outcomes = append(outcomes, out)
	}
	l.report(names, outcomes)
	return l.plots(*dir, charts(names, outcomes))
}

// report writes outcomes as columns.
func (l *lab) report(names []string, outcomes []sim.Outcome) {
	row := func(what string, value func(o sim.Outcome) string) {
		fmt.Fprintf(l.out, "%-34s", what)
		for _, o := range outcomes {
			fmt.Fprintf(l.out, " %14s", value(o))
		}
		fmt.Fprintln(l.out)
	}
	fmt.Fprintf(l.out, "%-34s", "policy")
	for _, n := range names {
		fmt.Fprintf(l.out, " %14s", filepath.Base(n))
	}
	fmt.Fprintln(l.out)
	last := func(o sim.Outcome) sim.Sample { return o.Samples[len(o.Samples)-1] }
	mean := func(o sim.Outcome, of func(sim.Sample) float64) string {
		sum := 0.0
		for _, s := range o.Samples {
			sum += of(s)
		}
		return percent(sum / float64(len(o.Samples)))
	}
	row("hosts", func(o sim.Outcome) string { return fmt.Sprint(last(o).Hosts) })
	row("servers that came", func(o sim.Outcome) string { return fmt.Sprint(o.Boots) })
	row("  placed", func(o sim.Outcome) string { return fmt.Sprint(o.Placed) })
	row("  refused", func(o sim.Outcome) string { return fmt.Sprint(o.Refused) })
	reasons := map[string]bool{}
	for _, o := range outcomes {
		for r := range o.Reasons {
			reasons[r] = true
		}
	}
	for _, r := range slices.Sorted(maps.Keys(reasons)) {
		row("    mostly by "+r, func(o sim.Outcome) string { return fmt.Sprint(o.Reasons[r]) })
	}
	row("servers at the end", func(o sim.Outcome) string { return fmt.Sprint(last(o).Servers) })
	row("empty hosts at the end", func(o sim.Outcome) string { return fmt.Sprint(last(o).Empty) })
	row("empty hosts on average", func(o sim.Outcome) string {
		return mean(o, func(s sim.Sample) float64 { return float64(s.Empty) / float64(max(s.Hosts, 1)) })
	})
	for _, class := range []string{scheduler.VCPU, scheduler.MemoryMB, scheduler.DiskGB} {
		row(class+" in use at the end", func(o sim.Outcome) string { return percent(last(o).Used[class]) })
	}
	row("fragmentation at the end", func(o sim.Outcome) string { return percent(last(o).Fragmented) })
	row("fragmentation on average", func(o sim.Outcome) string {
		return mean(o, func(s sim.Sample) float64 { return s.Fragmented })
	})
}

func percent(part float64) string { return fmt.Sprintf("%.1f%%", 100*part) }

// charts are utilisation and fragmentation over time.
func charts(names []string, outcomes []sim.Outcome) map[string]plot.Chart {
	used := plot.Chart{Title: "Utilisation", X: "hours", Y: "% of the capacity in use", Top: 100}
	lost := plot.Chart{Title: "Fragmentation", X: "hours", Y: "% of the free memory where no probe fits", Top: 10}
	for i, o := range outcomes {
		line := func(of func(sim.Sample) float64) (points []plot.Point) {
			for _, s := range o.Samples {
				points = append(points, plot.Point{X: s.At / 3600, Y: 100 * of(s)})
			}
			return points
		}
		label := func(what string) string {
			if len(outcomes) == 1 {
				return what
			}
			return filepath.Base(names[i]) + " " + what
		}
		for _, c := range []struct{ class, word string }{{scheduler.VCPU, "VCPUs"}, {scheduler.MemoryMB, "memory"}} {
			used.Lines = append(used.Lines, plot.Line{Name: label(c.word), Points: line(func(s sim.Sample) float64 { return s.Used[c.class] })})
		}
		lost.Lines = append(lost.Lines, plot.Line{Name: filepath.Base(names[i]), Points: line(func(s sim.Sample) float64 { return s.Fragmented })})
	}
	return map[string]plot.Chart{"utilisation.svg": used, "fragmentation.svg": lost}
}

func fit(ctx context.Context, l *lab, args []string) error {
	f := l.flags("fit", "TRACE", "Plays a trace to its end, or to -at, and tells how many more servers of one kind\nfit then. With -add, of some more hosts too.")
	name := f.String("policy", scheduler.PresetFilter, "the `policy` whose filters are asked, and under which the trace is played")
	seed := f.Uint64("seed", 1, "the `number` that settles ties")
	v := &flavor{}
	f.Int64Var(&v.vcpus, "vcpus", 2, "the server's `VCPUs`")
	f.Int64Var(&v.memory, "memory", 4096, "its memory in `MiB`")
	f.Int64Var(&v.disk, "disk", 20, "its disk in `GiB`")
	f.StringVar(&v.zone, "zone", "", "the availability `zone` asked for")
	f.StringVar(&v.traits, "traits", "", "`traits` that it needs, with commas between them")
	f.StringVar(&v.group, "group", "", "the `policy` of a new server group that all are in, such as anti-affinity")
	hours := f.Float64("at", -1, "the time in `hours`; negative is the end")
	add := f.Int("add", 0, "how `many` hosts more, each a copy of one that is there, in turn")
	rest, err := parse(f, args, 1)
	if err != nil {
		return err
	}
	if err := v.check(); err != nil {
		return err
	}
	if *add < 0 {
		return misused("it cannot add %d hosts", *add)
	}
	events, err := l.workload(rest[0])
	if err != nil {
		return err
	}
	if *hours >= 0 {
		events = slices.DeleteFunc(events, func(e trace.Event) bool { return e.At > *hours*3600 })
	}
	s, out, err := l.play(ctx, "playing", *name, sim.Config{Seed: *seed, Samples: 1}, events)
	if err != nil {
		return err
	}
	req := scheduler.Request{ID: "one more", Resources: v.resources(), Zone: v.zone, ExtraSpecs: map[string]string{}}
	for t := range strings.SplitSeq(v.traits, ",") {
		if t != "" {
			req.ExtraSpecs["trait:"+t] = "required"
		}
	}
	if v.group != "" {
		req.Group = &scheduler.Group{ID: "new", Policy: v.group}
	}
	sched, err := policy(*name)
	if err != nil {
		return err
	}
	tell := func(what string) error {
		c, err := sim.Fit(sched, s.Snapshot(), req)
		if err != nil {
			return err
		}
		fmt.Fprintf(l.out, "%s: %d more of %s fit, on %d of %d hosts\n", what, c.Total, v, c.Hosts, s.Snapshot().Len())
		for _, zone := range slices.Sorted(maps.Keys(c.ByZone)) {
			fmt.Fprintf(l.out, "  zone %-12s %d\n", cmp.Or(zone, "(none)"), c.ByZone[zone])
		}
		for _, r := range slices.Sorted(maps.Keys(c.ByReason)) {
			fmt.Fprintf(l.out, "  %s turns away %d hosts\n", r, c.ByReason[r])
		}
		return nil
	}
	last := out.Samples[len(out.Samples)-1]
	if err := tell(fmt.Sprintf("beside %d servers", last.Servers)); err != nil || *add <= 0 {
		return err
	}
	models := slices.Collect(sim.Hosts(s.Snapshot()))
	for i := range *add {
		if len(models) == 0 {
			break
		}
		h := models[i%len(models)]
		h.ID, h.Name, h.Node = fmt.Sprintf("added-%06d", i), "", ""
		h.Used, h.NumInstances, h.NumIOOps, h.Generation = nil, 0, 0, 0
		if err := s.Snapshot().Put(h); err != nil {
			return err
		}
	}
	return tell(fmt.Sprintf("with %d hosts more", *add))
}

func replay(ctx context.Context, l *lab, args []string) error {
	f := l.flags("replay", "RECORDING", "Makes every decision of a recording again, on what the scheduler saw then and with the\nseed it had. The same policy decides the same; it fails if one falls otherwise.\nAnother policy shows what it would have chosen in each case.")
	name := f.String("policy", scheduler.PresetFilter, "the `policy`: one of "+strings.Join(scheduler.Presets(), ", ")+", or a configuration file")
	most := f.Int("show", 20, "how `many` differences to show")
	rest, err := parse(f, args, 1)
	if err != nil {
		return err
	}
	if *most < 0 {
		return misused("it cannot show %d differences", *most)
	}
	events, err := l.events(rest[0])
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(events, func(e trace.Event) bool { return e.Decision != nil }) {
		return nephos.Errorf(nephos.ErrInvalid, "%s: it has no decisions: record some with run -record", rest[0])
	}
	s, err := policy(*name)
	if err != nil {
		return err
	}
	p := l.progress("replaying", len(events))
	n, differ, err := sim.Replay(ctx, s, events, p.at)
	p.end()
	if err != nil {
		return err
	}
	words := func(hosts []string) string {
		if len(hosts) == 0 {
			return "no host"
		}
		return strings.Join(hosts, ", ")
	}
	for _, d := range differ[:min(len(differ), *most)] {
		fmt.Fprintf(l.out, "event %d at %g s: %s got %s, now %s\n", d.Event, d.At, d.Request, words(d.Recorded), words(d.Replayed))
	}
	fmt.Fprintf(l.out, "%d decisions, %d as recorded, %d otherwise\n", n, n-len(differ), len(differ))
	if len(differ) > 0 {
		return fmt.Errorf("%d of %d decisions fell otherwise", len(differ), n)
	}
	return nil
}

func grow(ctx context.Context, l *lab, args []string) error {
	f := l.flags("grow", "", "Measures how long a decision takes, on one processor, with more and more hosts.")
	name := f.String("policy", scheduler.PresetFilter, "the `policy`: one of "+strings.Join(scheduler.Presets(), ", ")+", or a configuration file")
	upTo := f.Int("hosts", 100_000, "up to how `many` hosts")
	decisions := f.Int("decisions", 300, "how `many` decisions each time")
	file := f.String("plot", "", "write the curve to this SVG `file`")
	if _, err := parse(f, args, 0); err != nil {
		return err
	}
	if *decisions < 1 || *upTo < 10 || *upTo > 1_000_000 {
		return misused("it takes 10 to 1,000,000 hosts and at least one decision")
	}
	s, err := policy(*name)
	if err != nil {
		return err
	}
	var sizes []int
	for n := 10; n < *upTo; n *= 10 {
		for _, m := range []int{n, n * 3} {
			if m < *upTo {
				sizes = append(sizes, m)
			}
		}
	}
	sizes = append(sizes, *upTo)
	median, slow := plot.Line{Name: "median"}, plot.Line{Name: "99th percentile"}
	fmt.Fprintf(l.out, "%10s %14s %14s %14s\n", "hosts", "median", "99th pct", "ns per host")
	p := l.progress("measuring", len(sizes)**decisions)
	for k, n := range sizes {
		times, err := l.measure(ctx, s, n, *decisions, func(i int) { p.at(k**decisions + i) })
		if err != nil {
			return err
		}
		half, most := times[len(times)/2], times[len(times)*99/100]
		p.end()
		fmt.Fprintf(l.out, "%10d %12.1fµs %12.1fµs %14.1f\n", n, half, most, 1000*half/float64(n))
		median.Points = append(median.Points, plot.Point{X: float64(n), Y: half})
		slow.Points = append(slow.Points, plot.Point{X: float64(n), Y: most})
	}
	if *file == "" {
		return nil
	}
	c := plot.Chart{
		Title: "Time of a decision with policy " + filepath.Base(*name), X: "hosts", Y: "µs", LogX: true, LogY: true,
		Lines: []plot.Line{median, slow},
	}
	return save(*file, c.Write)
}

// measure returns the sorted times, in microseconds, of decisions among so many
// made-up hosts, each of which is claimed.
func (l *lab) measure(ctx context.Context, s *scheduler.Scheduler, hosts, decisions int, at func(int)) ([]float64, error) {
	snap := scheduler.NewSnapshot(scheduler.SnapshotConfig{})
	spec := trace.Spec{Hosts: hosts, Zones: 3}
	for i := range hosts {
		h := spec.Host(i)
		h.Used = scheduler.Resources{scheduler.VCPU: int64(i * 7 % 60), scheduler.MemoryMB: int64(i * 7919 % 120_000)}
		if err := snap.Put(h); err != nil {
			return nil, err
		}
	}
	times := make([]float64, 0, decisions)
	for i := range decisions {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		req := scheduler.Request{
			ID: fmt.Sprint("server-", i), Zone: fmt.Sprint("az", 1+i%3),
			Resources:  scheduler.Resources{scheduler.VCPU: 1, scheduler.MemoryMB: 512, scheduler.DiskGB: 1},
			ExtraSpecs: map[string]string{"trait:HW_CPU_X86_AVX": "required"},
		}
		began := l.clock.Now()
		d, err := s.Select(snap, req, scheduler.Options{Alternates: 3})
		times = append(times, float64(l.clock.Now().Sub(began).Nanoseconds())/1000)
		if err != nil {
			return nil, err
		}
		if err := snap.Claim(d.Choices[0].Host.ID, req.Resources); err != nil {
			return nil, err
		}
		at(i + 1)
	}
	slices.Sort(times)
	return times, nil
}
