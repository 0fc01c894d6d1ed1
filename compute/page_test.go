package compute_test

import "github.com/nephos-cloud/nephos"

func page() nephos.Page { return nephos.Page{Limit: 1000} }
