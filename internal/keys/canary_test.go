package keys_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
)

func TestCanary(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) {
		ring := keys.NewRing()
		for range 2 {
			must(t, ring.CheckCanary(t.Context(), db.For("t")))
		}
		wrong := keys.NewRing()
		err := wrong.CheckCanary(t.Context(), db)
		if err == nil || !strings.Contains(err.Error(), "key_ring") || !strings.Contains(err.Error(), ring.ActiveID()) {
			t.Errorf("a wrong ring: %v", err)
		}
		must(t, ring.CheckCanary(t.Context(), db)) // the wrong one has left no trace
	})
}

func TestOneRingWinsAtTheFirstStart(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) {
		var good atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if keys.NewRing().CheckCanary(t.Context(), db) == nil {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 1 {
			t.Errorf("%d different rings belong to one database", good.Load())
		}
	})
}

func TestRenewalOfTheRing(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) { renewal(t, db) })
}

func renewal(t *testing.T, db *store.DB) {
	path := filepath.Join(t.TempDir(), "ring")
	old, err := keys.CreateRing(path)
	must(t, err)
	ring := load(t, path)
	must(t, ring.CheckCanary(t.Context(), db))
	signing := newSigning(t, db, ring, jose.ES256, jose.EdDSA)
	before := signs(t, signing, jose.ES256)
	hash := ring.Hash("secret")
	must(t, db.For("t").Write(t.Context(), func(tx *store.Tx) error {
		place := keys.SettingPlace("t", "pairwise")
		if err := tx.PutSetting("pairwise", ring.Seal(keys.PurposeSeal, place, []byte("value"))); err != nil {
			return err
		}
		if err := tx.PutSetting("plain", []byte("not sealed at all")); err != nil {
			return err
		}
		_, err := tx.PutObject(store.Object{Kind: "client", Name: "c", Body: []byte(`{"secrets":[{"hash":"` + hash + `"}]}`)}, -1)
		return err
	}))

	_, err = keys.AddKey(path)
	must(t, err)
	must(t, keys.ActivateKey(path, ""))
	ring.Replace(load(t, path))
	if n, err := ring.Rewrap(t.Context(), db, []string{"t"}); err != nil || n != 4 { // canary, setting, two signing keys
		t.Fatalf("%d rewrapped, %v", n, err)
	}
	if n, err := ring.Rewrap(t.Context(), db, []string{"t"}); err != nil || n != 0 {
		t.Fatalf("%d rewrapped again, %v", n, err)
	}
	err = keys.CheckUnused(t.Context(), db, old)
	if err == nil || !strings.Contains(err.Error(), "1 objects with hashed secrets: client c of t") || strings.Contains(err.Error(), "sealed") {
		t.Fatalf("unused: %v", err)
	}
	must(t, db.For("t").Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteObject("client", "c", -1) }))
	must(t, keys.CheckUnused(t.Context(), db, old))
	must(t, keys.DropKey(path, old))
	ring.Replace(load(t, path))
	must(t, ring.CheckCanary(t.Context(), db))
	if after := newSigning(t, db, ring, jose.ES256, jose.EdDSA); signs(t, after, jose.ES256) != before {
		t.Error("the signing keys have changed with the ring")
	}
	must(t, db.For("t").Read(t.Context(), func(tx *store.Tx) error {
		sealed, err := tx.Setting("pairwise")
		if err != nil {
			return err
		}
		value, err := ring.Open(keys.PurposeSeal, keys.SettingPlace("t", "pairwise"), sealed)
		if string(value) != "value" {
			t.Errorf("the setting is %q", value)
		}
		return err
	}))
}

func TestDropNamesTheFirstTenClients(t *testing.T) {
	db, ring := storetest.Open(t), keys.NewRing()
	must(t, db.For("t").Write(t.Context(), func(tx *store.Tx) error {
		for i := range 12 {
			body := []byte(`{"secrets":[{"hash":"` + ring.Hash("secret") + `"}]}`)
			if _, err := tx.PutObject(store.Object{Kind: "client", Name: fmt.Sprintf("c%02d", i), Body: body}, -1); err != nil {
				return err
			}
		}
		return nil
	}))
	err := keys.CheckUnused(t.Context(), db, ring.ActiveID())
	if err == nil || !strings.Contains(err.Error(), "12 objects with hashed secrets: client c00 of t, ") || !strings.HasSuffix(err.Error(), ", client c09 of t and 2 more") {
		t.Errorf("got %v", err)
	}
}

func TestDropIsRefusedWhileInUse(t *testing.T) {
	db, ring := storetest.Open(t), keys.NewRing()
	must(t, ring.CheckCanary(t.Context(), db))
	newSigning(t, db, ring, jose.ES256)
	err := keys.CheckUnused(t.Context(), db, ring.ActiveID())
	if err == nil || !strings.Contains(err.Error(), "1 sealed settings") || !strings.Contains(err.Error(), "1 sealed signing keys") {
		t.Errorf("unused: %v", err)
	}
}

func TestWrongRingLeavesSigningKeysAlone(t *testing.T) {
	db := storetest.Open(t)
	newSigning(t, db, keys.NewRing(), jose.ES256)
	wrong := keys.NewSigning(keys.SigningConfig{DB: db.For("t"), Ring: keys.NewRing(), Algs: []jose.Alg{jose.ES256}})
	if err := wrong.Load(t.Context()); err == nil {
		t.Error("keys sealed under another ring are loaded")
	}
	if len(rows(t, db)) != 1 {
		t.Error("keys are added beside those that cannot be opened")
	}
}
