package app

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogKeepsToItsLevelAndFormat(t *testing.T) {
	for format, want := range map[string]string{"json": `"msg":"started"`, "text": "msg=started"} {
		var out bytes.Buffer
		log := NewLog(LogConfig{Format: format, Level: "info"}, &out)
		log.Info("started")
		log.Debug("below the level")
		if !strings.Contains(out.String(), want) || strings.Contains(out.String(), "below") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}

// Records of requests are written together, soon, in their order, and before anything that somebody waits for.
func TestLogWritesRequestsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(writes)
		log := NewLog(LogConfig{Format: "json", Level: "info"}, out).With("node", "a").WithGroup("g")
		log.Info("request", "n", 1)
		log.Info("request", "n", 2)
		if got := out.so(); len(got) != 0 {
			t.Fatalf("written at once: %q", got)
		}
		time.Sleep(lateness)
		synctest.Wait()
		if got := out.so(); len(got) != 1 || strings.Count(got[0], "\n") != 2 || !strings.Contains(got[0], `"node":"a","g":{"n":1}`) {
			t.Fatalf("%q", got)
		}
		log.Info("request", "n", 3)
		log.Error("request", "n", 4)
		if got := out.so(); len(got) != 2 || strings.Index(got[1], `"n":3`) > strings.Index(got[1], `"n":4`) {
			t.Fatalf("an error waits: %q", got)
		}
		for range 10 {
			log.Info("request", "n", strings.Repeat("x", lateMost/8))
		}
		if len(out.so()) < 3 {
			t.Error("more is kept than there should be")
		}
		log.Log(t.Context(), slog.LevelInfo, "stopped")
		if got := out.so(); !strings.Contains(got[len(got)-1], "stopped") {
			t.Errorf("the last record waits: %q", got)
		}
	})
}

// writes are what was written, call by call.
type writes struct {
	mu  sync.Mutex
	all []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, string(p))
	return len(p), nil
}

func (w *writes) so() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.all)
}
