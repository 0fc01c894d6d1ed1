// Package inspect tells what a disk image really is, and whether it is safe to
// hand to a hypervisor or to qemu-img.
//
// An image is somebody else's file. A qcow2 header may name a backing file or a
// data file on the host, a VMDK descriptor may name any path as an extent, and a
// file that is declared raw may be opened as something else by a program that
// probes. This package reads headers only, never follows what they say, and
// reports every reference that leads out of the file.
//
// Feed an [Inspector] the bytes of an upload as they stream by (it is an
// io.Writer, so io.MultiWriter or io.TeeReader do), then ask [Inspector.Finish]
// for the [Info] and [Check] whether it may be accepted under its declared disk
// format. Before each later use of a file, [File] does the same by reading a few
// kilobytes at chosen places. Both drive one machine and give the same answer.
//
//	ins := inspect.New()
//	if _, err := io.Copy(blob, io.TeeReader(body, ins)); err != nil { ... }
//	info := ins.Finish()
//	if err := inspect.Check(info, inspect.QCOW2); err != nil { ... } // nephos.ErrInvalid
//
// # How it works
//
// Each format has one parser, a function from a view of the file to a finding
// (qcow2.go, vmdk.go, ...). A parser asks the view for ranges of bytes; when a
// range has not streamed by yet, the Inspector notes the wish, keeps the range
// when it comes, and runs the parser again. The first 68 KiB and the last 1536
// bytes are always kept. All else is asked for by headers and has one bound of
// 4 MiB, whatever a hostile header asks for. A new format is a new parser in
// the list of formats.go.
package inspect
