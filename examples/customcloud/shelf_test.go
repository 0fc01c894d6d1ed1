package main

import (
	"sync"
	"testing"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/blobtest"
	"github.com/nephos-cloud/nephos/driver/drivertest"
)

// The whole test that the author of a driver writes. A shelf lives as long as its
// process, so what is opened again is the same one.
func TestShelf(t *testing.T) {
	var shelves sync.Map
	blobtest.Run(t, func(_ drivertest.T, dir string) blob.Driver {
		s, _ := shelves.LoadOrStore(dir, &shelf{})
		return s.(*shelf)
	}, blobtest.Options{})
}
