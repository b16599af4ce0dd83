package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// asked is what PostgreSQL says when it wants a transaction again.
type asked string

func (a asked) Error() string    { return string(a) }
func (a asked) SQLState() string { return string(a) }

func TestPostgreSQLRetries(t *testing.T) {
	db := open(t, storetest.PostgresURL(t))
	for _, c := range []struct {
		state asked
		fails int // how often it fails
		runs  int
		ok    bool
	}{
		{"40001", 3, 4, true},
		{"40P01", 1, 2, true},
		{"40001", 99, 10, false},
		{"23505", 1, 1, false},
	} {
		runs := 0
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			if runs++; runs > c.fails {
				return nil
			}
			if err := tx.PutSetting(fmt.Sprint("of run ", runs), nil); err != nil {
				return err
			}
			return fmt.Errorf("wrapped: %w", c.state)
		})
		if runs != c.runs || (err == nil) != c.ok {
			t.Errorf("%s failing %d times: %d runs, %v", c.state, c.fails, runs, err)
		}
	}
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Setting("of run 1")
		return err
	})
	if err == nil {
		t.Error("a run that failed has left something behind")
	}
}

// Two writers that lock two grants in opposite order: PostgreSQL ends one of them, and it runs again.
func TestPostgreSQLDeadlock(t *testing.T) {
	db := open(t, storetest.PostgresURL(t))
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		for _, id := range []string{"a", "b"} {
			if err := tx.AddGrant(store.Grant{ID: id, ExpiresAt: tx.Now.Add(time.Hour)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var both, done sync.WaitGroup
	both.Add(2)
	var runs [2]int
	for i, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		done.Go(func() {
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				runs[i]++
				if _, err := tx.TouchGrant(order[0]); err != nil {
					return err
				}
				if runs[i] == 1 {
					both.Done()
					both.Wait()
				}
				_, err := tx.TouchGrant(order[1])
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	done.Wait()
	if runs[0]+runs[1] < 3 {
		t.Errorf("runs %v: there was no deadlock", runs)
	}
}
