package store

import (
	"context"
	"database/sql"
	"runtime"
	"slices"
	"sync"
	"time"
)

// group lets the writes of a SQLite database share commits. There is one baton. Who holds it runs its
// function, in its own goroutine and inside a savepoint, and hands the baton on; the last in line commits,
// once, for all. While it waits for the disk, the next group lines up.
type group struct {
	conn *preparing

	mu      sync.Mutex
	held    bool
	waiting []*groupWriter

	// Only the holder of the baton touches these.
	open    bool           // a transaction has begun
	members []*groupWriter // who has written in it
}

// groupWriter is one call of write.
type groupWriter struct {
	turn chan struct{} // receives the baton
	done chan error    // receives the outcome of the commit
}

const (
	maxGroup     = 128
	stuckTimeout = 15 * time.Second // longer than SQLite waits for a lock
)

func (g *group) write(ctx context.Context, run func(context.Context, queryer) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &groupWriter{make(chan struct{}, 1), make(chan error, 1)}
	if err := g.take(ctx, w); err != nil {
		return err
	}
	// From here on nothing is given up half-way: the statements are quick, and others share the transaction.
	if err := g.run(context.WithoutCancel(ctx), w, run); err != nil {
		return err
	}
	return <-w.done
}

// take waits for the baton.
func (g *group) take(ctx context.Context, w *groupWriter) error {
	g.mu.Lock()
	if !g.held {
		g.held = true
		g.mu.Unlock()
		return nil
	}
	g.waiting = append(g.waiting, w)
	g.mu.Unlock()
	timer := time.NewTimer(stuckTimeout)
	defer timer.Stop()
	select {
	case <-w.turn:
		if ctx.Err() == nil {
			return nil
		}
		g.pass(context.WithoutCancel(ctx))
		return ctx.Err()
	case <-ctx.Done():
		return g.leave(ctx, w, ctx.Err())
	case <-timer.C:
		return g.leave(ctx, w, ErrStuck)
	}
}

// leave steps out of the line. If the baton is on its way, it is passed on.
func (g *group) leave(ctx context.Context, w *groupWriter, err error) error {
	g.mu.Lock()
	i := slices.Index(g.waiting, w)
	if i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
	}
	g.mu.Unlock()
	if i < 0 {
		<-w.turn
		g.pass(context.WithoutCancel(ctx))
	}
	return err
}

// run runs one function and passes the baton on, whatever happens in it.
func (g *group) run(ctx context.Context, w *groupWriter, run func(context.Context, queryer) error) (err error) {
	nested, finished := g.open, false
	defer func() {
		if !finished || err != nil { // an error, a panic or a Goexit
			g.undo(ctx, nested)
		}
		g.pass(ctx)
	}()
	if err = g.begin(ctx, nested); err != nil {
		return err
	}
	if err = run(ctx, g.conn); err != nil {
		return err
	}
	if nested {
		if err = g.conn.do(ctx, "RELEASE member"); err != nil {
			return err
		}
	}
	g.members = append(g.members, w)
	finished = true
	return nil
}

func (g *group) begin(ctx context.Context, nested bool) error {
	if nested {
		return g.conn.do(ctx, "SAVEPOINT member")
	}
	err := g.conn.do(ctx, "BEGIN IMMEDIATE")
	g.open = err == nil
	return err
}

// undo takes back what the last function did. If that is not possible, nothing of the group remains.
func (g *group) undo(ctx context.Context, nested bool) {
	if !g.open {
		return
	}
	if nested {
		err := g.conn.do(ctx, "ROLLBACK TO member")
		if err == nil {
			err = g.conn.do(ctx, "RELEASE member")
		}
		if err == nil {
			return
		}
		g.answer(err)
	}
	_ = g.conn.do(ctx, "ROLLBACK") // fails only if SQLite has rolled back by itself
	g.open = false
}

// pass hands the baton to the next in line, after a commit if the group is complete.
func (g *group) pass(ctx context.Context) {
	if g.open && len(g.members) < maxGroup {
		if g.next(false) {
			return
		}
		runtime.Gosched() // a commit costs more than a turn: let those who are about to write get in line
		if g.next(false) {
			return
		}
	}
	var err error
	if g.open {
		if err = g.conn.do(ctx, "COMMIT"); err != nil {
			_ = g.conn.do(ctx, "ROLLBACK")
		}
		g.open = false
	}
	members := g.members
	g.members = nil
	g.next(true)
	for _, w := range members {
		w.done <- err
	}
}

// next gives the baton to the first in line. If nobody waits, the baton is put down or kept.
func (g *group) next(putDown bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		if putDown {
			g.held = false
		}
		return false
	}
	w := g.waiting[0]
	g.waiting = slices.Delete(g.waiting, 0, 1)
	w.turn <- struct{}{}
	return true
}

// answer tells every member how its commit went.
func (g *group) answer(err error) {
	for _, w := range g.members {
		w.done <- err
	}
	g.members = nil
}

// preparing is a connection that prepares each statement once. It belongs to one goroutine at a time.
type preparing struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func newPreparing(ctx context.Context, db *sql.DB) (*preparing, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &preparing{conn, map[string]*sql.Stmt{}}, nil
}

func (p *preparing) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := p.stmts[query]; s != nil {
		return s, nil
	}
	s, err := p.conn.PrepareContext(ctx, query)
	if err == nil {
		p.stmts[query] = s
	}
	return s, err
}

// ExecContext implements queryer.
func (p *preparing) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext implements queryer.
func (p *preparing) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// do runs a statement that returns nothing.
func (p *preparing) do(ctx context.Context, query string) error {
	_, err := p.ExecContext(ctx, query)
	return err
}

func (p *preparing) close() error {
	for _, s := range p.stmts {
		_ = s.Close() // the connection goes next
	}
	return p.conn.Close()
}
