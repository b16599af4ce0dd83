package app

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestLogSaysTheUnitOfDurations(t *testing.T) {
	for format, want := range map[string]string{"json": `"duration_ms":1.235`, "text": "duration=1.2345ms"} {
		var out bytes.Buffer
		log := NewLog(LogConfig{Format: format, Level: "info"}, &out)
		log.Info("request", "duration", 1234500*time.Nanosecond)
		log.Debug("below the level")
		if !strings.Contains(out.String(), want) || strings.Contains(out.String(), "below") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}
