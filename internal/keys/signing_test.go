package keys_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
)

// clock is the time of a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

const (
	rotate   = 30 * 24 * time.Hour
	announce = time.Hour
	retire   = 24 * time.Hour
)

func newSigning(t *testing.T, db *store.DB, ring *keys.Ring, algs ...jose.Alg) *keys.Signing {
	t.Helper()
	s := keys.NewSigning(keys.SigningConfig{DB: db.For("t"), Ring: ring, Algs: algs, Rotate: rotate, Announce: announce, Retire: retire})
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// signs returns the key that signs for an algorithm, after checking that its signatures verify.
func signs(t *testing.T, s *keys.Signing, a jose.Alg) string {
	t.Helper()
	signer, err := s.Signer(a)
	must(t, err)
	token, err := signer.Sign("JWT", map[string]string{"sub": "x"})
	must(t, err)
	_, err = jose.Verify(token, []jose.Alg{a}, s.PublicKeys()...)
	must(t, err)
	return signer.Key().ID()
}

func published(s *keys.Signing, id string) bool {
	for _, k := range s.PublicKeys() {
		if k.ID() == id {
			return true
		}
	}
	return false
}

func TestFirstKeysSignAtOnce(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) {
		algs := []jose.Alg{jose.ES256, jose.EdDSA, jose.PS256, jose.RS256}
		ring := keys.NewRing()
		s := newSigning(t, db, ring, algs...)
		again := newSigning(t, db, ring, algs...)
		for _, a := range algs {
			if signs(t, s, a) != signs(t, again, a) {
				t.Errorf("two nodes sign %s with different keys", a)
			}
		}
		if _, err := s.Signer("HS256"); err == nil {
			t.Error("a signer for an algorithm the tenant has not")
		}
		other := keys.NewSigning(keys.SigningConfig{DB: db.For("u"), Ring: ring, Algs: algs[:1]})
		must(t, other.Load(t.Context()))
		if published(s, signs(t, other, jose.ES256)) {
			t.Error("two tenants share a key")
		}
	})
}

func TestRFC7517_5_KeySet(t *testing.T) {
	s := newSigning(t, storetest.Open(t), keys.NewRing(), jose.ES256, jose.RS256)
	body, etag := s.JWKS()
	var doc struct{ Keys []map[string]any }
	must(t, json.Unmarshal(body, &doc))
	if len(doc.Keys) != 2 || len(etag) < 10 || etag[0] != '"' || etag[len(etag)-1] != '"' {
		t.Fatalf("%s %s", etag, body)
	}
	for _, k := range doc.Keys {
		if k["use"] != "sig" || k["alg"] == nil || k["kid"] == nil || k["d"] != nil || k["p"] != nil {
			t.Errorf("a published key is %v", k)
		}
	}
	if err := s.Announce(t.Context(), string(jose.ES256)); err != nil {
		t.Fatal(err)
	}
	if _, changed := s.JWKS(); changed == etag {
		t.Error("another set has the same entity tag")
	}
}

func TestRotationByTime(t *testing.T) {
	c := newClock()
	storetest.Engines(t, func(t *testing.T, db *store.DB) { rotationByTime(t, db, c) }, store.Options{Now: c.Now})
}

func rotationByTime(t *testing.T, db *store.DB, c *clock) {
	s := newSigning(t, db, keys.NewRing(), jose.ES256)
	first := signs(t, s, jose.ES256)

	c.add(rotate - time.Second)
	must(t, s.Step(t.Context()))
	if len(s.PublicKeys()) != 1 {
		t.Fatal("a successor is announced early")
	}
	c.add(time.Second)
	must(t, s.Step(t.Context()))
	if len(s.PublicKeys()) != 2 || signs(t, s, jose.ES256) != first {
		t.Fatal("the successor is not announced, or signs before it was")
	}
	c.add(announce - time.Second)
	must(t, s.Step(t.Context()))
	if signs(t, s, jose.ES256) != first {
		t.Fatal("the successor signs early")
	}
	c.add(time.Second)
	must(t, s.Step(t.Context()))
	second := signs(t, s, jose.ES256)
	if second == first || !published(s, first) {
		t.Fatal("the successor does not sign, or its predecessor is withdrawn early")
	}
	c.add(retire - time.Second)
	must(t, s.Step(t.Context()))
	if !published(s, first) {
		t.Fatal("a retired key is withdrawn early")
	}
	c.add(time.Second)
	must(t, s.Step(t.Context()))
	if published(s, first) || signs(t, s, jose.ES256) != second {
		t.Fatal("a retired key is not withdrawn")
	}
	for _, k := range rows(t, db) {
		if k.ID == first && (k.State != keys.StateGone || len(k.Sealed) != 0) {
			t.Errorf("a withdrawn key is %s, with %d sealed bytes", k.State, len(k.Sealed))
		}
	}
}

func rows(t *testing.T, db *store.DB) (list []store.SigningKey) {
	t.Helper()
	must(t, db.For("t").Read(t.Context(), func(tx *store.Tx) (err error) {
		list, err = tx.SigningKeys()
		return err
	}))
	return list
}

