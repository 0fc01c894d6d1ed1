// Command bench puts load on an OpenStack cloud through its public APIs and
// tells what it did: boots, lists, ports, volumes, tokens, image bytes.
//
// Without -cloud it starts allinone with fake drivers on an empty directory of
// its own, on this machine, and measures also its start and its memory. With
// -cloud it uses the cloud of that name in clouds.yaml (OS_CLIENT_CONFIG_FILE,
// the current folder, ~/.config/openstack), whatever it runs.
//
// Beside what depends on the machine it measures the machine, in the same run:
// an empty HTTP handler, a bare upload with the same hashes and one fsync, a
// bare download by sendfile.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	cloud, allinone, data, only string
	runs                        int
	duration                    time.Duration
	servers                     int
	bytes                       int64
	flight                      int
	peer                        string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flag.StringVar(&o.cloud, "cloud", "", "the `name` of a cloud in clouds.yaml; empty starts one")
	flag.StringVar(&o.allinone, "allinone", "bin/allinone", "the `program` to start without -cloud")
	flag.StringVar(&o.data, "data", "", "the `directory` for data (default a temporary one beside the current folder)")
	flag.StringVar(&o.only, "only", "", "comma-separated `names` of the measurements to make (default all)")
	flag.IntVar(&o.runs, "runs", 3, "how `many` times each is made; the median counts")
	flag.DurationVar(&o.duration, "time", 5*time.Second, "how `long` each rate is measured")
	flag.IntVar(&o.servers, "servers", 1000, "how `many` servers the list holds")
	flag.Int64Var(&o.bytes, "bytes", 1<<30, "the image's size in `bytes`")
	flag.IntVar(&o.flight, "flight", 8, "requests in `flight`")
	flag.StringVar(&o.peer, "peer", "", "serve the bare handlers on this `address` (used by the program itself)")
	flag.Parse()
	var err error
	if o.peer != "" {
		err = servePeer(ctx, o.peer, o.data)
	} else {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// measurement is one row of the result.
type measurement struct {
	name string
	f    func(ctx context.Context, b *bench) ([]sample, error)
}

// sample is one figure of a run.
type sample struct {
	label string
	value float64
}

func run(ctx context.Context, o options) error {
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Printf("%s, %d cores, %s; %d runs each, medians\n\n", cpuModel(), runtime.NumCPU(), runtime.Version(), o.runs)
	fmt.Printf("%-12s %-46s %14s   %s\n", "name", "what", "median", "runs")
	only := strings.Split(o.only, ",")
	for _, m := range measurements {
		if o.only != "" && !slices.Contains(only, m.name) {
			continue
		}
		if o.cloud != "" && m.name == "start" {
			continue
		}
		var order []string
		values := map[string][]float64{}
		for range o.runs {
			samples, err := m.f(ctx, b)
			if err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
			for _, s := range samples {
				if _, ok := values[s.label]; !ok {
					order = append(order, s.label)
				}
				values[s.label] = append(values[s.label], s.value)
			}
		}
		for _, label := range order {
			v := values[label]
			sorted := slices.Sorted(slices.Values(v))
			runs := make([]string, len(v))
			for i := range v {
				runs[i] = figure(v[i])
			}
			fmt.Printf("%-12s %-46s %14s   %s\n", m.name, label, figure(sorted[len(sorted)/2]), strings.Join(runs, " "))
		}
	}
	return nil
}

func figure(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}
