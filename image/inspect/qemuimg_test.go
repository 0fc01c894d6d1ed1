package inspect_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos"
	"github.com/nephos-cloud/nephos/image/inspect"
)

const mib = 1 << 20

// tool runs a program in dir, and skips the test when the machine has none.
func tool(t testing.TB, dir, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	var out []byte
	for range 50 {
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir = dir
		// For LUKS qemu-img measures the processor, which fails while it is busy.
		if out, err = cmd.CombinedOutput(); !bytes.Contains(out, []byte("Unable to get accurate CPU usage")) {
			break
		}
	}
	require.NoError(t, err, "%s %v: %s", name, args, out)
}

func inspectFile(t testing.TB, path string) inspect.Info {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	st, err := f.Stat()
	require.NoError(t, err)
	info, err := inspect.File(f, st.Size())
	require.NoError(t, err)
	return info
}

func stream(t testing.TB, b []byte, step int) inspect.Info {
	t.Helper()
	ins := inspect.New()
	for len(b) > 0 {
		n := min(step, len(b))
		if w, err := ins.Write(b[:n]); w != n || err != nil {
			t.Fatalf("wrote %d of %d bytes: %v", w, n, err)
		}
		b = b[n:]
	}
	return ins.Finish()
}

func refused(t testing.TB, info inspect.Info, declared inspect.Format, reason string) {
	t.Helper()
	err := inspect.Check(info, declared)
	require.ErrorIs(t, err, nephos.ErrInvalid, "%+v", info)
	var e *nephos.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, reason, e.Reason, e.Message)
}

