package storetest

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/store"
)

func object(name, body string) store.Object {
	return store.Object{Kind: "client", Name: name, ManagedBy: "file", Body: json.RawMessage(body)}
}

func putObject(o store.Object, expect int64) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		_, err := tx.PutObject(o, expect)
		return err
	}
}

func testObjects(t *testing.T, b *bench) {
	var put store.Object
	for _, name := range []string{"b", "a", "c"} {
		write(t, b.DB, func(tx *store.Tx) (err error) {
			put, err = tx.PutObject(object(name, `{"n": 1}`), store.AnyRevision)
			return err
		})
	}
	want := object("c", `{"n": 1}`)
	want.Revision, want.UpdatedAt = 1, b.clock().UTC()
	same(t, put, want)
	same(t, load(t, b.DB, func(tx *store.Tx) (store.Object, error) { return tx.Object("client", "c") }), want)
	missing(t, b.DB, func(tx *store.Tx) (store.Object, error) { return tx.Object("client", "d") })
	missing(t, b.DB, func(tx *store.Tx) (store.Object, error) { return tx.Object("api", "c") })

	names := func(after string, limit int) (names []string) {
		for _, o := range load(t, b.DB, func(tx *store.Tx) ([]store.Object, error) { return tx.Objects("client", after, limit) }) {
			names = append(names, o.Name)
		}
		return names
	}
	same(t, names("", 2), []string{"a", "b"})
	same(t, names("b", 2), []string{"c"})

	having := load(t, b.DB, func(tx *store.Tx) ([]store.Object, error) { return tx.ObjectsWithMember("client", "n") })
	none := load(t, b.DB, func(tx *store.Tx) ([]store.Object, error) { return tx.ObjectsWithMember("client", "other") })
	if len(having) != 3 || having[0].Name != "a" || len(none) != 0 {
		t.Errorf("with the member: %v, without: %v", having, none)
	}

	write(t, b.DB, func(tx *store.Tx) error { return tx.DeleteObject("client", "b", store.AnyRevision) })
	same(t, names("", 9), []string{"a", "c"})
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteObject("client", "b", store.AnyRevision) })

	events, err := b.Events(t.Context(), time.Time{})
	if err != nil || len(events) != 4 {
		t.Fatalf("events of 3 puts and 1 delete: %v, %v", events, err)
	}
	for _, e := range events {
		if e.Kind != store.EventObject || e.Tenant != "acme" {
			t.Errorf("event %+v", e)
		}
	}
}

func testObjectRevisions(t *testing.T, b *bench) {
	write(t, b.DB, putObject(object("a", `1`), store.NoRevision))
	refused(t, b.DB, store.ErrTaken, putObject(object("a", `2`), store.NoRevision))
	refused(t, b.DB, store.ErrConflict, putObject(object("a", `2`), 2))
	refused(t, b.DB, store.ErrConflict, putObject(object("b", `2`), 1))
	write(t, b.DB, putObject(object("a", `2`), 1))
	refused(t, b.DB, store.ErrConflict, putObject(object("a", `3`), 1))
	write(t, b.DB, putObject(object("a", `3`), store.AnyRevision))
	got := load(t, b.DB, func(tx *store.Tx) (store.Object, error) { return tx.Object("client", "a") })
	if got.Revision != 3 || string(got.Body) != "3" {
		t.Errorf("after three puts: %+v", got)
	}
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error { return tx.DeleteObject("client", "a", 2) })
	write(t, b.DB, func(tx *store.Tx) error { return tx.DeleteObject("client", "a", 3) })
}

func testSettings(t *testing.T, b *bench) {
	setting := func(tx *store.Tx) ([]byte, error) { return tx.Setting("canary") }
	missing(t, b.DB, setting)
	for _, value := range [][]byte{{0, 1, 255}, {}, nil} {
		write(t, b.DB, func(tx *store.Tx) error { return tx.PutSetting("canary", value) })
		same(t, load(t, b.DB, setting), value)
	}
}

