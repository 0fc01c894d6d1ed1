package faults_test

import (
	"fmt"

	"github.com/nephos-cloud/nephos/faults"
)

func ExampleSet_Add() {
	set := faults.New(faults.Config{Seed: 1})
	rule, err := set.Add(faults.Rule{
		ID: "busy", Point: faults.API, Effect: faults.Error,
		Service: "compute", Operation: "POST /servers", Status: 503, RetryAfter: 1, Count: 2,
	})
	fmt.Println(rule.Rule, err)
	_, err = set.Add(faults.Rule{Point: faults.Step, Effect: faults.Latency})
	fmt.Println(err)
	// Output:
	// busy: error of api compute POST /servers <nil>
	// A rule for step must have one of the effects [crash], not 'latency'.
}
