package inspect_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/image/inspect"
)

func TestSamplesAreAccepted(t *testing.T) {
	for name, want := range map[string]struct {
		format inspect.Format
		size   int64
	}{
		"qcow2": {inspect.QCOW2, 10 * mib}, "vmdk": {inspect.VMDK, 10 * mib}, "vmdk footer": {inspect.VMDK, 10 * mib},
		"vhd fixed": {inspect.VHD, 10 * mib}, "vhd": {inspect.VHD, 10 * mib}, "vhdx": {inspect.VHDX, 10 * mib},
		"vdi": {inspect.VDI, 10 * mib}, "ploop": {inspect.Ploop, 10 * mib}, "iso": {inspect.ISO, 40 * 2048},
		"mbr": {inspect.Raw, 4096}, "gpt": {inspect.Raw, 4096}, "empty": {inspect.Raw, 0}, "zeros": {inspect.Raw, 3 * mib},
		"text": {inspect.Raw, 2_400_000},
	} {
		info := stream(t, samples()[name], 1000)
		require.Equal(t, want.format, info.Format, name)
		require.Equal(t, want.size, info.VirtualSize, name)
		require.NoError(t, inspect.Check(info, want.format), name)
		if want.format == inspect.Raw {
			require.NoError(t, inspect.Check(info, inspect.AMI), name)
			require.NoError(t, inspect.Check(info, inspect.AKI), name)
			require.NoError(t, inspect.Check(info, inspect.ARI), name)
			refused(t, info, inspect.QCOW2, "FormatMismatch")
		} else {
			refused(t, info, inspect.Raw, "FormatMismatch")
		}
		refused(t, info, "floppy", "UnsupportedFormat")
	}
	require.Equal(t, "mbr", stream(t, sampleMBR(), 100).PartitionTable)
	require.Equal(t, "gpt", stream(t, sampleGPT(), 100).PartitionTable)
	fat := sampleMBR()
	fat[0x10], fat[0x15] = 2, 0xf8
	require.Empty(t, stream(t, fat, 100).PartitionTable)
}

