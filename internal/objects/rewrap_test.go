package objects_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// After a rewrap nothing in an application needs the old key of the ring, and the application has its own key as before.
func TestRewrapOfApplications(t *testing.T) {
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "ring.json")
	old, err := keys.CreateRing(file)
	ok(err)
	ring, err := keys.LoadRing(file)
	ok(err)
	db := storetest.Open(t).For("acme")
	key, jwk := appKey(t)
	ok(db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := objects.Import(tx, ring, objects.ManagedByFile, []objects.Document{application(jwk, nil)})
		return err
	}))
	young, err := keys.AddKey(file)
	ok(err)
	ok(keys.ActivateKey(file, young))
	ring, err = keys.LoadRing(file)
	ok(err)
	for _, want := range []int{1, 0} {
		var n int
		ok(db.Write(t.Context(), func(tx *store.Tx) (err error) {
			n, err = objects.Rewrap(tx, ring)
			return err
		}))
		if n != want {
			t.Errorf("%d were sealed again, want %d", n, want)
		}
	}
	ok(keys.CheckUnused(t.Context(), db, old))
	ok(keys.DropKey(file, old))
	ring, err = keys.LoadRing(file)
	ok(err)
	app, err := objects.New(db).Application(t.Context(), "demo")
	ok(err)
	if got, err := app.SigningKey(ring); err != nil || got.Thumbprint() != key.Thumbprint() || !got.IsPrivate() {
		t.Errorf("key %v, %v", got, err)
	}
	var o store.Object
	ok(db.Read(t.Context(), func(tx *store.Tx) (err error) {
		o, err = tx.Object(objects.KindApplication, "demo")
		return err
	}))
	if o.ManagedBy != objects.ManagedByFile {
		t.Errorf("managed by %s", o.ManagedBy)
	}
}
