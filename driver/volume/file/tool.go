package file

import (
	"context"
	"os"
	"strconv"

	"github.com/nephos-cloud/nephos/driver/internal/convert"
	"github.com/nephos-cloud/nephos/driver/internal/durable"
)

func (d *Driver) blankQCOW2(ctx context.Context, t *durable.Temp, sizeGiB int) error {
	return d.tool.Run(ctx, sizeGiB, []*os.File{t.File}, "create", "-q", "-f", convert.QCOW2, "%0", strconv.Itoa(sizeGiB)+"G")
}

func (d *Driver) resizeQCOW2(ctx context.Context, path string, sizeGiB int) error {
	if _, err := convert.ReadHeader(path); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.tool.Run(ctx, sizeGiB, []*os.File{f}, "resize", "-q", "-f", convert.QCOW2, "%0", strconv.Itoa(sizeGiB)+"G")
}
