//go:build libvirt

package libvirt

import (
	"fmt"
	"sync"

	virt "libvirt.org/go/libvirt"
)

// loop is libvirt's event loop. libvirt allows one implementation for a
// process, for good, so it cannot belong to a driver.
var loop struct {
	mu         sync.Mutex
	registered bool
	users      int
	timer      int           // wakes the loop
	ended      chan struct{} // closed when the goroutine has ended; nil: there was none
}

// useLoop has the event loop run until [leaveLoop]. It comes before the first
// connection.
func useLoop() error {
	loop.mu.Lock()
	defer loop.mu.Unlock()
	if !loop.registered {
		if err := virt.EventRegisterDefaultImpl(); err != nil {
			return fmt.Errorf("register libvirt's event loop: %w", err)
		}
		timer, err := virt.EventAddTimeout(-1, func(timer int) { virt.EventUpdateTimeout(timer, -1) })
		if err != nil {
			return fmt.Errorf("add a timer to libvirt's event loop: %w", err)
		}
		loop.registered, loop.timer = true, timer
	}
	loop.users++
	if loop.users == 1 {
		before, ended := loop.ended, make(chan struct{})
		loop.ended = ended
		go runLoop(before, ended)
	}
	return nil
}

func runLoop(before, ended chan struct{}) {
	defer close(ended)
	if before != nil {
		<-before
	}
	for last := false; !last; {
		loop.mu.Lock()
		last = loop.users == 0 && loop.ended == ended
		mine := loop.ended == ended
		loop.mu.Unlock()
		if !mine {
			return // others came, with a goroutine of their own
		}
		// Once more when the last user has left: closed connections are tidied
		// up here.
		if last {
			virt.EventUpdateTimeout(loop.timer, 0)
		}
		_ = virt.EventRunDefaultImpl() // fails only where poll does, and will again
	}
}

// leaveLoop undoes [useLoop].
func leaveLoop() {
	loop.mu.Lock()
	loop.users--
	last, ended := loop.users == 0, loop.ended
	loop.mu.Unlock()
	if last {
		virt.EventUpdateTimeout(loop.timer, 0)
		<-ended
	}
}
