package dpop_test

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/jose"
)

const endpoint = "https://login.example.com/token"

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func signer(t testing.TB, alg jose.Alg) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func proof(t testing.TB, s *jose.Signer, method, url, nonce, token string, at time.Time) string {
	t.Helper()
	p, err := dpop.Make(s, method, url, nonce, token, at)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRFC9449_4_3_Checks(t *testing.T) {
	s := signer(t, jose.ES256)
	nonces := dpop.NewNonces([]byte("0123456789abcdef0123456789abcdef"))
	fresh := nonces.Current(now)
	expect := dpop.Expect{Method: "POST", URL: endpoint, Now: now}
	with := func(change func(*dpop.Expect)) dpop.Expect {
		e := expect
		change(&e)
		return e
	}
	for _, c := range []struct {
		name   string
		proof  string
		expect dpop.Expect
		want   error // nil: accepted
	}{
		{"right", proof(t, s, "POST", endpoint, "", "", now), expect, nil},
		{"EdDSA", proof(t, signer(t, jose.EdDSA), "POST", endpoint, "", "", now), expect, nil},
		{"PS256", proof(t, signer(t, jose.PS256), "POST", endpoint, "", "", now), expect, nil},
		{"RS256 is not offered", proof(t, signer(t, jose.RS256), "POST", endpoint, "", "", now), expect, dpop.ErrInvalid},
		{"wrong htm", proof(t, s, "GET", endpoint, "", "", now), expect, dpop.ErrInvalid},
		{"htm in lower case", proof(t, s, "post", endpoint, "", "", now), expect, dpop.ErrInvalid},
		{"wrong htu", proof(t, s, "POST", "https://login.example.com/par", "", "", now), expect, dpop.ErrInvalid},
		{"htu on another host", proof(t, s, "POST", "https://login.example.net/token", "", "", now), expect, dpop.ErrInvalid},
		{"htu normalised", proof(t, s, "POST", "HTTPS://Login.Example.com:443/%74oken?a=b", "", "", now), expect, nil},
		{"ten seconds ahead", proof(t, s, "POST", endpoint, "", "", now.Add(10*time.Second)), expect, nil},
		{"ten seconds old", proof(t, s, "POST", endpoint, "", "", now.Add(-10*time.Second)), expect, nil},
		{"an hour ahead", proof(t, s, "POST", endpoint, "", "", now.Add(time.Hour)), expect, dpop.ErrInvalid},
		{"a minute ahead", proof(t, s, "POST", endpoint, "", "", now.Add(time.Minute)), expect, dpop.ErrInvalid},
		{"eleven seconds ahead", proof(t, s, "POST", endpoint, "", "", now.Add(11*time.Second)), expect, dpop.ErrInvalid},
		{"a minute old", proof(t, s, "POST", endpoint, "", "", now.Add(-time.Minute)), expect, nil},
		{"older than a minute", proof(t, s, "POST", endpoint, "", "", now.Add(-61*time.Second)), expect, dpop.ErrInvalid},
		{"ten seconds old", proof(t, s, "POST", endpoint, "", "", now.Add(-10*time.Second)), expect, nil},
		{"an hour old", proof(t, s, "POST", endpoint, "", "", now.Add(-time.Hour)), expect, dpop.ErrInvalid},
		{"no ath", proof(t, s, "POST", endpoint, "", "", now), with(func(e *dpop.Expect) { e.AccessToken = "token" }), dpop.ErrInvalid},
		{"ath", proof(t, s, "POST", endpoint, "", "token", now), with(func(e *dpop.Expect) { e.AccessToken = "token" }), nil},
		{"ath of another token", proof(t, s, "POST", endpoint, "", "other", now), with(func(e *dpop.Expect) { e.AccessToken = "token" }), dpop.ErrInvalid},
		{"no nonce", proof(t, s, "POST", endpoint, "", "", now), with(func(e *dpop.Expect) { e.Nonces = nonces }), dpop.ErrNonce},
		{"nonce", proof(t, s, "POST", endpoint, fresh, "", now), with(func(e *dpop.Expect) { e.Nonces = nonces }), nil},
		{"made-up nonce", proof(t, s, "POST", endpoint, "AAAA", "", now), with(func(e *dpop.Expect) { e.Nonces = nonces }), dpop.ErrNonce},
		{"the bound key", proof(t, s, "POST", endpoint, "", "", now), with(func(e *dpop.Expect) { e.Thumbprint = s.Key().Thumbprint() }), nil},
		{"another key", proof(t, signer(t, jose.ES256), "POST", endpoint, "", "", now), with(func(e *dpop.Expect) { e.Thumbprint = s.Key().Thumbprint() }), dpop.ErrInvalid},
		{"empty", "", expect, dpop.ErrInvalid},
		{"not a token", "a.b.c", expect, dpop.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := dpop.Check(c.proof, c.expect)
			if !errors.Is(err, c.want) || (c.want == nil) != (p != nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestRFC9449_4_2_TypeAndEmbeddedKey(t *testing.T) {
	key, err := jose.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := jose.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	embedded, err := plain.WithEmbeddedKey()
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{"jti": "x", "htm": "POST", "htu": endpoint, "iat": now.Unix()}
	expect := dpop.Expect{Method: "POST", URL: endpoint, Now: now}
	wrongType, err := embedded.Sign("JWT", claims)
	if err != nil {
		t.Fatal(err)
	}
	noKey, err := plain.Sign("dpop+jwt", claims)
	if err != nil {
		t.Fatal(err)
	}
	delete(claims, "jti")
	noID, err := embedded.Sign("dpop+jwt", claims)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]string{"typ": wrongType, "jwk": noKey, "jti": noID} {
		if _, err := dpop.Check(p, expect); !errors.Is(err, dpop.ErrInvalid) {
			t.Errorf("without a right %s: got %v", name, err)
		}
	}
}

func TestRFC9449_8_NoncesExpire(t *testing.T) {
	n := dpop.NewNonces([]byte("0123456789abcdef0123456789abcdef"))
	other := dpop.NewNonces([]byte("another key of thirty-two bytes!"))
	given := n.Current(now)
	if !n.Valid(given, now.Add(60*time.Second)) {
		t.Error("refused after a minute")
	}
	if n.Valid(given, now.Add(91*time.Second)) {
		t.Error("accepted after a minute and a half")
	}
	if other.Valid(given, now) || n.Valid("", now) {
		t.Error("accepted a nonce that was never given")
	}
}

func TestRFC9449_11_1_ReplayKeyOutlivesTheProof(t *testing.T) {
	s := signer(t, jose.ES256)
	p, err := dpop.Check(proof(t, s, "POST", endpoint, "", "", now), dpop.Expect{Method: "POST", URL: endpoint, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	key, until := p.Replay()
	if key == "" || until.Before(p.IssuedAt.Add(dpop.Age)) {
		t.Errorf("key %q until %v: the proof would be accepted again", key, until)
	}
}
