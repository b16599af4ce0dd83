package app

import (
	"context"
	"io"
	"log/slog"
	"sync"
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
	// Without ReplaceAttr, which would take each record off the fast path.
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options)), level
	}
	late := &lateWriter{to: w}
	return slog.New(unhurried{slog.NewJSONHandler(late, options), late}), level
}

// unhurried writes the records of requests that went well a little later, many at once: a system call for each costs as
// much as making it. Any other record is written at once, after those before it.
type unhurried struct {
	slog.Handler
	late *lateWriter
}

// Handle implements slog.Handler.
func (h unhurried) Handle(ctx context.Context, r slog.Record) error {
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	if r.Level <= slog.LevelInfo && r.Message == "request" {
		return nil
	}
	return h.late.flush()
}

// WithAttrs implements slog.Handler.
func (h unhurried) WithAttrs(attrs []slog.Attr) slog.Handler {
	return unhurried{h.Handler.WithAttrs(attrs), h.late}
}

// WithGroup implements slog.Handler.
func (h unhurried) WithGroup(name string) slog.Handler {
	return unhurried{h.Handler.WithGroup(name), h.late}
}

const (
	lateness = 100 * time.Millisecond
	lateMost = 32 << 10 // bytes
)

// lateWriter keeps what is written for at most lateness.
type lateWriter struct {
	to io.Writer

	mu      sync.Mutex
	kept    []byte
	waiting bool // somebody will flush
}

func (w *lateWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, p...)
	if len(w.kept) >= lateMost {
		return len(p), w.write()
	}
	if !w.waiting {
		w.waiting = true
		time.AfterFunc(lateness, func() { _ = w.flush() }) // where a log cannot be written, nothing can be said about it either
	}
	return len(p), nil
}

func (w *lateWriter) flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting = false
	return w.write()
}

func (w *lateWriter) write() error {
	if len(w.kept) == 0 {
		return nil
	}
	_, err := w.to.Write(w.kept)
	w.kept = w.kept[:0]
	return err
}
