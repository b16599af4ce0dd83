package fetch_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/jose"
)

// owner publishes a key set that a test can change.
type owner struct {
	*site
	keys *fetch.Keys
	set  atomic.Pointer[jose.Set]
	down atomic.Bool
	now  atomic.Int64
}

func newOwner(t *testing.T, cacheControl string) *owner {
	o := new(owner)
	o.set.Store(new(jose.Set))
	o.site = newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		if o.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Cache-Control", cacheControl)
		json.NewEncoder(w).Encode(o.set.Load())
	})
	o.o.MaxBytes = 100_000
	o.keys = &fetch.Keys{Client: o.client(t), Now: func() time.Time { return time.Unix(o.now.Load(), 0) }}
	return o
}

func (o *owner) publish(t *testing.T, ids ...string) {
	t.Helper()
	set := new(jose.Set)
	for _, id := range ids {
		k, err := jose.GenerateKey(jose.EdDSA)
		if err != nil {
			t.Fatal(err)
		}
		set.Keys = append(set.Keys, k.WithID(id))
	}
	o.set.Store(set)
}

// ask wants the outcome for a kid and how often the owner has been asked by now.
func (o *owner) ask(t *testing.T, kid string, found bool, hits int32) {
	t.Helper()
	set, err := o.keys.At(t.Context(), o.url("example.com"), kid)
	if err != nil {
		t.Errorf("kid %q: %v", kid, err)
	}
	if got := len(set.Find(kid, jose.EdDSA)) > 0; got != found {
		t.Errorf("kid %q found: %v", kid, got)
	}
	if o.hits.Load() != hits {
		t.Errorf("kid %q: the owner was asked %d times, want %d", kid, o.hits.Load(), hits)
	}
}

func TestKeysAreKept(t *testing.T) {
	for header, fresh := range map[string]int64{
		"": 60, "max-age=300": 300, "public, Max-Age=\"120\"": 120, "max-age=5": 60, "max-age=86400": 900, "no-store": 60, "max-age=x": 60,
	} {
		o := newOwner(t, header)
		o.publish(t, "a")
		o.ask(t, "a", true, 1)
		o.now.Add(fresh - 1)
		o.ask(t, "a", true, 1)
		o.ask(t, "", true, 1)
		o.now.Add(1)
		o.ask(t, "a", true, 2)
	}
}

func TestUnknownKidIsReadOncePerCoolDown(t *testing.T) {
	o := newOwner(t, "max-age=900")
	o.publish(t, "a")
	o.ask(t, "a", true, 1)
	o.publish(t, "b") // its owner has rotated
	o.ask(t, "b", true, 2)
	for range 5 {
		o.ask(t, "invented", false, 2)
	}
	o.now.Add(60)
	o.ask(t, "invented", false, 3)
	o.ask(t, "another", false, 3)
	o.ask(t, "b", true, 3)
}

func TestKeysWhoseOwnerDoesNotAnswer(t *testing.T) {
	o := newOwner(t, "max-age=60")
	o.publish(t, "a")
	o.ask(t, "a", true, 1)
	o.down.Store(true)
	o.now.Add(60)
	o.ask(t, "a", true, 2)
	o.ask(t, "a", true, 2) // not again so soon
	o.now.Add(10)
	o.ask(t, "a", true, 3)
	o.now.Add(3600 - 10) // too old by now
	for range 3 {
		if _, err := o.keys.At(t.Context(), o.url("example.com"), "a"); err == nil {
			t.Error("a set is used for ever")
		}
	}
	if o.hits.Load() != 4 {
		t.Errorf("asked %d times", o.hits.Load())
	}
	o.down.Store(false)
	o.now.Add(10)
	o.ask(t, "a", true, 5)
}

func TestOneFlightForMany(t *testing.T) {
	o := newOwner(t, "")
	o.publish(t, "a")
	release := make(chan struct{})
	inner := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		inner.ServeHTTP(w, r)
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := o.keys.At(t.Context(), o.url("example.com"), "a"); err != nil {
				t.Error(err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // one who gives up takes nothing from the others
	if _, err := o.keys.At(ctx, o.url("example.com"), "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that has given up: %v", err)
	}
	close(release)
	wg.Wait()
	o.ask(t, "a", true, 1)
}

func TestKeySetsThatAreNone(t *testing.T) {
	for _, body := range []string{"", "[]", "{}", `{"keys":{}}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`} {
		s := newSite(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
		k := &fetch.Keys{Client: s.client(t), Now: func() time.Time { return time.Unix(0, 0) }}
		if _, err := k.At(t.Context(), s.url("example.com"), "a"); err == nil {
			t.Errorf("%q is a key set", body)
		}
	}
}
