// Package e2e tests the program that users run, examples/allinone, as they run
// it: a process of its own, spoken to through the public APIs by gophercloud and
// by OpenStack's own command. With the real drivers it boots guests, logs in to
// them, kills the cloud under them, and looks for what is left behind.
//
// The tests need NEPHOS_E2E=1; those with guests need root, QEMU and
// /dev/net/tun too. NEPHOS_E2E_ALLINONE names a program to test instead of
// building it.
package e2e
