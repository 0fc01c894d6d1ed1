package compute

import (
	"strconv"

	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

// cpuTopology chooses how a server's processors look to it by the flavor's extra
// specs hw:cpu_sockets, hw:cpu_cores and hw:cpu_threads, and those with max_ before
// the part, and an image's properties of the same names with underscores: an
// image's wishes hold over the flavor's, the lower of two bounds holds. Wishes are
// met as far as the number of processors can be divided so, with as many sockets as
// may be; bounds are kept. It is zero if nothing is said.
func cpuTopology(specs, image map[string]string, vcpus int) (hypervisor.Topology, error) {
	var wish, most [3]int
	said := false
	for i, part := range []string{"sockets", "cores", "threads"} {
		for _, from := range []struct {
			values map[string]string
			prefix string
		}{{specs, "hw:cpu_"}, {image, "hw_cpu_"}} {
			n, err := topologyNumber(from.values, from.prefix+part)
			if err != nil {
				return hypervisor.Topology{}, err
			}
			if n > 0 {
				wish[i] = n
			}
			if n, err = topologyNumber(from.values, from.prefix+"max_"+part); err != nil {
				return hypervisor.Topology{}, err
			}
			if n > 0 && (most[i] == 0 || n < most[i]) {
				most[i] = n
			}
		}
		said = said || wish[i] > 0 || most[i] > 0
	}
	if !said {
		return hypervisor.Topology{}, nil
	}
	best, met := [3]int{}, -1
	for sockets := vcpus; sockets > 0; sockets-- {
		for cores := vcpus / sockets; cores > 0 && vcpus%sockets == 0; cores-- {
			threads := vcpus / sockets / cores
			if sockets*cores*threads != vcpus {
				continue
			}
			n, fits := 0, true
			for i, v := range [3]int{sockets, cores, threads} {
				fits = fits && (most[i] == 0 || v <= most[i])
				if v == wish[i] {
					n++
				}
			}
			if fits && n > met {
				best, met = [3]int{sockets, cores, threads}, n
			}
		}
	}
	if met < 0 {
		return hypervisor.Topology{}, invalid("Requested vCPU limits %d:%d:%d are impossible to satisfy for vcpus count %d", most[0], most[1], most[2], vcpus)
	}
	return hypervisor.Topology{Sockets: best[0], Cores: best[1], Threads: best[2]}, nil
}

// topologyNumber reads a number of sockets, cores or threads; 0 is not said.
func topologyNumber(values map[string]string, key string) (int, error) {
	v := values[key]
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		return 0, invalid("%s is %.40q, which is not a positive number", key, v).WithField(key)
	}
	return n, nil
}

// threaded is the topology of a server whose processors are threads of cores that
// it has for itself, so many of each, unless its topology is chosen.
func threaded(t hypervisor.Topology, vcpus, cells, threads int) hypervisor.Topology {
	if t != (hypervisor.Topology{}) || threads < 2 || vcpus%threads != 0 {
		return t
	}
	cores, sockets := vcpus/threads, max(cells, 1)
	if cores%sockets != 0 {
		sockets = 1
	}
	return hypervisor.Topology{Sockets: sockets, Cores: cores / sockets, Threads: threads}
}
