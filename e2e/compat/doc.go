// Package compat writes docs/compatibility.md: each operation of OpenStack's APIs
// with the word whether it is built, and which test of a real client proves it.
//
// Nothing in the page is a claim. The tests of gophercloud (e2e/acceptance) and
// the walk of the openstack command (e2e) run against a cloud that notes, by a
// [Recorder], which operations each test used with success; both compare what
// they find with a list in this folder, gophercloud.txt and openstack.txt, and
// fail when it says more or less. The page is made of the lists, of the routes
// that the APIs really have, and of reference.txt; this package's own test makes
// it anew and fails when the committed one differs. Whoever edits the page by
// hand fails that test; whoever edits the lists fails the other two.
//
//	make evidence   writes the lists and the page anew
package compat
