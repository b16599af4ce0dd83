package holdfasttest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// binary is the program, built once for all tests that need processes of their own.
var binary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "holdfast-binary-")
	if err != nil {
		return "", err
	}
	built = folder
	file := filepath.Join(folder, "holdfast")
	out, err := exec.Command("go", "build", "-o", file, "../cmd/holdfast").CombinedOutput()
	if err != nil {
		return "", &buildError{string(out)}
	}
	return file, nil
})

// built is the folder of the binary, "" as long as no test has asked for it.
var built string

type buildError struct{ said string }

func (e *buildError) Error() string { return "build: " + e.said }

func TestMain(m *testing.M) {
	for variable, be := range map[string]func() error{floorVariable: beFloor, upstreamVariable: beUpstream, proxyVariable: beProxy} {
		if os.Getenv(variable) != "" {
			fmt.Fprintln(os.Stderr, be())
			os.Exit(1)
		}
	}
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built) // a temporary folder
	}
	os.Exit(code)
}

// process is one running holdfast.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	said bytes.Buffer
	done chan error
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(file, args...), done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	return p
}

// startDev starts a landscape in a process of its own and waits until it is ready.
func startDev(t *testing.T, args ...string) (*process, *holdfasttest.Server) {
	t.Helper()
	folder := args[1]
	_ = os.Remove(filepath.Join(folder, "dev.json")) // of the start before
	p := start(t, append([]string{"dev"}, args...)...)
	for range 1000 {
		if s, err := holdfasttest.Open(t, folder); err == nil {
			return p, s
		}
		select {
		case err := <-p.done:
			t.Fatalf("holdfast dev ended: %v\n%s", err, p.said.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("holdfast dev is not ready\n%s", p.said.String())
	return nil, nil
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	<-p.done
}

// stop ends it in order.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			p.t.Errorf("stopped with %v\n%s", err, p.said.String())
		}
	case <-time.After(40 * time.Second):
		p.kill()
		p.t.Error("did not stop")
	}
}

// run runs a program to its end and gives what it said.
func runProgram(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
