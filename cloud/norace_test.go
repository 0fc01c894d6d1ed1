//go:build !race

package cloud_test

const underRace = false
