//go:build race

package extensiontest

// many is how many hosts a large cloud has. The race detector takes twenty times
// as long over each of their attributes, and sees no more in ten times as many.
const many = 200
