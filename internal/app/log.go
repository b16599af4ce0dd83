package app

import (
	"io"
	"log/slog"
	"time"
)

// NewLog makes the log of a configuration.
func NewLog(c LogConfig, w io.Writer) *slog.Logger {
	log, _ := newLog(c, w)
	return log
}

// newLog also returns what its level hangs on.
func newLog(c LogConfig, w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	_ = level.UnmarshalText([]byte(c.Level)) // validated before
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})), level
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: milliseconds})), level
}

// milliseconds writes a duration as a number whose name says its unit: JSON has bare nanoseconds otherwise.
func milliseconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	return slog.Float64(a.Key+"_ms", float64(a.Value.Duration().Round(time.Microsecond).Microseconds())/1000)
}
