package compute_test

import (
	"time"

	"github.com/nephos-cloud/nephos"
)

func page() nephos.Page { return nephos.Page{Limit: 1000} }

// timeStep is longer than any poll of a volume that is being made.
const timeStep = time.Second
