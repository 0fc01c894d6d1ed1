//go:build !race

package extensiontest

// many is how many hosts a large cloud has.
const many = 2000
