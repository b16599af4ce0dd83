package fetch_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
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
	age  string // of what a cache between us has kept
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
		w.Header().Set("Age", o.age)
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
		"max-age=-1": 60, "max-age=300, no-store": 60, "no-cache, max-age=300": 60, "s-maxage=300": 60, "max-age=99999999999": 60,
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

// What a cache on the way has kept for a while is good for the rest of its time (RFC 9111 §4.2.3).
func TestRFC9111_4_2_3_Age(t *testing.T) {
	o := newOwner(t, "max-age=300")
	o.age = "100"
	o.publish(t, "a")
	o.ask(t, "a", true, 1)
	o.now.Add(199)
	o.ask(t, "a", true, 1)
	o.now.Add(1)
	o.ask(t, "a", true, 2)
	o.age = "299"
	o.now.Add(200)
	o.ask(t, "a", true, 3)
	o.now.Add(59)
	o.ask(t, "a", true, 3)
}

func TestKeysThatAreRemoved(t *testing.T) {
	o := newOwner(t, "max-age=900")
	o.publish(t, "a", "b")
	o.ask(t, "a", true, 1)
	o.publish(t, "b") // its owner has withdrawn a
	o.ask(t, "a", true, 1)
	o.now.Add(900)
	o.ask(t, "a", false, 2)
	o.publish(t, "c")
	o.ask(t, "c", true, 3)  // whoever asks for a new one
	o.ask(t, "b", false, 3) // also ends what is not there any more
	o.publish(t)
	o.now.Add(900)
	o.ask(t, "c", false, 4)
}

func TestReadingAgain(t *testing.T) {
	o := newOwner(t, "max-age=900")
	o.publish(t, "a")
	again := func(want bool, hits int32) (thumbprint string) {
		t.Helper()
		set, read, err := o.keys.Again(t.Context(), o.url("example.com"))
		if err != nil || read != want || len(set.Keys) != 1 || o.hits.Load() != hits {
			t.Fatalf("read: %v with %d keys after %d times: %v", read, len(set.Keys), o.hits.Load(), err)
		}
		return set.Keys[0].Thumbprint()
	}
	o.ask(t, "a", true, 1)
	o.publish(t, "a") // another key under the same name
	first := again(true, 2)
	for range 5 {
		again(false, 2)
	}
	o.ask(t, "invented", false, 2) // which counts as the same
	o.publish(t, "a")
	o.now.Add(60)
	if again(true, 3) == first {
		t.Error("the key has not changed")
	}
}

// Keys without names may be any: only a signature tells.
func TestKeysWithoutKid(t *testing.T) {
	o := newOwner(t, "max-age=900")
	o.publish(t, "", "")
	o.ask(t, "", true, 1)
	o.ask(t, "a", true, 1)
	o.ask(t, "b", true, 1)
}

func TestAfterAFailureTheNewKeyIsSoonFound(t *testing.T) {
	o := newOwner(t, "max-age=900")
	o.publish(t, "a")
	o.ask(t, "a", true, 1)
	o.publish(t, "b")
	o.down.Store(true)
	o.ask(t, "b", false, 2)
	o.down.Store(false)
	o.ask(t, "b", false, 2)
	o.now.Add(10)
	o.ask(t, "b", true, 3)
}

// Whoever comes with a new kid while it is being looked for waits for it.
func TestNewKidWhileItIsLookedFor(t *testing.T) {
	o := newOwner(t, "max-age=900")
	o.publish(t, "a")
	o.ask(t, "a", true, 1)
	o.publish(t, "b")
	release := make(chan struct{})
	inner := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		inner.ServeHTTP(w, r)
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			set, err := o.keys.At(t.Context(), o.url("example.com"), "b")
			if err != nil || len(set.Find("b", jose.EdDSA)) != 1 {
				t.Errorf("%d keys, %v", len(set.Keys), err)
			}
		})
	}
	if set, err := o.keys.At(t.Context(), o.url("example.com"), "a"); err != nil || len(set.Find("a", jose.EdDSA)) != 1 {
		t.Errorf("a known kid has to wait: %v", err)
	}
	close(release)
	wg.Wait()
	o.ask(t, "b", true, 2)
}

func TestFloodOfUnknownKids(t *testing.T) {
	o := newOwner(t, "max-age=900")
	o.publish(t, "a")
	o.ask(t, "a", true, 1)
	for minute := range int32(5) {
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { o.keys.At(t.Context(), o.url("example.com"), strconv.Itoa(i)) })
			wg.Go(func() { o.keys.Again(t.Context(), o.url("example.com")) })
		}
		wg.Wait()
		o.ask(t, "a", true, minute+2)
		o.now.Add(60)
	}
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
