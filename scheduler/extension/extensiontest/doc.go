// Package extensiontest is the conformance test of extensions of the scheduler:
// an author calls [Run] from a test, with the extension as it is and behind
// driver/plugin's Loop, and is done.
//
// What an extension decides is its own; the suite sees to how it answers: about
// every host, in their order, the same again, to several at once, whatever the
// hosts and the request look like, and in time.
package extensiontest
