//go:build !race

package main

// some is what of a suite a plugin is certified with, and the others say how many
// tests that are.
const some, passes, extensionPasses = ".", `\d\d`, "13"