// TestSpoiltHeaders changes one thing in a good file and expects the reason.
func TestSpoiltHeaders(t *testing.T) {
	const outside, malformed, unknown, unsupported = "OutsideReference", "MalformedImage", "UnknownFeature", "UnsupportedFormat"
	desc := func(from, to string) []byte { return sampleVMDK(strings.Replace(sampleDescriptor, from, to, 1)) }
	for _, tc := range []struct {
		name   string
		file   []byte
		spoil  func(b []byte)
		format inspect.Format
		reason string
	}{
		{"qcow2 version 1", sampleQCOW2(), func(b []byte) { be.PutUint32(b[4:], 1) }, inspect.QCOW2, unsupported},
		{"qcow2 backing at the end of time", sampleQCOW2(), func(b []byte) { be.PutUint64(b[8:], math.MaxUint64) }, inspect.QCOW2, outside},
		{"qcow2 backing without name", sampleQCOW2(), func(b []byte) { be.PutUint64(b[8:], 512) }, inspect.QCOW2, outside},
		{"qcow2 data file bit", sampleQCOW2(), func(b []byte) { b[79] = 4 }, inspect.QCOW2, outside},
		{"qcow2 data file name without the bit", sampleQCOW2(), func(b []byte) { copy(b[112:], "DATA\x00\x00\x00\x0b/etc/passwd") }, inspect.QCOW2, outside},
		{"qcow2 feature bit 5", sampleQCOW2(), func(b []byte) { b[79] = 32 }, inspect.QCOW2, unknown},
		{"qcow2 feature bit 63", sampleQCOW2(), func(b []byte) { b[72] = 128 }, inspect.QCOW2, unknown},
		{"qcow2 corrupt", sampleQCOW2(), func(b []byte) { b[79] = 2 }, inspect.QCOW2, malformed},
		{"qcow2 size", sampleQCOW2(), func(b []byte) { be.PutUint64(b[24:], 1<<63) }, inspect.QCOW2, malformed},
		{"qcow2 cluster bits", sampleQCOW2(), func(b []byte) { be.PutUint32(b[20:], 64) }, inspect.QCOW2, malformed},
		{"qcow2 header length", sampleQCOW2(), func(b []byte) { be.PutUint32(b[100:], math.MaxUint32) }, inspect.QCOW2, malformed},
		{"qcow2 long extension", sampleQCOW2(), func(b []byte) { copy(b[112:], "abcd\xff\xff\xff\xff") }, inspect.QCOW2, malformed},
		{"qcow2 AES", sampleQCOW2(), func(b []byte) { b[35] = 1 }, inspect.QCOW2, "EncryptedImage"},
		{"qcow2 cut", sampleQCOW2()[:90], nil, inspect.QCOW2, malformed},
		{"qcow2 magic only", sampleQCOW2()[:4], nil, inspect.QCOW2, malformed},

		{"vmdk flat extent", desc("SPARSE", "FLAT"), nil, inspect.VMDK, outside},
		{"vmdk path", desc("disk.vmdk", "/etc/passwd"), nil, inspect.VMDK, outside},
		{"vmdk Windows path", desc("disk.vmdk", `c:\secret`), nil, inspect.VMDK, outside},
		{"vmdk two extents", desc("RW 20480", "RW 1 SPARSE \"a\"\nRW 20480"), nil, inspect.VMDK, outside},
		{"vmdk no extent", desc("RW 20480", "# 20480"), nil, inspect.VMDK, outside},
		{"vmdk create type", desc("monolithicSparse", "vmfs"), nil, inspect.VMDK, unsupported},
		{"vmdk create type in a comment", desc("# Extent", `# createType="monolithicFlat"`), nil, inspect.VMDK, malformed},
		{"vmdk parent", desc("parentCID=ffffffff", "parentCID=0badcafe"), nil, inspect.VMDK, outside},
		{"vmdk parent in a comment", desc("# Extent", `# parentFileNameHint="/etc/passwd"`), nil, inspect.VMDK, outside},
		{"vmdk parent beyond the NUL", sampleVMDK(sampleDescriptor), func(b []byte) { copy(b[8000:], `parentFileNameHint="/etc/passwd"`) }, inspect.VMDK, outside},
		{"vmdk parent beyond the descriptor", sampleVMDK(sampleDescriptor), func(b []byte) {
			le.PutUint64(b[36:], 1)
			copy(b[1024:], `parentFileNameHint="/etc/passwd"`)
		}, inspect.VMDK, outside},
		{"vmdk odd line", desc("#DDB", "include /etc/passwd"), nil, inspect.VMDK, malformed},
		{"vmdk capacity 0", sampleVMDK(sampleDescriptor), func(b []byte) { le.PutUint64(b[12:], 0) }, inspect.VMDK, malformed},
		{"vmdk capacity", sampleVMDK(sampleDescriptor), func(b []byte) { le.PutUint64(b[12:], 1<<55) }, inspect.VMDK, malformed},
		{"vmdk descriptor elsewhere", sampleVMDK(sampleDescriptor), func(b []byte) { le.PutUint64(b[28:], 1<<40) }, inspect.VMDK, malformed},
		{"vmdk descriptor size", sampleVMDK(sampleDescriptor), func(b []byte) { le.PutUint64(b[36:], math.MaxUint64) }, inspect.VMDK, malformed},
		{"vmdk without descriptor", sampleVMDK(sampleDescriptor), func(b []byte) { le.PutUint64(b[36:], 0) }, inspect.VMDK, outside},
		{"vmdk other footer", sampleVMDKFooter(), func(b []byte) { le.PutUint64(b[len(b)-1024+28:], 7) }, inspect.VMDK, malformed},
		{"vmdk footer of a footer", sampleVMDKFooter(), func(b []byte) { le.PutUint64(b[len(b)-1024+56:], math.MaxUint64) }, inspect.VMDK, malformed},
		{"vmdk no footer", sampleVMDKFooter(), func(b []byte) { clear(b[len(b)-1536:]) }, inspect.VMDK, malformed},
		{"vmdk text", []byte(sampleDescriptor), nil, inspect.VMDK, outside},
		{"vmdk text with long comments", []byte(strings.Repeat("# filler\n", 50_000) + sampleDescriptor), nil, inspect.VMDK, outside},
		{"vmdk text not ASCII", []byte("# \xff\xfe\nversion=1\n" + sampleDescriptor), nil, inspect.VMDK, outside},
		{"vmdk COWD", append([]byte("COWD"), make([]byte, 600)...), nil, inspect.VMDK, unsupported},

		{"vhd differencing", sampleVHD(4), nil, inspect.VHD, outside},
		{"vhd parent name", sampleVHD(3), func(b []byte) { copy(b[512+64:], "\x00/\x00e\x00t\x00c") }, inspect.VHD, outside},
		{"vhd parent locator", sampleVHD(3), func(b []byte) { copy(b[512+576:], "W2ru") }, inspect.VHD, outside},
		{"vhd types differ", append(sampleVHD(3)[:2560], vhdFooter(4)...), nil, inspect.VHD, malformed},
		{"vhd header elsewhere", sampleVHD(3), func(b []byte) { be.PutUint64(b[16:], math.MaxUint64) }, inspect.VHD, malformed},
		{"vhd type", sampleVHD(3), func(b []byte) { b[63], b[2560+63] = 9, 9 }, inspect.VHD, unsupported},
		{"vhd fixed without its end", vhdFooter(2)[:500], nil, inspect.VHD, malformed},
		{"vhd dynamic without its start", append(make([]byte, 999), vhdFooter(3)...), nil, inspect.VHD, malformed},

		{"vhdx has parent", sampleVHDX(), func(b []byte) { b[mib+64<<10+4] = 2 }, inspect.VHDX, outside},
		{"vhdx parent locator", sampleVHDX(), func(b []byte) {
			le.PutUint16(b[mib+10:], 3)
			vhdxItem(b[mib:], 2, "\x2d\x5f\xd3\xa8\x0b\xb3\x4d\x45\xab\xf7\xd3\xd8\x48\x34\xab\x0c", 65<<10, 100)
		}, inspect.VHDX, outside},
		{"vhdx unknown required item", sampleVHDX(), func(b []byte) {
			le.PutUint16(b[mib+10:], 3)
			vhdxItem(b[mib:], 2, "0123456789abcdef", 65<<10, 100)
		}, inspect.VHDX, unknown},
		{"vhdx dirty log", sampleVHDX(), func(b []byte) { b[64<<10+8], b[64<<10+48] = 9, 1 }, inspect.VHDX, unsupported},
		{"vhdx tables differ", sampleVHDX(), func(b []byte) { b[256<<10+34] = 9 }, inspect.VHDX, malformed},
		{"vhdx metadata at the end of time", sampleVHDX(), func(b []byte) {
			le.PutUint64(b[192<<10+32:], math.MaxUint64)
			le.PutUint64(b[256<<10+32:], math.MaxUint64)
		}, inspect.VHDX, malformed},
		{"vhdx metadata behind", sampleVHDX(), func(b []byte) {
			le.PutUint64(b[192<<10+32:], 4096)
			le.PutUint64(b[256<<10+32:], 4096)
		}, inspect.VHDX, malformed},
		{"vhdx many regions", sampleVHDX(), func(b []byte) { le.PutUint32(b[192<<10+8:], math.MaxUint32) }, inspect.VHDX, malformed},
		{"vhdx item inside the table", sampleVHDX(), func(b []byte) { le.PutUint32(b[mib+32+16:], 32) }, inspect.VHDX, malformed},
		{"vhdx no size", sampleVHDX(), func(b []byte) { le.PutUint16(b[mib+10:], 1) }, inspect.VHDX, malformed},
		{"vhdx two sizes", sampleVHDX(), func(b []byte) {
			le.PutUint16(b[mib+10:], 3)
			copy(b[mib+96:], b[mib+64:mib+96])
		}, inspect.VHDX, malformed},
		{"vhdx cut", sampleVHDX()[:mib+100], nil, inspect.VHDX, malformed},
		{"vhdx greedy", greedyVHDX(), nil, inspect.VHDX, outside},

		{"vdi differencing", sampleVDI(), func(b []byte) { b[0x4c] = 4 }, inspect.VDI, outside},
		{"vdi parent id", sampleVDI(), func(b []byte) { b[0x1c0] = 4 }, inspect.VDI, outside},
		{"vdi version", sampleVDI(), func(b []byte) { b[0x44] = 4 }, inspect.VDI, unsupported},
		{"vdi cut", sampleVDI()[:100], nil, inspect.VDI, malformed},

		{"luks", sampleLUKS(), nil, inspect.LUKS, "EncryptedImage"},
		{"qed", sampleQED(), nil, inspect.QED, unsupported},
		{"ploop cut", samplePloop()[:40], nil, inspect.Ploop, malformed},

		{"vhd and qcow2", sampleVHD(2), func(b []byte) { copy(b, sampleQCOW2()) }, inspect.VHD, "AmbiguousFormat"},
		{"vdi and qcow2", sampleVDI(), func(b []byte) { copy(b, sampleQCOW2()[:40]) }, inspect.VDI, "AmbiguousFormat"},
		{"iso and vmdk", sampleISO(), func(b []byte) { copy(b, sampleVMDK(sampleDescriptor)[:32<<10]) }, inspect.ISO, "AmbiguousFormat"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := bytes.Clone(tc.file)
			if tc.spoil != nil {
				tc.spoil(b)
			}
			info := stream(t, b, len(b))
			refused(t, info, tc.format, tc.reason)
			require.Error(t, inspect.Check(info, inspect.Raw))
			file, err := inspect.File(bytes.NewReader(b), int64(len(b)))
			require.NoError(t, err)
			require.Equal(t, info, file)
		})
	}
}

