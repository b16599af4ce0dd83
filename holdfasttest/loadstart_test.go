package holdfasttest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
)

// idle is how long after its start a server counts as idle.
const idle = 30 * time.Second

// BenchmarkStart measures how long a server takes until it is ready, what it computes for that, and the memory it has
// when nobody has asked it anything for half a minute, on as many cores as there are.
//
//	go test -run '^$' -bench Start -benchtime 1x ./holdfasttest
func BenchmarkStart(b *testing.B) {
	b.Run("dev from nothing", func(b *testing.B) { settle(b, launchDev(b, b.TempDir())) })
	b.Run("dev again", func(b *testing.B) {
		folder := b.TempDir()
		stop(b, launchDev(b, folder))
		settle(b, launchDev(b, folder))
	})
	b.Run("serve", func(b *testing.B) {
		l := newLoad(b, 2)
		stop(b, l.served)
		settle(b, serveHoldfast(b, l.folder, 2))
	})
}

// settle reports what a server took to start, and what it keeps.
func settle(b *testing.B, s *served) {
	b.Helper()
	b.ReportMetric(float64(s.ready.Milliseconds()), "ms-to-ready")
	b.ReportMetric(float64(s.cpu(b).Milliseconds()), "cpu-ms")
	time.Sleep(idle)
	b.ReportMetric(s.memory(b, "VmRSS"), "MiB")
	b.ReportMetric(s.memory(b, "RssFile"), "MiB-of-file")
	b.ReportMetric(s.memory(b, "VmHWM"), "most-MiB")
	b.ReportMetric(0, "ns/op")
}

// launchDev starts a landscape and waits for its contract.
func launchDev(b *testing.B, folder string) *served {
	b.Helper()
	file, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	contract := filepath.Join(folder, "dev.json")
	_ = os.Remove(contract) // of the start before
	args := []string{"dev", "--data", folder}
	if _, err := os.Stat(filepath.Join(folder, "landscape.json")); err != nil {
		args = append(args, "--base-port", strconv.Itoa(holdfasttest.FreePorts(b)))
	}
	cmd := exec.Command(file, args...)
	began := time.Now()
	spawn(b, cmd)
	for time.Since(began) < time.Minute {
		if _, err := os.Stat(contract); err == nil {
			return &served{pid: cmd.Process.Pid, ready: time.Since(began)}
		}
		time.Sleep(time.Millisecond)
	}
	b.Fatal("the landscape did not come up")
	return nil
}

// stop ends a server for another to take its place.
func stop(b *testing.B, s *served) {
	b.Helper()
	p, err := os.FindProcess(s.pid)
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		b.Fatal(err)
	}
	for range 1000 {
		if _, err := os.Stat("/proc/" + strconv.Itoa(s.pid) + "/exe"); err != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	b.Fatal("the server does not end")
}
