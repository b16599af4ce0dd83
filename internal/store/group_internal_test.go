package store

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// bareGroup is a group on a database with two tables, of which one refers to the other at commit only.
func bareGroup(t *testing.T) *sqliteEngine {
	e, err := openSQLite(t.Context(), filepath.Join(t.TempDir(), "x.db"), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.close() })
	for _, statement := range []string{
		"PRAGMA foreign_keys = ON", "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
		"CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
	} {
		if err := e.group.conn.do(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

func (e *sqliteEngine) run(ctx context.Context, statement string) error {
	return e.write(ctx, func(ctx context.Context, q queryer) error {
		_, err := q.ExecContext(ctx, statement)
		return err
	})
}

const members = 8

// inOneGroup runs first and, in the same group, the statement for each other member. It returns all outcomes.
func inOneGroup(t *testing.T, e *sqliteEngine, first string, others func(i int) string) []error {
	begun, errs := make(chan struct{}), make([]error, members)
	var wg sync.WaitGroup
	wg.Go(func() {
		errs[0] = e.write(t.Context(), func(ctx context.Context, q queryer) error {
			close(begun)
			for waiting := 0; waiting < members-1; {
				e.group.mu.Lock()
				waiting = len(e.group.waiting)
				e.group.mu.Unlock()
				runtime.Gosched()
			}
			_, err := q.ExecContext(ctx, first)
			return err
		})
	})
	<-begun
	for i := 1; i < members; i++ {
		wg.Go(func() { errs[i] = e.run(t.Context(), others(i)) })
	}
	wg.Wait()
	return errs
}

// A commit fails for reasons a test cannot bring about, such as a full disk; a foreign key that is checked at
// commit is as good.
func TestFailedCommitIsToldToAll(t *testing.T) {
	e := bareGroup(t)
	orphan := "INSERT INTO child VALUES (-1)"
	for i, err := range inOneGroup(t, e, orphan, func(int) string { return "INSERT INTO parent VALUES (NULL)" }) {
		if err == nil || !strings.Contains(err.Error(), "FOREIGN KEY") {
			t.Errorf("member %d: %v", i, err)
		}
	}
	if err := e.run(t.Context(), "INSERT INTO parent VALUES (7)"); err != nil {
		t.Errorf("after the failed commit: %v", err)
	}
}

// SQLite rolls everything back by itself when the disk is full; a member that does so is as good. Whoever
// wrote before it must not be told that all went well.
func TestLostGroupIsToldToAll(t *testing.T) {
	e := bareGroup(t)
	good := 0
	errs := inOneGroup(t, e, "INSERT INTO parent VALUES (1)", func(i int) string {
		if i == members/2 {
			return "ROLLBACK"
		}
		return fmt.Sprintf("INSERT INTO parent VALUES (%d)", i+1)
	})
	for _, err := range errs {
		if err == nil {
			good++
		}
	}
	var rows int
	err := e.read(t.Context(), func(ctx context.Context, q queryer) (err error) {
		found, err := all(&Tx{ctx: ctx, q: q}, scanInt, "SELECT id FROM parent")
		rows = len(found)
		return err
	})
	if err != nil || rows != good || errs[0] == nil {
		t.Errorf("%d members were told that all went well, %d rows are there, %v; outcomes %v", good, rows, err, errs)
	}
}
