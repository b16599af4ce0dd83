package app

import (
	"bytes"
	"log/slog"
	"strings"
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
		var out writes
		log := NewLog(LogConfig{Format: "json", Level: "info"}, &out).With("node", "a").WithGroup("g")
		log.Info("request", "n", 1)
		log.Info("request", "n", 2)
		if len(out) != 0 {
			t.Fatalf("written at once: %q", out)
		}
		time.Sleep(lateness)
		synctest.Wait()
		if len(out) != 1 || strings.Count(out[0], "\n") != 2 || !strings.Contains(out[0], `"node":"a","g":{"n":1}`) {
			t.Fatalf("%q", out)
		}
		log.Info("request", "n", 3)
		log.Error("request", "n", 4)
		if len(out) != 2 || strings.Index(out[1], `"n":3`) > strings.Index(out[1], `"n":4`) {
			t.Fatalf("an error waits: %q", out)
		}
		for range 10 {
			log.Info("request", "n", strings.Repeat("x", lateMost/8))
		}
		if len(out) < 3 {
			t.Error("more is kept than there should be")
		}
		log.Log(t.Context(), slog.LevelInfo, "stopped")
		if last := out[len(out)-1]; !strings.Contains(last, "stopped") {
			t.Errorf("the last record waits: %q", last)
		}
	})
}

// writes are what was written, call by call.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}