// TestImagesOfQemuImg inspects what the real program writes.
func TestImagesOfQemuImg(t *testing.T) {
	secret := []string{"--object", "secret,id=s,data=abc"}
	for _, tc := range []struct {
		name   string
		args   []string // after "create"
		format inspect.Format
		sub    string
		reason string // of Check; empty: accepted
		exact  bool   // the virtual size is the asked one
	}{
		{"qcow2 1.1", []string{"-f", "qcow2", "x", "10M"}, inspect.QCOW2, "", "", true},
		{"qcow2 0.10", []string{"-f", "qcow2", "-o", "compat=0.10", "x", "10M"}, inspect.QCOW2, "", "", true},
		{"qcow2 small clusters", []string{"-f", "qcow2", "-o", "cluster_size=512", "x", "10M"}, inspect.QCOW2, "", "", true},
		{"qcow2 large clusters", []string{"-f", "qcow2", "-o", "cluster_size=2M", "x", "10M"}, inspect.QCOW2, "", "", true},
		{"qcow2 zstd, extended L2", []string{"-f", "qcow2", "-o", "compression_type=zstd,extended_l2=on", "x", "10M"}, inspect.QCOW2, "", "", true},
		{"qcow2 backing file", []string{"-f", "qcow2", "-F", "raw", "-b", "base", "x", "10M"}, inspect.QCOW2, "", "OutsideReference", true},
		{"qcow2 data file", []string{"-f", "qcow2", "-o", "data_file=data", "x", "10M"}, inspect.QCOW2, "", "OutsideReference", true},
		{"qcow2 LUKS", append(secret, "-f", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "x", "10M"), inspect.QCOW2, "", "EncryptedImage", true},
		{"qed", []string{"-f", "qed", "x", "10M"}, inspect.QED, "", "UnsupportedFormat", true},
		{"qed backing file", []string{"-f", "qed", "-F", "raw", "-b", "base", "x", "10M"}, inspect.QED, "", "UnsupportedFormat", true},
		{"luks", append(secret, "-f", "luks", "-o", "key-secret=s,iter-time=10", "x", "10M"), inspect.LUKS, "1", "EncryptedImage", true},
		{"ploop", []string{"-f", "parallels", "x", "10M"}, inspect.Ploop, "", "", true},
		{"vdi", []string{"-f", "vdi", "x", "10M"}, inspect.VDI, "dynamic", "", true},
		{"vdi static", []string{"-f", "vdi", "-o", "static=on", "x", "10M"}, inspect.VDI, "fixed", "", true},
		{"vhd dynamic", []string{"-f", "vpc", "x", "10M"}, inspect.VHD, "dynamic", "", false},
		{"vhd fixed", []string{"-f", "vpc", "-o", "subformat=fixed,force_size=on", "x", "10M"}, inspect.VHD, "fixed", "", true},
		{"vhdx dynamic", []string{"-f", "vhdx", "x", "10M"}, inspect.VHDX, "dynamic", "", true},
		{"vhdx fixed", []string{"-f", "vhdx", "-o", "subformat=fixed", "x", "10M"}, inspect.VHDX, "fixed", "", true},
		{"vmdk", []string{"-f", "vmdk", "x", "10M"}, inspect.VMDK, "monolithicsparse", "", true},
		{"vmdk stream", []string{"-f", "vmdk", "-o", "subformat=streamOptimized", "x", "10M"}, inspect.VMDK, "streamoptimized", "", true},
		{"vmdk flat", []string{"-f", "vmdk", "-o", "subformat=monolithicFlat", "x", "10M"}, inspect.VMDK, "monolithicflat", "OutsideReference", true},
		{"vmdk split sparse", []string{"-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "x", "10M"}, inspect.VMDK, "twogbmaxextentsparse", "OutsideReference", true},
		{"vmdk split flat", []string{"-f", "vmdk", "-o", "subformat=twoGbMaxExtentFlat", "x", "10M"}, inspect.VMDK, "twogbmaxextentflat", "OutsideReference", true},
		{"vmdk backing file", []string{"-f", "vmdk", "-F", "vmdk", "-b", "base.vmdk", "x"}, inspect.VMDK, "monolithicsparse", "OutsideReference", true},
		{"raw", []string{"-f", "raw", "x", "10M"}, inspect.Raw, "", "", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if (testing.Short() || race) && slices.Contains(tc.args, "secret,id=s,data=abc") {
				t.Skip("qemu-img takes seconds to derive a key: the test does it without -short and the race detector")
			}
			dir := t.TempDir()
			tool(t, dir, "qemu-img", "create", "-f", "raw", "base", "10M")
			tool(t, dir, "qemu-img", "create", "-f", "vmdk", "base.vmdk", "10M")
			tool(t, dir, "qemu-img", append([]string{"create"}, tc.args...)...)
			path := filepath.Join(dir, "x")
			info := inspectFile(t, path)
			require.Equal(t, tc.format, info.Format, "%+v", info)
			require.Equal(t, tc.sub, info.Subformat)
			if tc.exact {
				require.EqualValues(t, 10*mib, info.VirtualSize)
			} else {
				require.InDelta(t, 10*mib, info.VirtualSize, mib)
			}
			if tc.reason != "" {
				refused(t, info, tc.format, tc.reason)
			} else {
				require.NoError(t, inspect.Check(info, tc.format), "%+v", info)
			}
			if tc.format != inspect.Raw {
				refused(t, info, inspect.Raw, "FormatMismatch")
				refused(t, info, inspect.AMI, "FormatMismatch")
			}
			refused(t, info, inspect.ISO, "FormatMismatch")

			b, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, info, stream(t, b, 64<<10), "streamed")
		})
	}
}

