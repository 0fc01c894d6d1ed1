package placement_test

import (
	"flag"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "30") // unless the command line says otherwise
	os.Exit(m.Run())
}
