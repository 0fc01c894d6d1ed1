package plugin

import (
	"fmt"
	"os"
)

// socketName names the very socket that the file refers to.
func socketName(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
