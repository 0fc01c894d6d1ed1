package inspect_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/nephos-cloud/nephos/image/inspect"
)

func Example() {
	upload := strings.NewReader("# Disk DescriptorFile\nversion=1\ncreateType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/shadow\" 0\n")
	ins := inspect.New()
	if _, err := io.Copy(io.Discard, io.TeeReader(upload, ins)); err != nil {
		fmt.Println(err)
	}
	info := ins.Finish()
	fmt.Println(info.Format, info.Subformat)
	fmt.Println(inspect.Check(info, inspect.Raw))
	fmt.Println(inspect.Check(info, inspect.VMDK))
	// Output:
	// vmdk monolithicflat
	// Image content does not match disk_format: declared raw, found vmdk.
	// Image declared as vmdk refused: a VMDK descriptor without data: its extents are other files.
}
