package inspect

import (
	"encoding/binary"
	"fmt"
)

// parseISO knows ISO 9660 and UDF by the volume descriptors from sector 16 on;
// see ECMA-119 and ECMA-167.
func parseISO(v *view, found *finding) error {
	const sector = 2048
	area, err := v.upTo(16*sector, 8*sector)
	if err != nil || len(area) < 6 {
		return err
	}
	switch string(area[1:6]) {
	case "CD001", "BEA01", "NSR02", "NSR03":
		found.match = true
	default:
		return nil
	}
	for ; len(area) >= sector; area = area[sector:] {
		d := area[:sector]
		if string(d[1:6]) == "CD001" && d[0] == 1 {
			blocks := binary.LittleEndian.Uint32(d[80:])
			found.setSize(uint64(blocks), uint64(binary.LittleEndian.Uint16(d[128:])))
			return nil
		}
	}
	return nil
}

// partitionTable tells "gpt" or "mbr" from the start of a disk, with notes on
// what is odd about the table. A FAT file system has the same signature and is
// told apart by its parameter block.
func partitionTable(head []byte) (string, []string) {
	if len(head) < 512 || head[510] != 0x55 || head[511] != 0xaa {
		return "", nil
	}
	if head[0x10] == 2 && head[0x15] == 0xf8 {
		return "", nil
	}
	kind := "mbr"
	var notes []string
	used := 0
	for i := range 4 {
		e := head[446+16*i:][:16]
		if e[0] != 0 && e[0] != 0x80 {
			notes = append(notes, fmt.Sprintf("partition %d has an invalid boot flag", i+1))
		}
		if e[4] != 0 {
			used++
		}
		if e[4] == 0xee {
			kind = "gpt"
			if binary.LittleEndian.Uint32(e[8:]) != 1 {
				notes = append(notes, "the protective partition does not begin at sector 1")
			}
		}
	}
	if used == 0 {
		notes = append(notes, "the partition table is empty")
	}
	return kind, notes
}
