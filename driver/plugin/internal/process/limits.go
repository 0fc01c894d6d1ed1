package process

// Limits bound what a plugin can use up; zero fields bound nothing. Linux only.
type Limits struct {
	// Memory bounds its memory in bytes: data that it allocates, or with a
	// Cgroup all that it uses.
	Memory uint64
	// Processes bounds the processes and threads of its user, or with a Cgroup
	// its own. A Go program needs about 20.
	Processes uint64
	// Files bounds its open files.
	Files uint64
	// CPUs bounds its share of processors, such as 0.5; it takes a Cgroup.
	CPUs float64
	// Cgroup is a folder of cgroup2 that is delegated to this process, below
	// which each plugin gets a group of its own.
	Cgroup string
}
