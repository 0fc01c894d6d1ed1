package main

import (
	"log/slog"
	"os"
	"syscall"

	"github.com/nephos-cloud/nephos/faults"
)

// openFaults lets admins make the cloud fail on purpose, if that is wanted. A
// crash is a real one: the process ends as by kill -9.
func openFaults(wanted bool, log *slog.Logger) *faults.Set {
	if !wanted {
		return nil
	}
	log.Warn("faults can be injected: admins may break this cloud under /faults")
	return faults.New(faults.Config{Log: log, Crash: func(at string) {
		log.Warn("crashing, as a fault's rule says", "at", at)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}})
}