func testRingUse(t *testing.T, b *bench) {
	const id = "ringkey1"
	write(t, b.DB, func(tx *store.Tx) error {
		return errors.Join(tx.PutSetting("b", []byte(id+"sealed")), tx.PutSetting("a", []byte("another1sealed")),
			tx.AddSigningKey(store.SigningKey{ID: "k", Sealed: []byte(id + "sealed")}),
			putObject(object("a", `{"hash":"`+id+`:mac"}`), store.NoRevision)(tx),
			tx.AddCode(store.Code{GrantID: "g", SecretHash: id + ":mac"}),
			tx.AddRefresh(store.Refresh{GrantID: "g", SecretHash: "another1:mac"}),
			tx.AddAppSession(store.AppSession{ID: "a", Sealed: []byte(id + "sealed")}))
	})
	same(t, load(t, b.DB, func(tx *store.Tx) ([]store.Setting, error) { return tx.Settings() }),
		[]store.Setting{{Name: "a", Value: []byte("another1sealed")}, {Name: "b", Value: []byte(id + "sealed")}})
	uses, err := b.For("").RingUse(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	same(t, uses, map[string]int64{"sealed settings": 1, "sealed signing keys": 1, "objects with hashed secrets": 1, "codes": 1,
		"sessions of applications": 1})
	names, err := b.For("").RingObjects(t.Context(), id, 1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, names, []string{object("a", "").Kind + " a of " + b.Tenant()})
}

func testSigningKeys(t *testing.T, b *bench) {
	key := store.SigningKey{
		ID: "k1", Alg: "ES256", Use: "sig", State: "announced", Public: json.RawMessage(`{"kty":"EC"}`),
		Sealed: []byte{1, 2}, External: "hsm", CreatedAt: b.in(0), ActivateAt: b.in(time.Hour),
		RetireAt: b.in(2 * time.Hour), GoneAt: b.in(3 * time.Hour),
	}
	keys := func(tx *store.Tx) ([]store.SigningKey, error) { return tx.SigningKeys() }
	write(t, b.DB, func(tx *store.Tx) error { return tx.AddSigningKey(key) })
	refused(t, b.DB, store.ErrTaken, func(tx *store.Tx) error { return tx.AddSigningKey(key) })
	same(t, load(t, b.DB, keys), []store.SigningKey{key})

	key.State, key.RetireAt = "active", b.in(5*time.Hour)
	write(t, b.DB, func(tx *store.Tx) error { return tx.PutSigningKeyState(key, "announced") })
	refused(t, b.DB, store.ErrConflict, func(tx *store.Tx) error { return tx.PutSigningKeyState(key, "announced") })
	same(t, load(t, b.DB, keys), []store.SigningKey{key})

	write(t, b.DB, func(tx *store.Tx) error { return tx.DeleteSigningKey("k1") })
	refused(t, b.DB, store.ErrNotFound, func(tx *store.Tx) error { return tx.DeleteSigningKey("k1") })
	same(t, load(t, b.DB, keys), []store.SigningKey{})
}

func testLeases(t *testing.T, b *bench) {
	take := func(holder string, d time.Duration) (fence int64, ok bool) {
		t.Helper()
		write(t, b.DB, func(tx *store.Tx) (err error) {
			fence, ok, err = tx.TakeLease("rotate", holder, tx.Now.Add(d))
			return err
		})
		return fence, ok
	}
	for _, step := range []struct {
		what   string
		holder string
		hold   time.Duration
		fence  int64
		ok     bool
		sleep  time.Duration
	}{
		{"first", "a", time.Minute, 1, true, 0},
		{"held by another", "b", time.Minute, 0, false, 30 * time.Second},
		{"renewed", "a", time.Minute, 1, true, 59 * time.Second},
		{"still held", "b", time.Minute, 0, false, time.Second},
		{"lapsed", "b", time.Minute, 2, true, time.Minute},
		{"lapsed and taken by the same", "b", time.Minute, 3, true, 0},
		{"given up", "b", 0, 3, true, 0},
		{"after giving up", "a", time.Minute, 4, true, 0},
	} {
		if fence, ok := take(step.holder, step.hold); fence != step.fence || ok != step.ok {
			t.Errorf("%s: fence %d, %v; want %d, %v", step.what, fence, ok, step.fence, step.ok)
		}
		b.sleep(step.sleep)
	}
}
