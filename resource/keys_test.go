package resource_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/resource"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

const issuer = "https://login.example.com/t"

// fake is an issuer without a network: it answers by path and counts.
type fake struct {
	mu     sync.Mutex
	asked  map[string]int
	answer map[string]func() *http.Response // by host and path
	delay  time.Duration
}

func (f *fake) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	at := r.URL.Host + r.URL.Path
	f.asked[at]++
	answer, delay := f.answer[at], f.delay
	f.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	resp := status(http.StatusNotFound)()
	if answer != nil {
		resp = answer()
	}
	resp.Request = r
	return resp, nil
}

func (f *fake) set(at string, answer func() *http.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer[at] = answer
}

func (f *fake) count(at string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[at]
}

func status(code int) func() *http.Response {
	return func() *http.Response {
		return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}
	}
}

func body(text, cacheControl string) func() *http.Response {
	return func() *http.Response {
		h := http.Header{"Cache-Control": {cacheControl}}
		return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(text))}
	}
}

const (
	metadataAt = "login.example.com/.well-known/oauth-authorization-server/t"
	openidAt   = "login.example.com/t/.well-known/openid-configuration"
	jwksAt     = "login.example.com/t/jwks"
)

// rig is a verifier, its issuer, and tokens signed with the issuer's key.
type rig struct {
	*fake
	*resource.Verifier
	clock  *resourcetest.Clock
	signer *jose.Signer
}

func newRig(t *testing.T, change func(*resource.Config)) *rig {
	t.Helper()
	r := &rig{fake: &fake{asked: map[string]int{}, answer: map[string]func() *http.Response{}}, clock: resourcetest.NewClock(start)}
	r.signer = newSigner(t)
	r.set(metadataAt, body(`{"issuer":"`+issuer+`","jwks_uri":"https://login.example.com/t/jwks"}`, ""))
	r.publish(t, "max-age=600", r.signer)
	c := resource.Config{Issuers: []string{issuer}, Audience: audience, Transport: r.fake, Now: r.clock.Now}
	if change != nil {
		change(&c)
	}
	v, err := resource.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	r.Verifier = v
	return r
}

