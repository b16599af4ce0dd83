package clients_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/clients"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
)

// basic is the header of RFC 6749 §2.3.1: id and secret are form-encoded before they are joined.
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

func raw(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }

func cert(of func(party) web.Peer) web.Peer { return of(parties()) }

func leafPeer(p party) web.Peer { return web.Peer{Certificate: p.leaf, Chain: p.middle} }
func selfPeer(p party) web.Peer { return web.Peer{Certificate: p.selfMade} }

func TestEachMethod(t *testing.T) {
	r := newRig(t)
	assertion := r.assert(t, "jwt", nil)
	for _, c := range []struct {
		name, client, method string
		offer                offer
	}{
		{"basic", "basic", oauth.AuthSecretBasic, offer{basic: basic("basic", secret)}},
		{"basic, scheme in lower case", "basic", oauth.AuthSecretBasic, offer{basic: "basic" + strings.TrimPrefix(basic("basic", secret), "Basic")}},
		{"basic beside client_id", "basic", oauth.AuthSecretBasic, offer{basic: basic("basic", secret), form: form("client_id", "basic")}},
		{"basic, id with a colon", "colon:id", oauth.AuthSecretBasic, offer{basic: basic("colon:id", secret)}},
		{"post", "post", oauth.AuthSecretPost, offer{form: form("client_id", "post", "client_secret", secret)}},
		{"post beside a certificate that binds", "post", oauth.AuthSecretPost, offer{form: form("client_id", "post", "client_secret", secret), peer: cert(selfPeer)}},
		{"assertion", "jwt", oauth.AuthPrivateKeyJWT, offer{form: assertion}},
		{"certificate of an authority", "tls", oauth.AuthTLSClient, offer{form: form("client_id", "tls"), peer: cert(leafPeer)}},
		{"certificate of its own making", "self", oauth.AuthSelfSignedTLS, offer{form: form("client_id", "self"), peer: cert(selfPeer)}},
		{"none", "public", oauth.AuthNone, offer{form: form("client_id", "public")}},
		{"none beside a certificate that binds", "public", oauth.AuthNone, offer{form: form("client_id", "public"), peer: cert(selfPeer)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, authn, err := r.try(c.offer)
			if err != nil {
				t.Fatal(err)
			}
			if client.ID != c.client || authn.Method != c.method {
				t.Errorf("got %s by %s", client.ID, authn.Method)
			}
		})
	}
}

func TestRFC6749_2_3_OneMethodOnly(t *testing.T) {
	r := newRig(t)
	assertion := r.assert(t, "jwt", nil)
	with := func(v url.Values, pairs ...string) url.Values {
		for k, values := range form(pairs...) {
			v[k] = values
		}
		return v
	}
	for _, c := range []struct {
		name  string
		offer offer
	}{
		{"basic and post", offer{basic: basic("basic", secret), form: form("client_secret", secret)}},
		{"basic and an assertion", offer{basic: basic("jwt", secret), form: assertion}},
		{"post and an assertion", offer{form: with(r.assert(t, "jwt", nil), "client_id", "jwt", "client_secret", secret)}},
		{"basic of one client and client_id of another", offer{basic: basic("basic", secret), form: form("client_id", "post")}},
		{"an assertion of unknown type", offer{form: with(r.assert(t, "jwt", nil), "client_assertion_type", "urn:else")}},
		{"a type without an assertion", offer{form: form("client_id", "public", "client_assertion_type", oauth.AssertionType)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := r.try(c.offer)
			refused(t, err, oauth.InvalidRequest, "")
		})
	}
}

func TestRegisteredMethodOnly(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name, cause string
		offer       offer
	}{
		{"post for basic", "no credentials for client_secret_basic", offer{form: form("client_id", "basic", "client_secret", secret)}},
		{"basic for post", "no credentials for client_secret_post", offer{basic: basic("post", secret)}},
		{"nothing for post", "no credentials for client_secret_post", offer{form: form("client_id", "post")}},
		{"a secret for a public client", "no credentials for none", offer{form: form("client_id", "public", "client_secret", secret)}},
		{"no certificate for tls", "no credentials for tls_client_auth", offer{form: form("client_id", "tls")}},
		{"a certificate and an assertion for tls", "no credentials for tls_client_auth", offer{form: r.assert(t, "tls", nil), peer: cert(leafPeer)}},
		{"a certificate and a secret for tls", "no credentials for tls_client_auth", offer{form: form("client_id", "tls", "client_secret", secret), peer: cert(leafPeer)}},
		{"a certificate for an assertion", "no credentials for private_key_jwt", offer{form: form("client_id", "jwt"), peer: cert(leafPeer)}},
		{"an unknown client", "no such client", offer{form: form("client_id", "nobody", "client_secret", secret)}},
		{"an unknown public client", "no such client", offer{form: form("client_id", "nobody")}},
		{"no client", "no client is named", offer{}},
		{"a client that cannot be", "no client is named", offer{basic: raw("a%00b:secret")}},
		{"a client id without end", "no client is named", offer{form: form("client_id", strings.Repeat("a", 300))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := r.try(c.offer)
			refused(t, err, oauth.InvalidClient, c.cause)
		})
	}
}

