package hypervisortest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/driver"
	"github.com/nephos-cloud/nephos/driver/hypervisor"
)

func (s *suite) testHotPlug() {
	disks, nics := s.d.(hypervisor.HotPlugger).HotPlug()
	id, spec := s.running(), s.spec()
	if disks {
		spec.Disks = append(spec.Disks, blank("vol1", 4<<20, -1), blank("vol2", 4<<20, -1))
	}
	if nics && s.o.NIC != nil {
		spec.NICs = []driver.NIC{s.o.NIC(s.t, 0)}
	}
	for range 2 {
		require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
		g := s.get(id)
		require.Len(s.t, g.Disks, len(spec.Disks))
		require.Len(s.t, g.NICs, len(spec.NICs))
		require.Equal(s.t, hypervisor.Running, g.State)
	}
	s.reopen()
	require.Len(s.t, s.get(id).Disks, len(spec.Disks), "plugged disks are found again")
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	if !s.o.Alive {
		return
	}
	spec = s.spec()
	require.NoError(s.t, s.d.Ensure(s.ctx(), id, spec))
	g := s.get(id)
	require.Equal(s.t, []string{"root"}, g.Disks)
	require.Empty(s.t, g.NICs)
}

func (s *suite) testReboot() {
	r, id := s.d.(hypervisor.Rebooter), s.running()
	require.NoError(s.t, r.Reboot(s.ctx(), id, true))
	require.Equal(s.t, hypervisor.Running, s.get(id).State)
	if s.o.Alive {
		require.NoError(s.t, r.Reboot(s.ctx(), id, false))
		require.Equal(s.t, hypervisor.Running, s.get(id).State)
	}
	require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
	require.ErrorIs(s.t, r.Reboot(s.ctx(), id, false), nephos.ErrConflict, "a stopped guest cannot be asked")
	require.NoError(s.t, r.Reboot(s.ctx(), id, true), "a hard reboot powers on")
	require.Equal(s.t, hypervisor.Running, s.get(id).State)
	require.ErrorIs(s.t, r.Reboot(s.ctx(), nephos.IDs{}.New(), true), nephos.ErrNotFound)
}

func (s *suite) testPause() {
	p, id := s.d.(hypervisor.Pauser), s.guest()
	require.ErrorIs(s.t, p.Pause(s.ctx(), id), nephos.ErrConflict, "a stopped guest cannot be paused")
	require.ErrorIs(s.t, p.Unpause(s.ctx(), id), nephos.ErrConflict)
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	for range 2 {
		require.NoError(s.t, p.Pause(s.ctx(), id))
		require.Equal(s.t, hypervisor.Paused, s.get(id).State)
	}
	for range 2 {
		require.NoError(s.t, p.Unpause(s.ctx(), id))
		require.Equal(s.t, hypervisor.Running, s.get(id).State)
	}
	require.NoError(s.t, p.Pause(s.ctx(), id))
	require.NoError(s.t, s.d.Start(s.ctx(), id), "Start resumes a paused guest")
	require.Equal(s.t, hypervisor.Running, s.get(id).State)
	require.NoError(s.t, p.Pause(s.ctx(), id))
	require.NoError(s.t, s.d.Stop(s.ctx(), id, hypervisor.StopOptions{}), "a paused guest can be stopped")
	require.Equal(s.t, hypervisor.Stopped, s.get(id).State)
	require.ErrorIs(s.t, p.Pause(s.ctx(), nephos.IDs{}.New()), nephos.ErrNotFound)
}

func (s *suite) testSuspend() {
	p, id := s.d.(hypervisor.Suspender), s.guest()
	require.ErrorIs(s.t, p.Suspend(s.ctx(), id), nephos.ErrConflict, "a stopped guest cannot be suspended")
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	for range 2 {
		require.NoError(s.t, p.Suspend(s.ctx(), id))
		require.Equal(s.t, hypervisor.Stopped, s.get(id).State)
	}
	s.reopen()
	p = s.d.(hypervisor.Suspender)
	for range 2 {
		require.NoError(s.t, p.Resume(s.ctx(), id))
		require.Equal(s.t, hypervisor.Running, s.get(id).State)
	}
}

