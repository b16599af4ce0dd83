package store

import (
	"context"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A commit can fail only for reasons a test cannot bring about, such as a full disk; a foreign key that is
// checked at commit is as good.
func TestFailedCommitIsToldToAll(t *testing.T) {
	ctx := t.Context()
	e, err := openSQLite(ctx, filepath.Join(t.TempDir(), "x.db"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	for _, statement := range []string{
		"PRAGMA foreign_keys = ON", "CREATE TABLE parent (id INTEGER PRIMARY KEY)",
		"CREATE TABLE child (parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)",
	} {
		if err := e.group.conn.do(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	insert := func(statement string) error {
		return e.write(ctx, func(ctx context.Context, q queryer) error {
			_, err := q.ExecContext(ctx, statement)
			return err
		})
	}
	const members = 8
	begun, errs := make(chan struct{}), make([]error, members)
	var wg sync.WaitGroup
	wg.Go(func() {
		errs[0] = e.write(ctx, func(ctx context.Context, q queryer) error {
			close(begun)
			for waiting := 0; waiting < members-1; {
				e.group.mu.Lock()
				waiting = len(e.group.waiting)
				e.group.mu.Unlock()
				runtime.Gosched()
			}
			_, err := q.ExecContext(ctx, "INSERT INTO child VALUES (-1)") // an orphan
			return err
		})
	})
	<-begun
	for i := 1; i < members; i++ {
		wg.Go(func() { errs[i] = insert("INSERT INTO parent VALUES (NULL)") })
	}
	wg.Wait()
	for i, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "FOREIGN KEY") {
			t.Errorf("member %d: %v", i, err)
		}
	}
	if err := insert("INSERT INTO parent VALUES (7)"); err != nil {
		t.Errorf("after the failed commit: %v", err)
	}
}
