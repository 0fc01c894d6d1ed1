// Package linuxhost reads what drivers tell of a Linux host from /proc and
// /sys: what its processors can do, its NUMA cells, and how busy it is. Every
// function takes the root of the file system, which is os.DirFS("/") unless a
// test has a made one.
package linuxhost

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// maxFile bounds what is read of one file.
const maxFile = 1 << 20

func read(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("read /%s: %w", name, err)
	}
	return b, nil
}

func readLine(root fs.FS, name string) (string, error) {
	b, err := read(root, name)
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line), err
}

// Processor is what /proc/cpuinfo tells of the first processor.
type Processor struct {
	Vendor   string // Intel, AMD, or as the processor says
	Model    string
	Features []string // the flags, in their order
}

// ReadProcessor reads it.
func ReadProcessor(root fs.FS) (Processor, error) {
	b, err := read(root, "proc/cpuinfo")
	if err != nil {
		return Processor{}, err
	}
	return parseProcessor(b), nil
}

func parseProcessor(b []byte) Processor {
	var p Processor
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxFile)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ":")
		if !ok && p.Features != nil {
			break // the next processor follows
		}
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "vendor_id":
			p.Vendor = value
		case "model name":
			p.Model = value
		case "flags", "Features":
			p.Features = strings.Fields(value)
		}
	}
	switch p.Vendor {
	case "GenuineIntel":
		p.Vendor = "Intel"
	case "AuthenticAMD":
		p.Vendor = "AMD"
	}
	return p
}

// Threads says whether processors share cores.
func Threads(root fs.FS) bool {
	active, err := readLine(root, "sys/devices/system/cpu/smt/active")
	return err == nil && active == "1"
}