func TestNodesHearOfRotation(t *testing.T) {
	db, ring := storetest.Open(t), keys.NewRing()
	a, b := newSigning(t, db, ring, jose.ES256), newSigning(t, db, ring, jose.ES256)
	before := signs(t, b, jose.ES256)
	must(t, a.Rotate(t.Context(), string(jose.ES256)))
	events, err := db.Events(t.Context(), time.Time{})
	must(t, err)
	heard := 0
	for _, e := range events {
		if e.Kind == store.EventObject && strings.HasPrefix(e.Key, "signing_key/") && e.Tenant == "t" {
			heard++
		}
	}
	if heard != 3 { // the first key, its end, its successor
		t.Errorf("%d events about signing keys: %v", heard, events)
	}
	if signs(t, b, jose.ES256) != before {
		t.Error("a node changes its key by itself")
	}
	must(t, b.Reload(t.Context()))
	if signs(t, b, jose.ES256) != signs(t, a, jose.ES256) || signs(t, b, jose.ES256) == before || !published(b, before) {
		t.Error("the nodes do not agree after Reload")
	}
}

func TestRotateTakesTheAnnouncedKey(t *testing.T) {
	s := newSigning(t, storetest.Open(t), keys.NewRing(), jose.ES256)
	must(t, s.Announce(t.Context(), string(jose.ES256)))
	must(t, s.Announce(t.Context(), string(jose.ES256))) // there is one already
	if len(s.PublicKeys()) != 2 {
		t.Fatalf("%d keys are published", len(s.PublicKeys()))
	}
	next := s.PublicKeys()[1].ID()
	must(t, s.Rotate(t.Context(), string(jose.ES256)))
	if signs(t, s, jose.ES256) != next {
		t.Error("the announced key does not sign")
	}
	if err := s.Rotate(t.Context(), string(jose.RS256)); err == nil {
		t.Error("an algorithm without keys is rotated")
	}
}

func TestReplaceWithdrawsAtOnce(t *testing.T) {
	s := newSigning(t, storetest.Open(t), keys.NewRing(), jose.ES256, jose.EdDSA)
	must(t, s.Announce(t.Context(), string(jose.ES256)))
	must(t, s.Rotate(t.Context(), string(jose.ES256)))
	must(t, s.Announce(t.Context(), string(jose.ES256)))
	leaked, other := signs(t, s, jose.ES256), signs(t, s, jose.EdDSA)
	must(t, s.Replace(t.Context(), string(jose.ES256)))
	if signs(t, s, jose.ES256) == leaked || len(s.PublicKeys()) != 2 || !published(s, other) {
		t.Errorf("after the replacement %v are published", s.PublicKeys())
	}
}

func TestAlgorithmNoLongerConfigured(t *testing.T) {
	c := newClock()
	db, ring := storetest.Open(t, store.Options{Now: c.Now}), keys.NewRing()
	old := signs(t, newSigning(t, db, ring, jose.ES256, jose.RS256), jose.RS256)
	s := newSigning(t, db, ring, jose.ES256)
	if _, err := s.Signer(jose.RS256); err == nil || !published(s, old) {
		t.Error("the key is not retired")
	}
	c.add(retire)
	must(t, s.Step(t.Context()))
	if published(s, old) {
		t.Error("the key is not withdrawn")
	}
}

// Many nodes start and rotate at once: there is always exactly one active key, and one successor.
func TestNodesDoNotGetInEachOthersWay(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, db *store.DB) {
		ring := keys.NewRing()
		together := func(fn func(*keys.Signing) error) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					s := keys.NewSigning(keys.SigningConfig{DB: db.For("t"), Ring: ring, Algs: []jose.Alg{jose.ES256, jose.EdDSA}})
					if err := fn(s); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		together(func(s *keys.Signing) error { return s.Load(t.Context()) })
		count(t, db, map[string]int{keys.StateActive: 2})
		together(func(s *keys.Signing) error { return s.Announce(t.Context(), string(jose.ES256)) })
		count(t, db, map[string]int{keys.StateActive: 2, keys.StateAnnounced: 1})
		together(func(s *keys.Signing) error { return s.Rotate(t.Context(), string(jose.EdDSA)) })
		count(t, db, map[string]int{keys.StateActive: 2, keys.StateAnnounced: 1, keys.StateRetiring: 8})
		// The first takes the announced key; the others, which have seen it, need one of their own after all.
		together(func(s *keys.Signing) error { return s.Rotate(t.Context(), string(jose.ES256)) })
		count(t, db, map[string]int{keys.StateActive: 2, keys.StateRetiring: 16})
	})
}

func count(t *testing.T, db *store.DB, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	for _, k := range rows(t, db) {
		got[k.State]++
	}
	for _, state := range []string{keys.StateAnnounced, keys.StateActive, keys.StateRetiring, keys.StateGone} {
		if got[state] != want[state] {
			t.Errorf("%d keys are %s, want %d", got[state], state, want[state])
		}
	}
}
