package holdfasttest_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
)

// served is a server in a process of its own, whose use of the machine is measured from outside.
type served struct {
	address string
	pid     int
	ready   time.Duration // from its start
}

// serveFloor runs a bare Go server that answers every request with the same two bytes.
func serveFloor(b *testing.B) *served {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), floorVariable+"=1", "GOMAXPROCS=1")
	return launch(b, cmd, "floor: ")
}

const floorVariable = "HOLDFAST_FLOOR_SERVER"

// beFloor is the process that serveFloor starts: TestMain becomes it where the variable says so.
func beFloor() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("floor: %s\n", l.Addr())
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok")) // a caller that has gone cannot be told
	}))
}

// serveHoldfast runs "holdfast serve" behind a hop that ends TLS, which is the driver. Its log goes to a file, as in
// production.
func serveHoldfast(b *testing.B, folder string, cores int) *served {
	b.Helper()
	file, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close() // the process has its own
	cmd := exec.Command(file, "serve", "-c", filepath.Join(folder, "holdfast.yaml"), "--apply", filepath.Join(folder, "objects"))
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(cores))
	cmd.Stderr = log
	return launch(b, cmd, "ready: ")
}

// launch starts a process and waits for the line that begins with a word. What follows is its address.
func launch(b *testing.B, cmd *exec.Cmd, word string) *served {
	b.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	spawn(b, cmd)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), word); ok {
			return &served{address: rest, pid: cmd.Process.Pid, ready: time.Since(began)}
		}
	}
	b.Fatalf("%s did not come up", cmd.Path)
	return nil
}

// spawn starts a process that ends with the benchmark.
func spawn(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill() // nothing it holds is needed any more
		_ = cmd.Wait()
	})
}

// cpu is the time that the process has computed, in user space and in the kernel, in ticks of 10 ms (proc(5)).
func (s *served) cpu(b *testing.B) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, i := range []int{11, 12} { // utime and stime
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// memory is a line of the status of the process: VmRSS for what it has now, VmHWM for the most it had. In MiB.
func (s *served) memory(b *testing.B, line string) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), line+":")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

// Names of the issuer that is loaded.
const (
	loadIssuer = "https://login.load.example"
	loadMTLS   = "https://mtls.load.example"
	loadAPI    = "https://api.load.example"
)

// writeLoad makes the folder of the server: ring, configuration, objects. It returns the address of each host.
func writeLoad(b *testing.B, folder string, objects []map[string]any) map[string]string {
	b.Helper()
	if _, err := keys.CreateRing(filepath.Join(folder, "ring.json")); err != nil {
		b.Fatal(err)
	}
	plain, mtls := freeAddress(b), freeAddress(b)
	write(b, filepath.Join(folder, "holdfast.yaml"), fmt.Sprintf(`database: {url: "sqlite:holdfast.db"}
key_ring: ring.json
listeners:
  - name: plain
    address: %s
    hosts: [login.load.example]
    tls: {mode: terminated, trusted_hops: [127.0.0.1/32]}
  - name: mtls
    address: %s
    hosts: [mtls.load.example]
    tls: {mode: terminated, trusted_hops: [127.0.0.1/32], client_certificate_header: Client-Cert}
    client_certificate: request
tenants:
  - name: main
    issuer: %s
    mtls_issuer: %s
    client_ca_files: [partners/root.pem]
`, plain, mtls, loadIssuer, loadMTLS))
	if err := os.Mkdir(filepath.Join(folder, "objects"), 0o700); err != nil {
		b.Fatal(err)
	}
	var text []byte
	for _, o := range objects {
		data, err := json.Marshal(o)
		if err != nil {
			b.Fatal(err)
		}
		text = append(append(text, "---\n"...), append(data, '\n')...)
	}
	write(b, filepath.Join(folder, "objects", "all.yaml"), string(text))
	return map[string]string{loadIssuer: plain, loadMTLS: mtls}
}

func write(b *testing.B, file, text string) {
	b.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
}

func freeAddress(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
