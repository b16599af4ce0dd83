package app

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/feed"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// apart is config with sessions in another database.
func apart(url string) string {
	return strings.Replace(config, "key_ring:", fmt.Sprintf("sessions_database: {url: %q}\nkey_ring:", url), 1)
}

// said is what a command prints.
func said(t *testing.T, command func(*Console) error) (string, error) {
	t.Helper()
	out := new(bytes.Buffer)
	err := command(&Console{Out: out, Err: out})
	return out.String(), err
}

// keep puts a session that is over by the given time into the database of sessions.
func (r *running) keep(id string, until time.Time) {
	r.t.Helper()
	v := store.AppSession{ID: id, IdleUntil: until, ExpiresAt: until, Sealed: r.app.Ring.Seal(keys.PurposeSeal, nil, []byte("tokens"))}
	if err := r.app.Sessions.For("main").Write(r.t.Context(), func(tx *store.Tx) error { return tx.AddAppSession(v) }); err != nil {
		r.t.Fatal(err)
	}
}

// kept says where a session is.
func (r *running) kept(id string) (where string) {
	r.t.Helper()
	for name, db := range map[string]*store.DB{"main": r.app.DB, "sessions": r.app.Sessions} {
		err := db.For("main").Read(r.t.Context(), func(tx *store.Tx) error { _, err := tx.AppSession(id); return err })
		if err == nil {
			where += name
		}
	}
	return where
}

func TestSessionsInAnotherDatabase(t *testing.T) {
	r := start(t, apart("sqlite:s.db"))
	if r.app.Sessions == r.app.DB || r.app.current.Load().tenants[0].appSessions().DB.Tenant() != "main" {
		t.Fatal("there is one database")
	}
	r.keep("gone", time.Now().Add(-time.Hour))
	r.keep("here", time.Now().Add(time.Hour))
	if at := r.kept("here"); at != "sessions" {
		t.Errorf("it is in %s", at)
	}
	if err := r.app.purge(t.Context()); err != nil || r.kept("gone") != "" || r.kept("here") == "" {
		t.Errorf("purge: %v", err)
	}
	err := r.app.Sessions.For("main").Write(t.Context(), func(tx *store.Tx) error { _, err := tx.EndAppSession("here"); return err })
	if err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); !r.app.feed.Revoked("main", feed.Subject{Session: "here"}); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 5*time.Second {
			t.Fatal("the end of the session is not heard")
		}
	}
	if err := r.app.ready(t.Context()); err != nil {
		t.Error(err)
	}
	if err := r.app.Sessions.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.app.ready(t.Context()); err == nil {
		t.Error("ready without its sessions")
	}
	if err := r.app.purge(t.Context()); err == nil {
		t.Error("purged what does not answer")
	}
}

func TestOneDatabaseIsTheDefault(t *testing.T) {
	if r := start(t, config); r.app.Sessions != r.app.DB || len(r.app.databases()) != 1 {
		t.Error("there are two databases")
	}
}

func TestSessionsDatabaseNeedsARestart(t *testing.T) {
	r := start(t, config)
	r.write("holdfast.yaml", apart("sqlite:s.db"))
	r.hangUp()
	r.log.wait(t, "restart needed", "setting", "sessions_database")
}

// TestRingOfTwoDatabases changes the key of the ring, which both databases need.
func TestRingOfTwoDatabases(t *testing.T) {
	r := start(t, apart("sqlite:s.db"))
	old := r.app.Ring.ActiveID()
	r.keep("here", time.Now().Add(time.Hour))
	added, err := keys.AddKey(r.path("ring.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := said(t, func(c *Console) error { return RingRewrap(t.Context(), c, r.file) })
	if err != nil || !strings.Contains(text, added) {
		t.Fatalf("%s, %v", text, err)
	}
	drop := func() error {
		_, err := said(t, func(c *Console) error { return RingDrop(t.Context(), c, r.file, old) })
		return err
	}
	if err := drop(); err == nil || !strings.Contains(err.Error(), "1 sessions of applications") {
		t.Errorf("dropped what a session is sealed under: %v", err)
	}
	if err := r.app.Sessions.For("main").Write(t.Context(), func(tx *store.Tx) error { _, err := tx.EndAppSession("here"); return err }); err != nil {
		t.Fatal(err)
	}
	if err := drop(); err != nil { // the canaries of both are sealed anew
		t.Error(err)
	}
}

func TestSessionsOfAnotherRing(t *testing.T) {
	url := storetest.SQLiteURL(t)
	db, err := store.Open(t.Context(), url, store.Options{})
	if err == nil {
		err = keys.NewRing().CheckCanary(t.Context(), db)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // nothing is written any more
	r := start(t, config)
	r.write("holdfast.yaml", apart(url))
	if _, err := said(t, func(c *Console) error { return Check(t.Context(), c, r.file) }); err == nil || !strings.Contains(err.Error(), "key ring") {
		t.Errorf("got %v", err)
	}
}

func TestMigrationOfTwoDatabases(t *testing.T) {
	url := storetest.EmptyURL(t, store.PostgreSQL)
	r := start(t, config)
	r.write("holdfast.yaml", apart(url))
	check := func() error {
		_, err := said(t, func(c *Console) error { return Check(t.Context(), c, r.file) })
		return err
	}
	if err := check(); err == nil || !strings.Contains(err.Error(), "the schema of sessions_database is at version 0") {
		t.Errorf("check: %v", err)
	}
	status := func() string {
		t.Helper()
		text, err := said(t, func(c *Console) error { return MigrationStatus(t.Context(), c, r.file) })
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if text := status(); !strings.Contains(text, "\nsessions_database: version 0, behind") || !strings.HasPrefix(text, "database: version ") {
		t.Errorf("status: %s", text)
	}
	if text, err := said(t, func(c *Console) error { return MigrateUp(t.Context(), c, r.file) }); err != nil || strings.Count(text, "up to date") != 2 {
		t.Errorf("up: %s, %v", text, err)
	}
	if text := status(); strings.Count(text, "up to date") != 2 {
		t.Errorf("status: %s", text)
	}
	if err := check(); err != nil {
		t.Error(err)
	}
}
