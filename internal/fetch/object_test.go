package fetch_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/jose"
)

func objectsAt(t *testing.T, s *site) *fetch.Objects {
	s.o.Allow[fetch.PurposeRequest] = s.rules(s.port)
	s.o.MaxBytes = 2 * jose.MaxToken
	return &fetch.Objects{Client: s.client(t)}
}

func hashOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// OIDC Core §6.2: what the address names the hash of is read once, and everything else each time.
func TestOIDCCore_6_2_KeptByHash(t *testing.T) {
	const first, second = "a.b.c\n", "d.e.f"
	content := first
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(content)) })
	o := objectsAt(t, s)
	at := func(suffix, want string, hits int32) {
		t.Helper()
		got, err := o.At(t.Context(), s.url("example.com")+suffix)
		if err != nil || got != want {
			t.Errorf("got %q, %v", got, err)
		}
		if n := s.hits.Load(); n != hits {
			t.Errorf("asked %d times, want %d", n, hits)
		}
	}
	at("", "a.b.c", 1)
	at("", "a.b.c", 2)
	at(hashOf(first), "a.b.c", 3)
	content = second
	at(hashOf(first), "a.b.c", 3) // there it may say what it likes
	at(hashOf(first)+"x", second, 4)
	at("#v2", second, 5) // a fragment that is no hash of it, as some clients have, keeps nothing
	at("#v2", second, 6)
	at("", second, 7)
	at(hashOf(second), second, 8)
	at(hashOf(second), second, 8)
}

func TestObjectsAreBounded(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.RawQuery)) })
	o := objectsAt(t, s)
	for round := range 2 {
		for i := range 250 {
			content := fmt.Sprint("object=", i)
			if got, err := o.At(t.Context(), s.url("example.com")+"?"+content+hashOf(content)); err != nil || got != content {
				t.Fatalf("round %d: %q, %v", round, got, err)
			}
		}
	}
	if n := s.hits.Load(); n < 300 || n == 500 {
		t.Errorf("asked %d times for 250 objects in two rounds", n)
	}
}

func TestObjectsThatCannotBeRead(t *testing.T) {
	status, body := http.StatusOK, strings.Repeat("x", jose.MaxToken+1)
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
	o := objectsAt(t, s)
	if _, err := o.At(t.Context(), s.url("example.com")); !errors.Is(err, fetch.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	status, body = http.StatusFound, ""
	if got, err := o.At(t.Context(), s.url("example.com")); err == nil {
		t.Errorf("a redirect: %q", got)
	}
	if _, err := o.At(t.Context(), strings.Replace(s.url("example.com"), "https", "http", 1)); !errors.Is(err, fetch.ErrForbidden) {
		t.Errorf("http: %v", err)
	}
	s.o.Allow[fetch.PurposeRequest] = nil
	if _, err := (&fetch.Objects{Client: s.client(t)}).At(t.Context(), s.url("example.com")); !errors.Is(err, fetch.ErrForbidden) {
		t.Errorf("an address that is not public: %v", err)
	}
}

// Many who ask at once are answered by one reading; who gives up takes nothing from the others.
func TestObjectsAreReadTogether(t *testing.T) {
	asked, release := make(chan bool, 9), make(chan bool)
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		asked <- true
		<-release
		_, _ = w.Write([]byte("a.b.c"))
	})
	o, address := objectsAt(t, s), s.url("example.com")+hashOf("a.b.c")
	ctx, giveUp := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := o.At(ctx, address)
		gone <- err
	}()
	<-asked
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			if got, err := o.At(t.Context(), address); err != nil || got != "a.b.c" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	giveUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("who gave up: %v", err)
	}
	close(release)
	others.Wait()
	if n := s.hits.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}
