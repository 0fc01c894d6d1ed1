package compute

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

func TestTopologyOfProcessors(t *testing.T) {
	type M = map[string]string
	for name, c := range map[string]struct {
		specs, image M
		vcpus        int
		want         hypervisor.Topology
	}{
		"nothing said":            {nil, nil, 4, hypervisor.Topology{}},
		"cores":                   {M{"hw:cpu_cores": "4"}, nil, 8, hypervisor.Topology{Sockets: 2, Cores: 4, Threads: 1}},
		"all":                     {M{"hw:cpu_sockets": "1", "hw:cpu_cores": "2", "hw:cpu_threads": "2"}, nil, 4, hypervisor.Topology{Sockets: 1, Cores: 2, Threads: 2}},
		"an image's wish":         {M{"hw:cpu_cores": "4"}, M{"hw_cpu_cores": "2"}, 8, hypervisor.Topology{Sockets: 4, Cores: 2, Threads: 1}},
		"a bound":                 {M{"hw:cpu_max_sockets": "2"}, nil, 8, hypervisor.Topology{Sockets: 2, Cores: 4, Threads: 1}},
		"the lower bound":         {M{"hw:cpu_max_sockets": "4"}, M{"hw_cpu_max_sockets": "1"}, 8, hypervisor.Topology{Sockets: 1, Cores: 8, Threads: 1}},
		"a wish that cannot be":   {M{"hw:cpu_cores": "3"}, nil, 4, hypervisor.Topology{Sockets: 4, Cores: 1, Threads: 1}},
		"a wish against a bound":  {M{"hw:cpu_sockets": "4", "hw:cpu_max_sockets": "1"}, nil, 4, hypervisor.Topology{Sockets: 1, Cores: 4, Threads: 1}},
		"a number of one":         {M{"hw:cpu_threads": "1", "hw:cpu_sockets": "1"}, nil, 3, hypervisor.Topology{Sockets: 1, Cores: 3, Threads: 1}},
		"more threads than cores": {M{"hw:cpu_threads": "4"}, nil, 4, hypervisor.Topology{Sockets: 1, Cores: 1, Threads: 4}},
	} {
		got, err := cpuTopology(c.specs, c.image, c.vcpus)
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
	for _, bad := range []M{{"hw:cpu_cores": "0"}, {"hw:cpu_threads": "x"}, {"hw:cpu_max_sockets": "1", "hw:cpu_max_cores": "2", "hw:cpu_max_threads": "1"}} {
		_, err := cpuTopology(bad, nil, 4)
		require.ErrorIs(t, err, nephos.ErrInvalid, bad)
	}
	two := hypervisor.Topology{Sockets: 2, Cores: 1, Threads: 2}
	require.Equal(t, two, threaded(hypervisor.Topology{}, 4, 2, 2))
	require.Equal(t, hypervisor.Topology{Sockets: 1, Cores: 3, Threads: 2}, threaded(hypervisor.Topology{}, 6, 2, 2))
	require.Equal(t, two, threaded(two, 4, 1, 4), "what is said holds")
	require.Zero(t, threaded(hypervisor.Topology{}, 4, 1, 0))
}