// greedyVHDX asks for far more than the budget.
func greedyVHDX() []byte {
	b := sampleVHDX()
	le.PutUint16(b[mib+10:], 2047)
	for i := range uint32(2045) {
		vhdxItem(b[mib:], 2+int(i), "\x2d\x5f\xd3\xa8\x0b\xb3\x4d\x45\xab\xf7\xd3\xd8\x48\x34\xab\x0c", 1<<24+i*65536, 65536)
	}
	return b
}

func TestAllowEncrypted(t *testing.T) {
	pol := inspect.Policy{AllowEncrypted: true}
	luks := stream(t, sampleLUKS(), 512)
	require.True(t, luks.Encrypted)
	require.EqualValues(t, 4096, luks.VirtualSize)
	require.NoError(t, pol.Check(luks, inspect.LUKS))
	require.NoError(t, pol.Check(luks, inspect.Raw))
	require.Error(t, pol.Check(luks, inspect.AMI))
	b := sampleQCOW2()
	b[35] = 2
	require.NoError(t, pol.Check(stream(t, b, 512), inspect.QCOW2))
	require.Error(t, pol.Check(stream(t, b, 512), inspect.Raw))
	b[79] = 4
	require.Error(t, pol.Check(stream(t, b, 512), inspect.QCOW2))
}

