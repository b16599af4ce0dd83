package holdfasttest_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/app"
)

// BenchmarkSessionMemory signs somebody in to a browser application b.N times, each time in a browser of its own, uses
// each session once through the gateway, and reports what one has left in the memory of the server, caches included, and
// in its database.
//
//	go test -run '^$' -bench SessionMemory -benchtime 10000x ./holdfasttest
func BenchmarkSessionMemory(b *testing.B) {
	g := prepareGate(b, "HTTP/1.1")
	serveHere(b, g.folder)
	g.signIn(b)
	g.sessions(b, 500) // so that all is there which is there once
	heap, database := heapNow(), g.database(b)
	g.sessions(b, b.N)
	b.ReportMetric((heapNow()-heap)/float64(b.N), "heap-B/session")
	b.ReportMetric((g.database(b)-database)/float64(b.N), "database-B/session")
	b.ReportMetric(0, "ns/op")
}

// sessions begins so many, and uses them.
func (g *gate) sessions(b *testing.B, n int) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range loaders {
		c := &loader{load: g.load, conns: map[string]*conn{}}
		wg.Go(func() {
			defer c.close()
			for next.Add(1) <= int64(n) {
				cookie, err := c.begin()
				if err == nil {
					err = c.order(loadGateway, c.asPage(cookie))
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// heapNow is what is in use after a collection: two, for pools keep until the second.
func heapNow() float64 {
	time.Sleep(time.Second) // for connections to end, and for what is written in the background
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// database is the size of a copy of the database, which has no holes.
func (g *gate) database(b *testing.B) float64 {
	b.Helper()
	file := filepath.Join(b.TempDir(), "copy.db")
	if err := app.Backup(b.Context(), &app.Console{Out: io.Discard, Err: io.Discard}, filepath.Join(g.folder, "holdfast.yaml"), file); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		b.Fatal(err)
	}
	return float64(info.Size())
}

// serveHere runs the server in this process until the benchmark ends.
func serveHere(b *testing.B, folder string) {
	b.Helper()
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		console := &app.Console{Out: signal{ready: ready, once: new(sync.Once)}, Err: log}
		ended <- app.Serve(ctx, console, filepath.Join(folder, "holdfast.yaml"), filepath.Join(folder, "objects"))
	}()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
		_ = log.Close() // nobody reads it
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		b.Fatal(err)
	}
}

// signal is where the server says that it is ready.
type signal struct {
	ready chan struct{}
	once  *sync.Once
}

func (s signal) Write(p []byte) (int, error) {
	if bytes.HasPrefix(p, []byte("ready: ")) {
		s.once.Do(func() { close(s.ready) })
	}
	return len(p), nil
}