func (s *suite) testSnapshot() {
	sn, dir := s.d.(hypervisor.Snapshotter), s.t.TempDir()
	require.NoError(s.t, os.Chmod(dir, 0o777)) // the hypervisor may have a user of its own
	id := s.running()
	take := func(name string) {
		path := filepath.Join(dir, name)
		for range 2 { // again: over the first
			require.NoError(s.t, sn.Snapshot(s.ctx(), id, "root", path))
		}
		f, err := os.Open(path)
		require.NoError(s.t, err)
		defer f.Close()
		header := make([]byte, 16)
		_, err = io.ReadFull(f, header)
		require.NoError(s.t, err)
		require.Equal(s.t, "QFI\xfb", string(header[:4]), "a snapshot is a qcow2 image")
		require.Equal(s.t, make([]byte, 8), header[8:16], "a snapshot has no backing file")
	}
	take("live.qcow2")
	require.Equal(s.t, hypervisor.Running, s.get(id).State, "the guest runs on")
	require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
	take("stopped.qcow2")
	require.Equal(s.t, hypervisor.Stopped, s.get(id).State, "a cold snapshot starts nothing")
	require.Error(s.t, sn.Snapshot(s.ctx(), id, "root", filepath.Join(dir, "nodir", "x")), "a path that cannot be written")
	require.ErrorIs(s.t, sn.Snapshot(s.ctx(), id, "nodisk", filepath.Join(dir, "x")), nephos.ErrNotFound)
	require.ErrorIs(s.t, sn.Snapshot(s.ctx(), nephos.IDs{}.New(), "root", filepath.Join(dir, "y")), nephos.ErrNotFound)
	require.NoFileExists(s.t, filepath.Join(dir, "x"), "a call that fails leaves no copy")
	require.NoFileExists(s.t, filepath.Join(dir, "y"), "a call that fails leaves no copy")
}

// awaitLog polls the console log until it holds the text.
func (s *suite) awaitLog(id, text string, times int) []byte {
	var log []byte
	require.Eventually(s.t, func() bool {
		var err error
		log, err = s.d.(hypervisor.ConsoleLogger).ConsoleLog(s.ctx(), id, 1<<20)
		return err == nil && bytes.Count(log, []byte(text)) >= times
	}, s.o.Wait, 50*time.Millisecond, "the console log of %s never held %q %d times", id, text, times)
	return log
}

func (s *suite) testConsoleLog() {
	cl, id := s.d.(hypervisor.ConsoleLogger), s.guest()
	log, err := cl.ConsoleLog(s.ctx(), id, 1000)
	require.NoError(s.t, err, "a guest that never ran has an empty log")
	require.Empty(s.t, log)
	_, err = cl.ConsoleLog(s.ctx(), nephos.IDs{}.New(), 1000)
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	if s.o.BootText == "" {
		_, err = cl.ConsoleLog(s.ctx(), id, 1000)
		require.NoError(s.t, err)
		return
	}
	s.awaitLog(id, s.o.BootText, 1)
	require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
	s.reopen()
	all := s.awaitLog(id, s.o.BootText, 1)
	tail, err := s.d.(hypervisor.ConsoleLogger).ConsoleLog(s.ctx(), id, 10)
	require.NoError(s.t, err)
	require.Equal(s.t, string(all[len(all)-10:]), string(tail), "max keeps the last bytes")
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	s.awaitLog(id, s.o.BootText, 2)
}

func (s *suite) testConsole() {
	c, id := s.d.(hypervisor.Consoler), s.guest()
	_, err := c.Console(s.ctx(), id, hypervisor.VNC)
	require.ErrorIs(s.t, err, nephos.ErrConflict, "a stopped guest has no console")
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	kinds := 0
	open := func(kind hypervisor.ConsoleKind) io.ReadWriteCloser {
		stream, err := c.Console(s.ctx(), id, kind)
		if errors.Is(err, errors.ErrUnsupported) { // not every guest has all of them
			return nil
		}
		require.NoError(s.t, err)
		kinds++
		return stream
	}
	if vnc := open(hypervisor.VNC); vnc != nil {
		defer vnc.Close()
		hello, err := bufio.NewReader(vnc).ReadString('\n')
		require.NoError(s.t, err)
		require.True(s.t, strings.HasPrefix(hello, "RFB 003."), "%q is no VNC greeting", hello)
	}
	if spice := open(hypervisor.SPICE); spice != nil {
		require.NoError(s.t, spice.Close())
	}
	_, err = c.Console(s.ctx(), id, "semaphore")
	require.ErrorIs(s.t, err, errors.ErrUnsupported)
	_, err = c.Console(s.ctx(), nephos.IDs{}.New(), hypervisor.VNC)
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
	serial := open(hypervisor.Serial)
	require.NotZero(s.t, kinds, "a Consoler has some console")
	if serial == nil {
		return
	}
	_, err = serial.Write([]byte("\n"))
	require.NoError(s.t, err)
	require.NoError(s.t, serial.Close())
	serial, err = c.Console(s.ctx(), id, hypervisor.Serial)
	require.NoError(s.t, err, "a console can be opened again")
	defer serial.Close()
	require.NoError(s.t, s.d.Stop(s.ctx(), id, hypervisor.StopOptions{}))
	_, err = io.Copy(io.Discard, serial)
	require.NoError(s.t, err, "a console ends with its guest")
}

