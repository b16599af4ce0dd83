package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

// Clock is the one clock of a process. In the test environment it can be moved; the offset is kept in the database,
// so that all nodes share it and a restart does not change it.
type Clock struct{ offset atomic.Int64 }

const clockSetting = "clock_offset"

// Now is the time, in UTC.
func (c *Clock) Now() time.Time { return time.Now().UTC().Add(time.Duration(c.offset.Load())) }

// load takes over the offset of the database.
func (c *Clock) load(ctx context.Context, db *store.DB) error {
	var text []byte
	err := db.For("").Read(ctx, func(tx *store.Tx) (err error) {
		text, err = tx.Setting(clockSetting)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load clock offset: %w", err)
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return fmt.Errorf("read clock offset: %w", err)
	}
	c.offset.Store(n)
	return nil
}

// move sets the offset for all nodes.
func (c *Clock) move(ctx context.Context, db *store.DB, offset time.Duration) error {
	err := db.For("").Write(ctx, func(tx *store.Tx) error {
		return tx.PutSetting(clockSetting, []byte(strconv.FormatInt(int64(offset), 10)))
	})
	if err != nil {
		return fmt.Errorf("store clock offset: %w", err)
	}
	c.offset.Store(int64(offset))
	return nil
}
