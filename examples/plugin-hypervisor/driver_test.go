package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/drivertest"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
	"github.com/nephos-cloud/nephos/driver/hypervisor/hypervisortest"
	"github.com/nephos-cloud/nephos/driver/plugin"
)

// The whole test of a driver: its kind's suite, in process …
func TestPaper(t *testing.T) {
	dir := t.TempDir()
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := Open("cloud", dir)
		require.NoError(t, err)
		return d
	}, hypervisortest.Options{CloudID: "cloud"})
}

// … and the same over the wire.
func TestPaperAsAPlugin(t *testing.T) {
	dir := t.TempDir()
	hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
		d, err := Open("cloud", dir)
		require.NoError(t, err)
		remote, err := plugin.Loop[hypervisor.Driver](t.Context(), d, plugin.LoopOptions{})
		require.NoError(t, err)
		return remote
	}, hypervisortest.Options{CloudID: "cloud"})
}
