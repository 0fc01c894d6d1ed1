package process

import (
	"math"

	"github.com/nephos-cloud/nephos"
)

// Limits bound what a plugin can use up; zero fields bound nothing. Linux only.
type Limits struct {
	// Memory bounds its memory in bytes: data that it allocates, or with a
	// Cgroup all that it and its children use.
	Memory uint64
	// Processes bounds the processes and threads of its user, or with a Cgroup
	// its own. A Go program needs about 20.
	Processes uint64
	// Files bounds its open files.
	Files uint64
	// CPUs bounds its share of processors, such as 0.5; at least 0.01. It takes a
	// Cgroup.
	CPUs float64
	// Cgroup is a folder of cgroup2 that is delegated to this process and that
	// has no processes, below which each plugin gets a group of its own.
	Cgroup string
}

// check refuses limits that cannot be kept.
func (l Limits) check() error {
	switch {
	case l.CPUs == 0:
	case math.IsNaN(l.CPUs) || l.CPUs < 0.01 || l.CPUs > 1<<20:
		return nephos.Errorf(nephos.ErrInvalid, "limiting the plugin to %v processors: want 0.01 or more", l.CPUs)
	case l.Cgroup == "":
		return nephos.Errorf(nephos.ErrInvalid, "limiting the plugin to %v processors takes a control group: name one that is delegated to this process", l.CPUs)
	}
	return nil
}