// TestCutsMakeNoDifference writes each sample in pieces of many sizes.
func TestCutsMakeNoDifference(t *testing.T) {
	for name, b := range samples() {
		want := stream(t, b, mib)
		steps := []int{1, 3, 511, 512, 4096, 65535, 65537, 1 << 20, 1 << 24}
		if race && len(b) > mib {
			steps = steps[2:] // millions of writes
		}
		for _, step := range steps {
			require.Equal(t, want, stream(t, b, step), "%s in pieces of %d", name, step)
		}
		file, err := inspect.File(bytes.NewReader(b), int64(len(b)))
		require.NoError(t, err)
		require.Equal(t, want, file, name)
	}
}

func TestShrunkSamplesExpand(t *testing.T) {
	for name, b := range samples() {
		require.True(t, bytes.Equal(b, expand(shrink(b))), name)
	}
}

func TestFinish(t *testing.T) {
	ins := inspect.New()
	_, err := ins.Write(sampleQCOW2())
	require.NoError(t, err)
	require.Equal(t, ins.Finish(), ins.Finish())
	_, err = ins.Write([]byte("x"))
	require.Error(t, err)
}

// countingReader counts what is read of a file.
type countingReader struct {
	io.ReaderAt
	n int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	return c.ReaderAt.ReadAt(p, off)
}

