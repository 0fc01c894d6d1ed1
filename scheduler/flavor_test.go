package scheduler_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/scheduler"
)

func TestFlavorResources(t *testing.T) {
	f := scheduler.Flavor{VCPUs: 2, MemoryMB: 512, RootGB: 10, EphemeralGB: 5, SwapMB: 1025}
	r, err := f.Resources(false)
	require.NoError(t, err)
	require.Equal(t, scheduler.Resources{"VCPU": 2, "MEMORY_MB": 512, "DISK_GB": 17}, r)
	r, err = f.Resources(true)
	require.NoError(t, err)
	require.Equal(t, int64(7), r["DISK_GB"])

	f.ExtraSpecs = map[string]string{
		"resources:VCPU": "0", "resources:CUSTOM_BAREMETAL": "1", "resources1:CUSTOM_GPU": "1", "resources2:CUSTOM_GPU": "2", "hw:cpu_policy": "shared",
	}
	r, err = f.Resources(false)
	require.NoError(t, err)
	require.Equal(t, scheduler.Resources{"MEMORY_MB": 512, "DISK_GB": 17, "CUSTOM_BAREMETAL": 1, "CUSTOM_GPU": 3}, r)

	for key, value := range map[string]string{"resources:VCPU": "many", "resources:vcpu": "1", "resources:CUSTOM_X": "-1", "resources:": "1"} {
		f.ExtraSpecs = map[string]string{key: value}
		_, err = f.Resources(false)
		require.ErrorIs(t, err, nephos.ErrInvalid, key)
	}
}
