package main

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestTranscripts runs the binary as people do and compares what it says.
func TestTranscripts(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // the scripts run after this function
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("TAKEN", taken.Addr().String())
			if os.Getenv("HOLDFAST_TEST_POSTGRES") != "" && strings.Contains(e.WorkDir, "postgres") {
				e.Setenv("POSTGRES", storetest.EmptyURL(t, store.PostgreSQL))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"listens": listens},
		Condition: func(name string) (bool, error) {
			return name == "postgres" && os.Getenv("HOLDFAST_TEST_POSTGRES") != "", nil
		},
	})
}

// listens waits until somebody listens at a socket.
func listens(ts *testscript.TestScript, _ bool, args []string) {
	for range 400 {
		if conn, err := net.Dial("unix", ts.MkAbs(args[0])); err == nil {
			_ = conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("nobody listens at %s", args[0])
}