// TestNamesOfOtherFiles proves that the names are read, not only their presence.
func TestNamesOfOtherFiles(t *testing.T) {
	dir := t.TempDir()
	tool(t, dir, "qemu-img", "create", "-f", "raw", "base", "1M")
	tool(t, dir, "qemu-img", "create", "-f", "vmdk", "base.vmdk", "1M")

	tool(t, dir, "qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", "./base", "a")
	info := inspectFile(t, filepath.Join(dir, "a"))
	require.Equal(t, "./base", info.BackingFile)
	require.Equal(t, "raw", info.BackingFormat)
	require.Equal(t, "1.1", info.Compat)

	tool(t, dir, "qemu-img", "create", "-f", "qcow2", "-o", "data_file=data,data_file_raw=on", "b", "1M")
	require.Equal(t, "data", inspectFile(t, filepath.Join(dir, "b")).DataFile)

	tool(t, dir, "qemu-img", "create", "-f", "vmdk", "-F", "vmdk", "-b", "base.vmdk", "c")
	require.Equal(t, "base.vmdk", inspectFile(t, filepath.Join(dir, "c")).BackingFile)

	tool(t, dir, "qemu-img", "create", "-f", "qed", "-F", "raw", "-b", "base", "d")
	require.Equal(t, "base", inspectFile(t, filepath.Join(dir, "d")).BackingFile)
}

// TestConvertedImages inspects images with data in them.
func TestConvertedImages(t *testing.T) {
	dir := t.TempDir()
	raw := make([]byte, 3*mib)
	for i := range raw[:mib] {
		raw[i] = byte(i * i >> 7)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "raw"), raw, 0o600))
	for _, tc := range []struct {
		format inspect.Format
		args   []string
	}{
		{inspect.QCOW2, []string{"-O", "qcow2"}},
		{inspect.QCOW2, []string{"-c", "-O", "qcow2"}},
		{inspect.VMDK, []string{"-O", "vmdk"}},
		{inspect.VMDK, []string{"-O", "vmdk", "-o", "subformat=streamOptimized"}},
		{inspect.VHD, []string{"-O", "vpc"}},
		{inspect.VHD, []string{"-O", "vpc", "-o", "subformat=fixed"}},
		{inspect.VHDX, []string{"-O", "vhdx"}},
		{inspect.VDI, []string{"-O", "vdi"}},
		{inspect.Ploop, []string{"-O", "parallels"}},
	} {
		args := append([]string{"convert", "-f", "raw"}, tc.args...)
		tool(t, dir, "qemu-img", append(args, "raw", "x")...)
		info := inspectFile(t, filepath.Join(dir, "x"))
		require.NoError(t, inspect.Check(info, tc.format), "%v: %+v", tc.args, info)
		require.InDelta(t, 3*mib, info.VirtualSize, mib, "%v", tc.args)
		require.NoError(t, os.Remove(filepath.Join(dir, "x")))
	}
}

func TestISO(t *testing.T) {
	for _, tc := range []struct {
		tool string
		args []string
	}{
		{"genisoimage", []string{"-quiet", "-o", "x.iso", "-J", "-r", "tree"}},
		{"genisoimage", []string{"-quiet", "-udf", "-o", "x.iso", "tree"}},
		{"xorriso", []string{"-as", "mkisofs", "-quiet", "-o", "x.iso", "tree"}},
	} {
		t.Run(tc.tool, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "tree"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "tree", "f"), bytes.Repeat([]byte("x"), 100_000), 0o600))
			tool(t, dir, tc.tool, tc.args...)
			b, err := os.ReadFile(filepath.Join(dir, "x.iso"))
			require.NoError(t, err)
			info := stream(t, b, 4096)
			require.NoError(t, inspect.Check(info, inspect.ISO))
			require.NotZero(t, info.VirtualSize)
			require.LessOrEqual(t, info.VirtualSize, info.Size)
			refused(t, info, inspect.Raw, "FormatMismatch")

			// A bootable hybrid carries a partition table in front.
			copy(b[510:], "\x55\xaa")
			b[446], b[450] = 0x80, 0x17
			info = stream(t, b, 4096)
			require.NoError(t, inspect.Check(info, inspect.ISO))
			require.Equal(t, "mbr", info.PartitionTable)

			// The same area may hide another image's header.
			copy(b, "QFI\xfb\x00\x00\x00\x03")
			refused(t, stream(t, b, 4096), inspect.ISO, "AmbiguousFormat")
			refused(t, stream(t, b, 4096), inspect.QCOW2, "AmbiguousFormat")
		})
	}
}
