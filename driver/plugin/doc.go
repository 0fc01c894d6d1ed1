// Package plugin runs drivers in other processes, over hashicorp/go-plugin and
// gRPC. It is the only bridge to them.
//
// # For authors
//
// A driver in Go needs nothing but a main that ends in [Serve]:
//
//	func main() {
//		d, err := acme.Open(os.Getenv("NEPHOS_PLUGIN_DIR"))
//		if err == nil {
//			err = plugin.Serve(d)
//		}
//		if err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//	}
//
// What the driver implements beyond its kind's Driver is what it offers. The
// command scaffold writes such a program with its test; certify runs the kind's
// conformance suite against any plugin and prints a certificate. A driver in
// another language implements the protobuf services below proto/, whose
// comments say everything that it must know: start at
// proto/nephos/driver/v1/driver.proto. examples/plugin-hypervisor and
// examples/plugin-volume-python are complete.
//
// # For hosts
//
// [Launch] starts a program and returns a driver of the same Go interface, with
// the plugin's abilities and errors that keep their meaning. Deadlines,
// cancellation and traces travel with each call. A plugin that dies or hangs
// harms only its own calls: they fail with nephos.ErrUnavailable, and it is
// started again. [Of] gives the handle of a driver that is a plugin.
//
// A plugin is not trusted. It sees nothing of this process's environment, may
// have a user, limits and a pinned checksum of its own, and dies with this
// process. What it answers is checked: paths must lie below roots declared for
// it and are reached through no link, IDs must be those that were asked for,
// messages and logs are bounded. See docs/decisions/0005-plugins.md for what
// this protects from, and what not.
package plugin