func TestRFC6749_2_3_1_Basic(t *testing.T) {
	r := newRig(t)
	for name, header := range map[string]string{
		"another scheme": "Bearer abc", "no base64": "Basic !!!", "no colon": raw("basic"), "bad encoding": raw("basic:%zz"),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := r.try(offer{basic: header})
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok || e.Code != oauth.InvalidClient || e.HTTPStatus() != http.StatusUnauthorized {
				t.Errorf("got %v", err)
			}
		})
	}
	// Encoded or not, an empty secret is none.
	_, _, err := r.try(offer{basic: raw("basic:")})
	refused(t, err, oauth.InvalidClient, "the secret is wrong")
}

func TestSecretsDuringRotation(t *testing.T) {
	r := newRig(t)
	var next string
	r.write(t, func(tx *store.Tx) error {
		_, s, err := objects.NewSecret(tx, r.Ring, objects.ManagedByFile, "post", time.Hour, -1)
		next = s.Reveal()
		return err
	})
	r.Registry.Invalidate("client", "post")
	try := func(s string) error {
		_, _, err := r.try(offer{form: form("client_id", "post", "client_secret", s)})
		return err
	}
	for _, s := range []string{secret, next} {
		if err := try(s); err != nil {
			t.Fatal(err)
		}
	}
	r.now = r.now.Add(time.Hour)
	refused(t, try(secret), oauth.InvalidClient, "the secret is wrong")
	if err := try(next); err != nil {
		t.Fatal(err)
	}
}

// A guesser is slowed down, learns nothing from it about who is a client, and shuts nobody out elsewhere.
func TestGuessing(t *testing.T) {
	for _, id := range []string{"post", "public", "nobody"} {
		t.Run(id, func(t *testing.T) {
			r := newRig(t)
			guess := offer{form: form("client_id", id, "client_secret", "guess"), peer: web.Peer{Prefix: "192.0.2.0/24"}}
			var err error
			for range 6 {
				_, _, err = r.try(guess)
				refused(t, err, oauth.InvalidClient, "")
			}
			_, _, err = r.try(guess)
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok || e.HTTPStatus() != http.StatusTooManyRequests || e.Header["Retry-After"] == "" {
				t.Fatalf("the seventh guess: %v", err)
			}
			r.now = r.now.Add(2 * time.Second)
			_, _, err = r.try(guess)
			refused(t, err, oauth.InvalidClient, "")
			if _, _, err := r.try(offer{form: form("client_id", "post", "client_secret", secret), peer: web.Peer{Prefix: "198.51.100.0/24"}}); err != nil {
				t.Errorf("from elsewhere: %v", err)
			}
		})
	}
}

// A weak secret could be guessed from many networks together.
func TestGuessingWeakSecretFromEverywhere(t *testing.T) {
	r := newRig(t)
	for i := range 6 {
		_, _, err := r.try(offer{form: form("client_id", "weak", "client_secret", "guess"), peer: web.Peer{Prefix: fmt.Sprintf("192.0.%d.0/24", i)}})
		refused(t, err, oauth.InvalidClient, "the secret is wrong")
	}
	_, _, err := r.try(offer{form: form("client_id", "weak", "client_secret", weak), peer: web.Peer{Prefix: "198.51.100.0/24"}})
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.HTTPStatus() != http.StatusTooManyRequests {
		t.Errorf("got %v", err)
	}
}

func TestSuccessWritesNothing(t *testing.T) {
	r := newRig(t)
	if _, _, err := r.try(offer{basic: basic("basic", secret)}); err != nil {
		t.Fatal(err)
	}
	if err := r.db.Close(); err != nil { // from now on any read or write would fail
		t.Fatal(err)
	}
	if _, _, err := r.try(offer{basic: basic("basic", secret)}); err != nil {
		t.Error(err)
	}
}

func TestStoreFailureIsNotARefusal(t *testing.T) {
	r := newRig(t)
	if err := r.db.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err := r.try(offer{basic: basic("basic", secret)})
	if _, visible := errors.AsType[*oauth.Error](err); err == nil || visible {
		t.Errorf("got %v, want an internal error", err)
	}
}

func TestMethodsForMetadata(t *testing.T) {
	want := "private_key_jwt tls_client_auth self_signed_tls_client_auth client_secret_jwt client_secret_basic client_secret_post none"
	if got := strings.Join(clients.Methods(), " "); got != want {
		t.Errorf("got %s", got)
	}
}

func TestCredentialsHideTheirSecret(t *testing.T) {
	c := clients.Credentials{ClientID: "post", Secret: secret}
	if text := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(text, secret) {
		t.Errorf("printed: %s", text)
	}
}