// sparse is a file of zeros with something at the start and at the end.
type sparse struct {
	start, end []byte
	size       int64
}

func (s sparse) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(s.start)) {
		copy(p, s.start[off:])
	}
	if at := s.size - int64(len(s.end)) - off; at < int64(len(p)) {
		copy(p[max(at, 0):], s.end[max(-at, 0):])
	}
	return len(p), nil
}

// TestFileReadsLittle inspects a file of a tebibyte.
func TestFileReadsLittle(t *testing.T) {
	for _, start := range [][]byte{nil, sampleVHDX(), []byte(strings.Repeat("x", 2*mib))} {
		r := &countingReader{ReaderAt: sparse{start: start, end: vhdFooter(2), size: 1 << 40}}
		info, err := inspect.File(r, 1<<40)
		require.NoError(t, err)
		require.Contains(t, info.Formats, inspect.VHD)
		require.Less(t, r.n, int64(2*mib))
	}
}

func TestFileReportsReadErrors(t *testing.T) {
	_, err := inspect.File(bytes.NewReader(make([]byte, 100)), 200)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = inspect.File(bytes.NewReader(nil), -1)
	require.Error(t, err)
	broken := errors.New("broken disk")
	_, err = inspect.File(failing{broken}, 1<<20)
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func FuzzInspect(f *testing.F) {
	for _, b := range samples() {
		if short := shrink(b); len(short) <= 64<<10 {
			f.Add(short, uint16(777))
		}
	}
	f.Fuzz(func(t *testing.T, short []byte, step uint16) {
		b := expand(short)
		whole := stream(t, b, max(1, len(b)))
		require.Equal(t, whole, stream(t, b, int(step)+1))
		file, err := inspect.File(bytes.NewReader(b), int64(len(b)))
		require.NoError(t, err)
		require.Equal(t, whole, file)
		require.GreaterOrEqual(t, whole.VirtualSize, int64(0))
		accepted := 0
		for _, format := range []inspect.Format{
			inspect.Raw, inspect.QCOW2, inspect.VMDK, inspect.VHD, inspect.VHDX, inspect.VDI,
			inspect.ISO, inspect.Ploop, inspect.LUKS, inspect.QED,
		} {
			if inspect.Check(whole, format) == nil {
				accepted++
				require.Empty(t, whole.BackingFile)
				require.Empty(t, whole.DataFile)
			}
		}
		require.LessOrEqual(t, accepted, 1)
		for _, magic := range []string{"QFI\xfb", "KDMV", "conectix", "vhdxfile", "QED\x00", "LUKS\xba\xbe"} {
			if bytes.HasPrefix(b, []byte(magic)) {
				require.Error(t, inspect.Check(whole, inspect.Raw))
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	for name, start := range map[string][]byte{"raw": nil, "qcow2": sampleQCOW2(), "vhdx": sampleVHDX(), "vmdk": sampleVMDKFooter()} {
		b.Run(name, func(b *testing.B) {
			const size = 1 << 30
			chunk := make([]byte, 64<<10)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				ins := inspect.New()
				_, _ = ins.Write(start)
				for n := len(start); n < size; n += len(chunk) {
					_, _ = ins.Write(chunk)
				}
				_ = ins.Finish()
			}
		})
	}
}
