// Package hypervisortest is the whole test that the author of a hypervisor
// driver writes:
//
//	func TestDriver(t *testing.T) {
//		dir := t.TempDir()
//		hypervisortest.Run(t, func(t drivertest.T) hypervisor.Driver {
//			d, err := mine.Open(mine.Config{CloudID: "test", Dir: dir})
//			require.NoError(t, err)
//			return d
//		}, hypervisortest.Options{CloudID: "test"})
//	}
//
// It checks the duties of package driver (idempotence, concurrency,
// cancellation, the meaning of errors, labels), each optional ability that is
// offered, and that nothing is lost when the driver is closed and opened again.
// It needs no operating system in its guests unless [Options] names one.
package hypervisortest
