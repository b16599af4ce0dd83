package clients_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	lib "github.com/go-jose/go-jose/v4"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
)

// hash makes the form of an assertion under a keyed hash; edit changes its claims.
func (r *rig) hash(t testing.TB, alg string, key []byte, client string, edit func(map[string]any)) url.Values {
	t.Helper()
	claims := map[string]any{
		"iss": client, "sub": client, "aud": issuer, "jti": "one", "iat": r.now.Unix(), "exp": r.now.Add(time.Minute).Unix(),
	}
	if edit != nil {
		edit(claims)
	}
	s := must(lib.NewSigner(lib.SigningKey{Algorithm: lib.SignatureAlgorithm(alg), Key: key}, nil))
	compact := must(must(s.Sign(must(json.Marshal(claims)))).CompactSerialize())
	return form("client_assertion_type", oauth.AssertionType, "client_assertion", compact)
}

func TestOIDCCore_9_ClientSecretJWT(t *testing.T) {
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	in := func(d time.Duration) int64 { return start.Add(d).Unix() }
	for _, c := range []struct {
		name, alg, secret, client string
		edit                      func(map[string]any)
		cause                     string // "": accepted
	}{
		{"HS256", "HS256", long, "hs", nil, ""},
		{"HS384", "HS384", long, "hs", nil, ""},
		{"HS512", "HS512", long, "hs", nil, ""},
		{"HS256 with the least of secrets", "HS256", secret, "hs-short", nil, ""},
		// HMAC pads with zeros, so this is what the short secret itself would make.
		{"HS512 with a secret that is too short for it", "HS512", secret + strings.Repeat("\x00", 64-len(secret)), "hs-short", nil, "no key"},
		{"the registered one", "HS384", long, "hs384", nil, ""},
		{"another than the registered one", "HS256", long, "hs384", nil, "algorithm not allowed"},
		{"another secret", "HS256", strings.Repeat("x", 64), "hs", nil, "does not verify"},
		{"a client that signs with a key", "HS256", long, "jwt", nil, "no credentials for private_key_jwt"},
		{"a client that sends its secret", "HS256", secret, "basic", nil, "no credentials for client_secret_basic"},
		{"a public client", "HS256", long, "public", nil, "no credentials for none"},
		{"nobody", "HS256", long, "nobody", nil, "no such client"},
		{"iss is somebody else", "HS256", long, "hs", set("iss", "jwt"), "no client is named"},
		{"aud is the token endpoint", "HS256", long, "hs", set("aud", issuer+"/token"), "single string"},
		{"aud is an array", "HS256", long, "hs", set("aud", []string{issuer}), "single string"},
		{"old form", "HS256", long, "hs-old", set("aud", []string{issuer + "/token"}), ""},
		{"exp is past", "HS256", long, "hs", set("exp", in(0)), "exp is missing or past"},
		{"iat is 10 s ahead", "HS256", long, "hs", set("iat", in(10*time.Second)), ""},
		{"iat is 60 s ahead", "HS256", long, "hs", set("iat", in(time.Minute)), "iat is in the future"},
		{"nbf is 60 s ahead", "HS256", long, "hs", set("nbf", in(time.Minute)), "nbf is in the future"},
		{"jti is empty", "HS256", long, "hs", set("jti", ""), "jti is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t) // for failures add up
			client, authn, err := r.try(offer{form: r.hash(t, c.alg, []byte(c.secret), c.client, c.edit)})
			if c.cause != "" {
				refused(t, err, oauth.InvalidClient, c.cause)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if client.ID != c.client || authn.Method != oauth.AuthSecretJWT || len(authn.Spends) != 1 {
				t.Errorf("%s by %+v", client.ID, authn)
			}
		})
	}
}

func TestOIDCCore_9_ClientSecretJWTWorksOnce(t *testing.T) {
	r := newRig(t)
	for i, want := range []error{nil, store.ErrTaken} {
		_, authn, err := r.try(offer{form: r.hash(t, "HS256", []byte(long), "hs", nil)})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.db.Spend(context.Background(), authn.Spends...); !errors.Is(err, want) {
			t.Errorf("use %d: %v", i+1, err)
		}
	}
}

// A public key is no secret, whatever form of it somebody takes for one.
func TestRFC8725_2_1_AlgorithmConfusion(t *testing.T) {
	r, p := newRig(t), parties()
	registered := must(r.Registry.Client(t.Context(), "jwt"))
	for name, key := range map[string][]byte{
		"DER": must(x509.MarshalPKIXPublicKey(p.rs256.Key().CryptoPublic())),
		"JWK": must(json.Marshal(p.rs256.Key())),
		"set": registered.JWKS,
	} {
		for client, cause := range map[string]string{
			"jwt": "no credentials", "rsa": "no credentials", "oidc": "no credentials", "hs": "does not verify", "hs-to-es": "does not verify",
		} {
			t.Run(name+" for "+client, func(t *testing.T) {
				_, _, err := r.try(offer{form: r.hash(t, "HS256", key, client, nil)})
				refused(t, err, oauth.InvalidClient, cause)
			})
		}
	}
	// Nor is a signature taken where a hash was registered.
	_, _, err := r.try(offer{form: r.assert(t, "hs", nil)})
	refused(t, err, oauth.InvalidClient, "no credentials for client_secret_jwt")
}

