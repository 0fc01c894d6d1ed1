//go:build !linux

package roots

import "os"

// openBeneath opens rest below root.
func openBeneath(root, rest string) (*os.File, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Open(rest)
}
