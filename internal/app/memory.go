package app

import (
	"context"
	"runtime/debug"
	"time"
)

// gcPercent is how much the heap may grow between two collections. A server's live heap is small and each collection
// costs about the same, so by default they would take a fifth of the processor under load.
const gcPercent = 200

// tuneMemory sets it, unless the operator has chosen otherwise by GOGC.
func tuneMemory() {
	if before := debug.SetGCPercent(gcPercent); before != 100 {
		debug.SetGCPercent(before)
	}
}

// settle gives back what the start took and serving does not need: the memory of password hashing and of making keys.
func settle(ctx context.Context) {
	for _, wait := range []time.Duration{time.Second, 20 * time.Second} {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
			debug.FreeOSMemory()
		}
	}
}
