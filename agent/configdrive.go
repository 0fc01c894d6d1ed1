package agent

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"github.com/nephos-cloud/nephos"
)

// configDriveLabel is the volume label that guests look for.
const configDriveLabel = "config-2"

// onDrive returns the files that belong on a config drive: not EC2's listings,
// where a file and a folder may have one name, and nothing that changes later.
func onDrive(files map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(files))
	for name, data := range files {
		if strings.HasPrefix(name, "openstack/") && path.Base(name) != "password" || strings.HasPrefix(name, "ec2/") {
			out[name] = data
		}
	}
	return out
}

// writeConfigDrive writes the files, by path, as an ISO 9660 image with Rock
// Ridge and Joliet names. An image that is there already is left alone when the
// files are the same, for the guest may have it open.
func writeConfigDrive(dst string, files map[string][]byte) (err error) {
	mark := dst + ".files"
	want := fingerprint(files)
	if have, err := os.ReadFile(mark); err == nil && bytes.Equal(have, want) {
		if _, err := os.Stat(dst); err == nil {
			return nil
		}
	}
	dir := filepath.Dir(dst)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	work, err := os.MkdirTemp(dir, "iso")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	tree := filepath.Join(work, "tree")
	if err := os.Mkdir(tree, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(tree) // paths cannot leave it
	if err != nil {
		return err
	}
	defer root.Close()
	for name, data := range files {
		if !filepath.IsLocal(name) {
			return nephos.Errorf(nephos.ErrInvalid, "the metadata path %q is not local", name)
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := root.WriteFile(name, data, 0o644); err != nil {
			return err
		}
	}
	iso := filepath.Join(work, "iso")
	out, err := os.OpenFile(iso, os.O_CREATE|os.O_RDWR|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	fs, err := iso9660.Create(file.New(out, false), 0, 0, 2048, tree)
	if err != nil {
		return err
	}
	err = fs.Finalize(iso9660.FinalizeOptions{RockRidge: true, Joliet: true, VolumeIdentifier: configDriveLabel})
	if err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if err := os.Rename(iso, dst); err != nil {
		return err
	}
	return os.WriteFile(mark, want, 0o600)
}

func fingerprint(files map[string][]byte) []byte {
	names := make([]string, 0, len(files))
	for n := range files {
		names = append(names, n)
	}
	sort.Strings(names)
	var b bytes.Buffer
	for _, n := range names {
		sum := digest(n, files[n])
		b.Write(sum[:])
	}
	return b.Bytes()
}
