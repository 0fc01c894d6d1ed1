package inspect_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
)

var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

// The functions below make the smallest files that pass, for tests to spoil.

func sampleQCOW2() []byte {
	b := make([]byte, 1024)
	copy(b, "QFI\xfb")
	be.PutUint32(b[4:], 3)
	be.PutUint32(b[20:], 16)
	be.PutUint64(b[24:], 10*mib)
	be.PutUint32(b[100:], 112)
	return b
}

const sampleDescriptor = `# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="monolithicSparse"

# Extent description
RW 20480 SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "ide"
`

func sampleVMDK(descriptor string) []byte {
	b := make([]byte, 64<<10)
	copy(b, "KDMV")
	le.PutUint32(b[4:], 1)
	le.PutUint64(b[12:], 20480)
	le.PutUint64(b[20:], 128)
	le.PutUint64(b[28:], 1)
	le.PutUint64(b[36:], 20)
	le.PutUint64(b[56:], 21)
	copy(b[512:512+20*512], descriptor)
	return b
}

// sampleVMDKFooter is a VMDK whose footer knows the grain directory.
func sampleVMDKFooter() []byte {
	b := sampleVMDK(strings.Replace(sampleDescriptor, "monolithicSparse", "streamOptimized", 1))
	footer := append([]byte(nil), b[:512]...)
	le.PutUint64(b[56:], math.MaxUint64)
	end := b[len(b)-1536:]
	le.PutUint64(end, 1)
	le.PutUint32(end[12:], 3)
	copy(end[512:], footer)
	return b
}

func vhdFooter(kind uint32) []byte {
	b := make([]byte, 512)
	copy(b, "conectix")
	be.PutUint32(b[12:], 0x10000)
	be.PutUint64(b[16:], 512)
	be.PutUint64(b[40:], 8*mib)
	be.PutUint64(b[48:], 10*mib)
	be.PutUint32(b[60:], kind)
	var sum uint32
	for _, c := range b {
		sum += uint32(c)
	}
	be.PutUint32(b[64:], ^sum)
	return b
}

func sampleVHD(kind uint32) []byte {
	if kind == 2 {
		return append(make([]byte, 4096), vhdFooter(2)...)
	}
	b := append(vhdFooter(kind), make([]byte, 2048)...)
	copy(b[512:], "cxsparse")
	return append(b, vhdFooter(kind)...)
}

func sampleVHDX() []byte {
	b := make([]byte, 2*mib)
	copy(b, "vhdxfile")
	copy(b[64<<10:], "head")
	copy(b[128<<10:], "head")
	for _, at := range []int{192 << 10, 256 << 10} {
		t := b[at:]
		copy(t, "regi")
		le.PutUint32(t[8:], 1)
		copy(t[16:], "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e")
		le.PutUint64(t[32:], mib)
		le.PutUint32(t[40:], mib)
		le.PutUint32(t[44:], 1)
	}
	m := b[mib:]
	copy(m, "metadata")
	le.PutUint16(m[10:], 2)
	vhdxItem(m, 0, "\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b", 64<<10, 8)
	vhdxItem(m, 1, "\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8", 64<<10+8, 8)
	le.PutUint32(m[64<<10:], 8*mib)
	le.PutUint64(m[64<<10+8:], 10*mib)
	return b
}

func vhdxItem(m []byte, i int, id string, off, n uint32) {
	e := m[32+32*i:]
	copy(e, id)
	le.PutUint32(e[16:], off)
	le.PutUint32(e[20:], n)
	le.PutUint32(e[24:], 4)
}

func sampleVDI() []byte {
	b := make([]byte, 1024)
	copy(b, "<<< QEMU VM Virtual Disk Image >>>\n")
	le.PutUint32(b[0x40:], 0xbeda107f)
	le.PutUint32(b[0x44:], 0x00010001)
	le.PutUint32(b[0x4c:], 1)
	le.PutUint64(b[0x170:], 10*mib)
	return b
}

func sampleLUKS() []byte {
	b := make([]byte, 8192)
	copy(b, "LUKS\xba\xbe\x00\x01aes")
	be.PutUint32(b[104:], 8)
	return b
}

func sampleQED() []byte {
	b := make([]byte, 512)
	copy(b, "QED\x00")
	le.PutUint64(b[48:], 10*mib)
	return b
}

func samplePloop() []byte {
	b := make([]byte, 512)
	copy(b, "WithouFreSpacExt")
	le.PutUint64(b[36:], 20480)
	return b
}

func sampleISO() []byte {
	b := make([]byte, 80<<10)
	copy(b[32<<10:], "\x01CD001\x01")
	le.PutUint32(b[32<<10+80:], 40)
	le.PutUint16(b[32<<10+128:], 2048)
	return b
}

func sampleMBR() []byte {
	b := make([]byte, 4096)
	b[446], b[450], b[454], b[458] = 0x80, 0x83, 1, 7
	b[510], b[511] = 0x55, 0xaa
	return b
}

func sampleGPT() []byte {
	b := sampleMBR()
	b[446], b[450] = 0, 0xee
	copy(b[512:], "EFI PART")
	return b
}

// samples is one of each, for properties that hold of all.
func samples() map[string][]byte {
	return map[string][]byte{
		"qcow2": sampleQCOW2(), "vmdk": sampleVMDK(sampleDescriptor), "vmdk footer": sampleVMDKFooter(),
		"vmdk text": []byte(sampleDescriptor), "vhd fixed": sampleVHD(2), "vhd": sampleVHD(3),
		"vhd parent": sampleVHD(4), "vhdx": sampleVHDX(), "vdi": sampleVDI(), "luks": sampleLUKS(),
		"qed": sampleQED(), "ploop": samplePloop(), "iso": sampleISO(), "mbr": sampleMBR(), "gpt": sampleGPT(),
		"empty": nil, "text": []byte(strings.Repeat("hello world\n", 200_000)), "zeros": make([]byte, 3*mib),
	}
}

// shrink packs a file as runs of zeros and pieces of data (two lengths, then
// the data), so that the fuzzer's mutations seldom hit nothing. [expand] undoes
// it, for any input.
func shrink(b []byte) []byte {
	var out []byte
	zeros := 0
	for i := 0; i < len(b); {
		if i+16 <= len(b) && bytes.Equal(b[i:i+16], make([]byte, 16)) {
			zeros, i = zeros+16, i+16
			continue
		}
		end := i
		for end < len(b) && end-i < math.MaxUint16 && (end+16 > len(b) || !bytes.Equal(b[end:end+16], make([]byte, 16))) {
			end++
		}
		out = le.AppendUint32(out, uint32(zeros))
		out = le.AppendUint16(out, uint16(end-i))
		out = append(out, b[i:end]...)
		zeros, i = 0, end
	}
	return le.AppendUint16(le.AppendUint32(out, uint32(zeros)), 0)
}

func expand(short []byte) []byte {
	const limit = 3 * mib
	var out []byte
	for len(short) >= 6 && len(out) < limit {
		zeros, n := int(le.Uint32(short)), int(le.Uint16(short[4:]))
		short = short[6:]
		n = min(n, len(short))
		out = append(out, make([]byte, min(zeros, limit-len(out)))...)
		out = append(out, short[:n]...)
		short = short[n:]
	}
	return out
}
