package file_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nephos-cloud/nephos/driver/blob"
	"github.com/nephos-cloud/nephos/driver/blob/file"
)

const killDir = "NEPHOS_TEST_KILL_DIR"

// TestMain has the test binary be the victim of TestKill when asked to.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		victim(dir)
	}
	os.Exit(m.Run())
}

const victimSize = 3<<20 + 1

// victim puts objects until it is killed, and says of each that it is done.
func victim(dir string) {
	d, err := file.Open(file.Config{Dir: dir})
	if err != nil {
		panic(err)
	}
	ones := bytes.Repeat([]byte{1}, 64<<10)
	for i := 0; ; i++ {
		id := fmt.Sprintf("o%d", i)
		if _, err := d.Put(context.Background(), id, io.LimitReader(pattern{ones}, victimSize), -1); err != nil {
			panic(err)
		}
		fmt.Println(id)
		if err := d.Copy(context.Background(), "copy", id); err != nil {
			panic(err)
		}
	}
}

// TestKill kills a process in the midst of its work: what it said is there, and
// what is there is whole.
func TestKill(t *testing.T) {
	whole := bytes.Repeat([]byte{1}, victimSize)
	for _, lines := range []int{1, 7, 20} {
		dir := t.TempDir()
		exe, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), killDir+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		var said []string
		sc := bufio.NewScanner(out)
		for len(said) < lines && sc.Scan() {
			said = append(said, sc.Text())
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		require.Len(t, said, lines)

		d := open(t, dir)
		entries, err := os.ReadDir(filepath.Join(dir, "tmp"))
		require.NoError(t, err)
		require.Empty(t, entries)
		for _, id := range said {
			_, err := d.Stat(t.Context(), id)
			require.NoError(t, err)
		}
		require.NoError(t, d.List(t.Context(), func(o blob.Object) bool {
			r, err := d.Get(t.Context(), o.ID, 0, -1)
			require.NoError(t, err)
			defer r.Close()
			got, err := io.ReadAll(r)
			require.NoError(t, err)
			require.True(t, bytes.Equal(got, whole), o.ID)
			return true
		}))
	}
}