// awaitEvent reads events until one says that the guest has the state.
func (s *suite) awaitEvent(events <-chan hypervisor.Event, id string, state hypervisor.State) hypervisor.Event {
	s.t.Helper()
	ctx := s.ctx()
	for {
		select {
		case e, ok := <-events:
			require.True(s.t, ok, "the events ended")
			if e.ID == id && e.State == state {
				require.False(s.t, e.At.IsZero())
				return e
			}
		case <-ctx.Done():
			require.FailNow(s.t, "no event", "guest %s, state %s", id, state)
		}
	}
}

func (s *suite) testEvents() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	events, err := s.d.(hypervisor.Eventer).Events(ctx)
	require.NoError(s.t, err)
	second, err := s.d.(hypervisor.Eventer).Events(context.Background())
	require.NoError(s.t, err)
	id := s.running()
	require.False(s.t, s.awaitEvent(events, id, hypervisor.Running).Guest)
	s.awaitEvent(second, id, hypervisor.Running)
	if p, ok := s.d.(hypervisor.Pauser); ok && p.Pause(s.ctx(), id) == nil {
		s.awaitEvent(events, id, hypervisor.Paused)
		require.NoError(s.t, p.Unpause(s.ctx(), id))
		s.awaitEvent(events, id, hypervisor.Running)
	}
	require.NoError(s.t, s.d.Stop(s.ctx(), id, s.stopOptions()))
	require.False(s.t, s.awaitEvent(events, id, hypervisor.Stopped).Guest, "we stopped it, not the guest")
	cancel()
	s.awaitClosed(events)
	s.reopen()
	s.awaitClosed(second)
}

func (s *suite) awaitClosed(events <-chan hypervisor.Event) {
	ctx := s.ctx()
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return
			}
		case <-ctx.Done():
			require.FailNow(s.t, "the channel of events does not close")
		}
	}
}

func (s *suite) testGuestEvents() {
	for name, act := range map[hypervisor.State]func(id string){
		hypervisor.Stopped: func(id string) { s.o.PowerOff(s.t, id) },
		hypervisor.Crashed: func(id string) { s.o.Crash(s.t, id) },
	} {
		if name == hypervisor.Stopped && s.o.PowerOff == nil || name == hypervisor.Crashed && s.o.Crash == nil {
			s.t.Logf("not tested: the options cannot make a guest %s", name)
			continue
		}
		for _, reopened := range []bool{false, true} {
			id := s.running()
			if reopened {
				s.reopen()
			}
			events, err := s.d.(hypervisor.Eventer).Events(context.Background())
			require.NoError(s.t, err)
			act(id)
			require.True(s.t, s.awaitEvent(events, id, name).Guest, "the guest did it")
			require.Equal(s.t, name, s.get(id).State)
			require.NoError(s.t, s.d.Start(s.ctx(), id), "it can be started again")
			require.Equal(s.t, hypervisor.Running, s.get(id).State)
		}
	}
}

func (s *suite) testDiagnostics() {
	d, id := s.d.(hypervisor.Diagnoser), s.guest()
	_, err := d.Diagnostics(s.ctx(), id)
	require.ErrorIs(s.t, err, nephos.ErrConflict, "a stopped guest has no counters")
	require.NoError(s.t, s.d.Start(s.ctx(), id))
	values, err := d.Diagnostics(s.ctx(), id)
	require.NoError(s.t, err)
	require.Equal(s.t, "running", values["state"])
	require.NotEmpty(s.t, values["driver"])
	require.EqualValues(s.t, 1, values["num_cpus"])
	require.EqualValues(s.t, 1, values["num_disks"])
	_, err = d.Diagnostics(s.ctx(), nephos.IDs{}.New())
	require.ErrorIs(s.t, err, nephos.ErrNotFound)
}
