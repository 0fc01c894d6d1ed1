//go:build race

package main

// some is what of a suite a plugin is certified with, and the others say how many
// tests that are. The race detector makes each start of the plugin dear; the tests
// of driver/plugin pass whole suites with it.
const (
	some                    = "Plugin|RoundTrip|Reopen|Copier|Multiparter$|Scheduler/(Ready|Concurrent|Reopen|Judger)"
	passes, extensionPasses = "6", "8"
)