func newSigner(t *testing.T) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *rig) publish(t *testing.T, cacheControl string, signers ...*jose.Signer) {
	t.Helper()
	var s jose.Set
	for _, signer := range signers {
		s.Keys = append(s.Keys, signer.Key())
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	r.set(jwksAt, body(string(data), cacheControl))
}

// verify shows a fresh token of a signer.
func (r *rig) verify(t *testing.T, s *jose.Signer) error {
	t.Helper()
	now := r.clock.Now().Unix()
	token, err := s.Sign("at+jwt", map[string]any{
		"iss": issuer, "sub": "alice", "aud": audience, "client_id": "shop", "jti": "1", "iat": now, "exp": now + 300,
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.VerifyToken(t.Context(), token)
	return err
}

func (r *rig) want(t *testing.T, fetches int, ok bool, err error) {
	t.Helper()
	if got := r.count(jwksAt); got != fetches || ok != (err == nil) {
		t.Errorf("%d fetches, want %d; %v", got, fetches, err)
	}
}

func TestRFC8414_3_Discovery(t *testing.T) {
	for _, c := range []struct {
		name, at, metadata string
		ok                 bool
	}{
		{"between host and path", metadataAt, `{"issuer":"` + issuer + `","jwks_uri":"https://login.example.com/t/jwks"}`, true},
		{"as OpenID says", openidAt, `{"issuer":"` + issuer + `","jwks_uri":"https://login.example.com/t/jwks"}`, true},
		{"of another issuer", metadataAt, `{"issuer":"https://login.example.com","jwks_uri":"https://login.example.com/t/jwks"}`, false},
		{"without keys", metadataAt, `{"issuer":"` + issuer + `"}`, false},
		{"keys in the clear", metadataAt, `{"issuer":"` + issuer + `","jwks_uri":"http://login.example.com/t/jwks"}`, false},
		{"keys on this machine", metadataAt, `{"issuer":"` + issuer + `","jwks_uri":"http://127.0.0.1/t/jwks"}`, false},
		{"issuer twice", metadataAt, `{"issuer":"x","issuer":"` + issuer + `","jwks_uri":"https://login.example.com/t/jwks"}`, false},
		{"not JSON", metadataAt, `<html>`, false},
		{"too long", metadataAt, `{"issuer":"` + issuer + `","jwks_uri":"https://login.example.com/t/jwks","x":"` + strings.Repeat("a", 256<<10) + `"}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.set(metadataAt, nil)
			r.set(c.at, body(c.metadata, ""))
			if err := r.verify(t, r.signer); c.ok != (err == nil) || !c.ok && !errors.Is(err, resource.ErrUnavailable) {
				t.Error(err)
			}
		})
	}
	r := newRig(t, func(c *resource.Config) { c.JWKS = map[string]string{issuer: "https://login.example.com/t/jwks"} })
	if err := r.verify(t, r.signer); err != nil || r.count(metadataAt) != 0 {
		t.Errorf("with a configured URL: %v, metadata asked %d times", err, r.count(metadataAt))
	}
}

func TestKeysAreFetchedAgainInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil) // max-age is ten minutes
		r.want(t, 1, true, r.verify(t, r.signer))
		r.clock.Advance(7 * time.Minute)
		r.want(t, 1, true, r.verify(t, r.signer))
		r.clock.Advance(time.Minute) // three quarters have passed
		r.fake.delay = time.Second
		before := time.Now()
		for range 10 {
			if err := r.verify(t, r.signer); err != nil {
				t.Error(err)
			}
		}
		if waited := time.Since(before); waited > 0 {
			t.Errorf("callers waited %v", waited)
		}
		time.Sleep(2 * time.Second)
		r.want(t, 2, true, r.verify(t, r.signer))
		next := newSigner(t) // the old key is withdrawn
		r.publish(t, "max-age=600", next)
		r.clock.Advance(11 * time.Minute) // the keys are over: now callers wait
		before = time.Now()
		r.want(t, 3, true, r.verify(t, next))
		if waited := time.Since(before); waited != time.Second {
			t.Errorf("waited %v for new keys", waited)
		}
	})
}

func TestRFC9111_MaxAgeWithinBounds(t *testing.T) {
	for _, c := range []struct {
		cacheControl string
		life         time.Duration
	}{
		{"max-age=600", 10 * time.Minute}, {"public, max-age=\"600\"", 10 * time.Minute}, {"max-age=1", time.Minute},
		{"no-store", time.Minute}, {"no-cache, max-age=600", time.Minute}, {"max-age=86400", 15 * time.Minute},
		{"", 5 * time.Minute}, {"max-age=never", 5 * time.Minute}, {"max-age=-1", 5 * time.Minute}, {"max-age=99999999999999999999", 5 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.publish(t, c.cacheControl, r.signer)
			r.want(t, 1, true, r.verify(t, r.signer))
			r.clock.Advance(c.life*3/4 - time.Second)
			r.want(t, 1, true, r.verify(t, r.signer))
			r.clock.Advance(2 * time.Second)
			if err := r.verify(t, r.signer); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			r.want(t, 2, true, nil)
		})
	}
}

func TestOneFlightForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.fake.delay = time.Second
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if err := r.verify(t, r.signer); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		r.want(t, 1, true, nil)
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		other := newRig(t, nil)
		other.fake.delay = time.Second
		if err := other.Warm(impatient); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, resource.ErrUnavailable) {
			t.Errorf("a caller who goes: %v", err)
		}
		time.Sleep(3 * time.Second) // the flight goes on without it
		other.want(t, 1, true, other.verify(t, other.signer))
	})
}

func TestUnknownKeyIsLookedForOnceInAWhile(t *testing.T) {
	r := newRig(t, nil)
	r.want(t, 1, true, r.verify(t, r.signer))
	stranger := newSigner(t)
	for range 20 {
		r.want(t, 2, false, r.verify(t, stranger))
	}
	r.clock.Advance(61 * time.Second)
	r.want(t, 3, false, r.verify(t, stranger))
	r.publish(t, "max-age=600", r.signer, stranger)
	r.clock.Advance(61 * time.Second)
	r.want(t, 4, true, r.verify(t, stranger))
	r.want(t, 4, true, r.verify(t, r.signer))
}

func TestBadSignatureFetchesNothing(t *testing.T) {
	r := newRig(t, nil)
	r.want(t, 1, true, r.verify(t, r.signer))
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	impostor, err := jose.NewSigner(key.WithID(r.signer.Key().ID()))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		r.clock.Advance(time.Second)
		r.want(t, 1, false, r.verify(t, impostor))
	}
}

func TestStaleKeysServeForABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.want(t, 1, true, r.verify(t, r.signer))
		r.set(jwksAt, status(http.StatusInternalServerError))
		r.clock.Advance(69 * time.Minute) // ten of life, and less than an hour
		if err := r.verify(t, r.signer); err != nil {
			t.Errorf("in an outage: %v", err)
		}
		asked := r.count(jwksAt)
		for range 20 { // and nobody hammers at an issuer that is down
			if err := r.verify(t, r.signer); err != nil {
				t.Error(err)
			}
		}
		r.want(t, asked, true, nil)
		r.clock.Advance(2 * time.Minute)
		err := r.verify(t, r.signer)
		if !errors.Is(err, resource.ErrUnavailable) {
			t.Errorf("after the bound: %v", err)
		}
		r.publish(t, "max-age=600", r.signer)
		if err := r.verify(t, r.signer); !errors.Is(err, resource.ErrUnavailable) {
			t.Errorf("asked again at once: %v", err)
		}
		r.clock.Advance(11 * time.Second)
		if err := r.verify(t, r.signer); err != nil {
			t.Errorf("after the outage: %v", err)
		}
	})
}

func TestRFC7517_5_KeySets(t *testing.T) {
	key := newSigner(t).Key()
	public, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	one := string(public)
	redirect := func(to string) func() *http.Response {
		return func() *http.Response {
			resp := status(http.StatusFound)()
			resp.Header.Set("Location", to)
			return resp
		}
	}
	for _, c := range []struct {
		name   string
		answer func() *http.Response
		ok     bool
	}{
		{"one", body(`{"keys":[`+one+`]}`, ""), true},
		{"beside unknown ones", body(`{"keys":[{"kty":"AKP","alg":"ML-DSA-44"},`+one+`]}`, ""), true},
		{"none", body(`{"keys":[]}`, ""), false},
		{"only unknown ones", body(`{"keys":[{"kty":"AKP"}]}`, ""), false},
		{"a symmetric one", body(`{"keys":[{"kty":"oct","k":"AAAA"},`+one+`]}`, ""), false},
		{"too many", body(`{"keys":[`+strings.Repeat(one+",", 100)+one+`]}`, ""), false},
		{"too long", body(`{"keys":[`+one+`],"x":"`+strings.Repeat("a", 256<<10)+`"}`, ""), false},
		{"not JSON", body("<html>", ""), false},
		{"not there", status(http.StatusNotFound), false},
		{"elsewhere on the host", redirect("/t/moved"), true},
		{"on another host", redirect("https://evil.example/moved"), false},
		{"on another port", redirect("https://login.example.com:8443/moved"), false},
		{"in the clear", redirect("http://login.example.com/moved"), false},
		{"in a circle", redirect("/t/jwks"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.set(jwksAt, c.answer)
			for _, at := range []string{"login.example.com/t/moved", "evil.example/moved", "login.example.com:8443/moved", "login.example.com/moved"} {
				r.set(at, body(`{"keys":[`+one+`]}`, ""))
			}
			err := r.Warm(t.Context())
			if c.ok != (err == nil) || !c.ok && !errors.Is(err, resource.ErrUnavailable) {
				t.Error(err)
			}
			if r.count(jwksAt) > 4 {
				t.Errorf("asked %d times", r.count(jwksAt))
			}
		})
	}
}

// OpenID Connect Core §10.1: with several keys a token names its own.
func TestOIDCCore_10_1_NoKid(t *testing.T) {
	r := newRig(t, nil)
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	nameless, err := jose.NewSigner(key.WithID(""))
	if err != nil {
		t.Fatal(err)
	}
	r.publish(t, "max-age=600", nameless)
	r.want(t, 1, true, r.verify(t, nameless))
	r = newRig(t, nil)
	r.publish(t, "max-age=600", nameless, r.signer)
	r.want(t, 1, false, r.verify(t, nameless))
}