func TestSigningSecretsDuringRotation(t *testing.T) {
	r := newRig(t)
	var next string
	r.write(t, func(tx *store.Tx) error {
		_, s, err := objects.NewSecret(tx, r.Ring, objects.ManagedByFile, "hs", time.Hour, -1)
		next = s.Reveal()
		return err
	})
	r.Registry.Invalidate("client", "hs")
	try := func(alg, s string) error {
		_, _, err := r.try(offer{form: r.hash(t, alg, []byte(s), "hs", nil)})
		return err
	}
	for _, s := range []string{long, next} {
		if err := try("HS512", s); err != nil { // a generated one is long enough for each algorithm
			t.Fatal(err)
		}
	}
	r.now = r.now.Add(time.Hour)
	refused(t, try("HS256", long), oauth.InvalidClient, "does not verify")
	if err := try("HS256", next); err != nil {
		t.Fatal(err)
	}
}

func TestGuessingSigningSecrets(t *testing.T) {
	r := newRig(t)
	guess := func(from string) error {
		_, _, err := r.try(offer{form: r.hash(t, "HS256", []byte(strings.Repeat("x", 64)), "hs", nil), peer: web.Peer{Prefix: from}})
		return err
	}
	for range 6 {
		refused(t, guess("192.0.2.0/24"), oauth.InvalidClient, "does not verify")
	}
	if e, ok := errors.AsType[*oauth.Error](guess("192.0.2.0/24")); !ok || e.HTTPStatus() != http.StatusTooManyRequests {
		t.Errorf("the seventh guess: %v", e)
	}
	refused(t, guess("198.51.100.0/24"), oauth.InvalidClient, "does not verify")
}

func TestOIDCRegistration_2_AnyAlgorithm(t *testing.T) {
	r := newRig(t)
	for _, s := range []*jose.Signer{parties().rs256, parties().es256, parties().ps256} {
		if _, _, err := r.try(offer{form: r.assertBy(t, s, "oidc", nil)}); err != nil {
			t.Errorf("%s: %v", s.Key().Alg(), err)
		}
	}
}

func TestTwoMethodsDuringMigration(t *testing.T) {
	signed := func(client string) func(*rig) offer {
		return func(r *rig) offer { return offer{form: r.assert(t, client, nil)} }
	}
	hashed := func(client string) func(*rig) offer {
		return func(r *rig) offer { return offer{form: r.hash(t, "HS256", []byte(long), client, nil)} }
	}
	always := func(o offer) func(*rig) offer { return func(*rig) offer { return o } }
	for _, c := range []struct {
		name, client, method string
		offer                func(*rig) offer
		after                string // cause of the refusal when the migration is over; "": accepted still
	}{
		{"a key", "moving", oauth.AuthPrivateKeyJWT, signed("moving"), ""},
		{"instead of a secret", "moving", oauth.AuthSecretBasic, always(offer{basic: basic("moving", secret)}), "no credentials for private_key_jwt"},
		{"a signature", "hs-to-es", oauth.AuthPrivateKeyJWT, signed("hs-to-es"), ""},
		{"instead of a hash", "hs-to-es", oauth.AuthSecretJWT, hashed("hs-to-es"), "no credentials for private_key_jwt"},
		{"a hash with the secret", "post-to-hs", oauth.AuthSecretJWT, hashed("post-to-hs"), ""},
		{"instead of the secret", "post-to-hs", oauth.AuthSecretPost, always(offer{form: form("client_id", "post-to-hs", "client_secret", long)}), "no credentials for client_secret_jwt"},
		{"a certificate of an authority", "to-tls", oauth.AuthTLSClient, always(offer{form: form("client_id", "to-tls"), peer: cert(leafPeer)}), ""},
		{"instead of one of its own", "to-tls", oauth.AuthSelfSignedTLS, always(offer{form: form("client_id", "to-tls"), peer: cert(selfPeer)}), "certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			client, authn, err := r.try(c.offer(r))
			if err != nil || client.ID != c.client || authn.Method != c.method {
				t.Fatalf("by %+v: %v", authn, err)
			}
			r.now = r.now.Add(time.Hour)
			_, authn, err = r.try(c.offer(r))
			if c.after != "" {
				refused(t, err, oauth.InvalidClient, c.after)
			} else if err != nil || authn.Method != c.method {
				t.Errorf("afterwards by %+v: %v", authn, err)
			}
		})
	}
}

func TestMigrationAllowsNothingElse(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		name, cause string
		offer       offer
	}{
		{"a third method", "no credentials for private_key_jwt", offer{form: form("client_id", "moving", "client_secret", secret)}},
		{"a wrong secret", "the secret is wrong", offer{basic: basic("moving", secret+"x")}},
		{"nothing", "no credentials for private_key_jwt", offer{form: form("client_id", "moving")}},
		{"another secret of two uses", "the secret is wrong", offer{form: form("client_id", "post-to-hs", "client_secret", secret)}},
		{"a foreign certificate", "certificate", offer{form: form("client_id", "to-tls"), peer: web.Peer{Certificate: parties().foreign}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := r.try(c.offer)
			refused(t, err, oauth.InvalidClient, c.cause)
		})
	}
	_, _, err := r.try(offer{basic: basic("moving", secret), form: r.assert(t, "moving", nil)})
	refused(t, err, oauth.InvalidRequest, "")
}
