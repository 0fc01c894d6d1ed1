// Package fake is a hypervisor that keeps its guests in memory, for tests and
// for clouds without machines. It implements [hypervisor.Driver] and every
// optional ability, honestly: what a call promises can be seen afterwards by
// Get, List, Events, the console log and the console streams.
//
//	state := fake.NewState()
//	d, err := fake.Open(fake.Config{CloudID: "cloud", Name: "host1", State: state})
//
// The [State] stands for the hypervisor's own memory: guests live in it, survive
// Close and are found again by the next Open. A test plays the guest with
// [State.PowerOff], [State.Crash] and [State.Print], or says by a [Behaviour] what
// guests do by themselves and has them do it with [State.Play], reboots the host
// with [State.RebootHost], and makes calls late or fail with [Faults].
//
// There is no goroutine for a guest and none for a driver: boot text appears as
// the clock reaches it, and streams are plain memory.
package fake
