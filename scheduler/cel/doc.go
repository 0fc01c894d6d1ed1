// Package cel makes filters and weighers of the scheduler from expressions in
// the Common Expression Language (https://cel.dev), so that operators can write
// them into a configuration:
//
//	tidy, err := cel.NewFilter("TidyFilter", `host.num_instances < 20 || "CUSTOM_BIG" in host.traits`, cel.Options{})
//	calm, err := cel.NewWeigher("CalmWeigher", `-1.0 * double(host.num_io_ops)`, cel.Options{})
//	s, err := scheduler.New(scheduler.Config{Filters: append(scheduler.DefaultFilters(), tidy), …})
//
// An expression is parsed and checked when it is made: an unknown variable, a
// comparison of text with a number, or a filter that is no truth value is an
// error then, and names what is wrong. [HostVariables] and [PoolVariables] list
// what expressions may speak of.
//
// # Cost
//
// Expressions come from outside, and are asked about every host. One that could
// cost more than Options.CostLimit for a host, by an estimate from the sizes
// that hosts and requests may have, is refused when it is made; one that costs
// more all the same is cut off, and the host is turned away, which the
// explanation tells. Nothing else stops: the language has no endless loops, and
// the scheduler goes on with the next host.
//
// # Pools of storage
//
// [DriverFilter] and [GoodnessWeigher] judge pools by the expressions that the
// pools carry themselves, as Cinder's drivers do.
package cel
