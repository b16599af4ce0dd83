package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// hold occupies the writer until the function it returns is called.
func hold(t *testing.T, db *store.DB) (release func()) {
	t.Helper()
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		err := db.Write(t.Context(), func(*store.Tx) error {
			close(begun)
			<-end
			return nil
		})
		if err != nil {
			t.Errorf("holder: %v", err)
		}
	}()
	<-begun
	return func() {
		close(end)
		<-done
	}
}

func TestGroupMembersFailAlone(t *testing.T) {
	db := storetest.Open(t)
	release := hold(t, db)
	broken := errors.New("broken")
	var wg sync.WaitGroup
	const members = 300 // more than one group
	panicked := make([]any, members)
	for i := range members {
		wg.Go(func() {
			defer func() { panicked[i] = recover() }()
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				if err := tx.PutSetting(fmt.Sprint(i), nil); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return broken
				case 2:
					panic(i)
				}
				return nil
			})
			if i%4 == 1 != errors.Is(err, broken) || i%4 != 1 && err != nil {
				t.Errorf("member %d: %v", i, err)
			}
		})
	}
	release()
	wg.Wait()
	for i := range members {
		err := db.Read(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Setting(fmt.Sprint(i))
			return err
		})
		if good := i%4 == 0 || i%4 == 3; good && err != nil || !good && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("setting of member %d: %v", i, err)
		}
		if (panicked[i] != nil) != (i%4 == 2) {
			t.Errorf("member %d panicked with %v", i, panicked[i])
		}
	}
}

// A member is answered only when the commit it shares with the next one is over.
func TestGroupSharesACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t)
		release := hold(t, db)
		first := make(chan error, 1)
		go func() { first <- db.Write(t.Context(), func(tx *store.Tx) error { return tx.PutSetting("x", nil) }) }()
		synctest.Wait()
		second, end := make(chan struct{}), make(chan struct{})
		go func() {
			_ = db.Write(t.Context(), func(*store.Tx) error {
				close(second)
				<-end
				return nil
			})
		}()
		synctest.Wait()
		go release()
		<-second
		synctest.Wait()
		select {
		case err := <-first:
			t.Errorf("answered before the commit: %v", err)
		default:
		}
		close(end)
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestGroupMemberLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := storetest.Open(t)
		release := hold(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			left <- db.Write(ctx, func(*store.Tx) error {
				t.Error("ran for a caller that has gone")
				return nil
			})
		}()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("left: %v", err)
		}
		release()
		put(t, db, "after", "1")
	})
}

func TestWriteInsideWriteIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where 15 seconds pass at once
		db := storetest.Open(t)
		err := db.Write(t.Context(), func(*store.Tx) error {
			return db.Write(t.Context(), func(*store.Tx) error { return nil })
		})
		if !errors.Is(err, store.ErrStuck) {
			t.Errorf("error %v, want %v", err, store.ErrStuck)
		}
		put(t, db, "after", "1")
	})
}
