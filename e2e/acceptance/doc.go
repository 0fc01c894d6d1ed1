// Package acceptance runs gophercloud's own acceptance tests, which are written
// for real OpenStack clouds, against a whole cloud over simulated hosts.
//
// expected.txt says of each test what becomes of it, and why, where it does not
// pass. What differs fails: a test that should pass and does not, one that
// passes though it is said to fail, and one that is not in the table.
//
//	NEPHOS_E2E=1 go test ./e2e/acceptance
//	NEPHOS_E2E=1 NEPHOS_ACCEPTANCE_UPDATE=1 go test ./e2e/acceptance   writes the table anew, keeping reasons
//	NEPHOS_E2E=1 NEPHOS_ACCEPTANCE_ONLY=placement/v1 go test -v ./e2e/acceptance   one suite, with its output
package acceptance
