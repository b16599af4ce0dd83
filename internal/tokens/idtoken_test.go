package tokens_test

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/jose"
)

func claimsOf(t *testing.T, r *rig, token string, alg jose.Alg) map[string]any {
	t.Helper()
	got, err := jose.Verify(token, []jose.Alg{alg}, r.signing.PublicKeys()...)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(got.Payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestOIDCCore_2_IDToken(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	token, err := r.minter.IDToken(t.Context(), tokens.IDPlan{
		Client: client(), Grant: r.grant(t, false), Subject: "alice", Nonce: "n-1", Access: "access", IssuedAt: r.now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	now := float64(r.now().Unix())
	sum := sha256.Sum256([]byte("access"))
	want := map[string]any{
		"iss": issuer, "sub": "alice", "aud": "shop", "exp": now + 300, "iat": now, "auth_time": now - 60, "nonce": "n-1",
		"acr": "phr", "amr": []any{"hwk", "user"}, "sid": "session-1",
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	if d := cmp.Diff(want, claimsOf(t, r, token, jose.ES256)); d != "" {
		t.Error(d)
	}
}

func TestOIDCRegistration_2_IDTokenAlgorithm(t *testing.T) {
	r := newRig(t, tokens.Lifetimes{})
	c := client()
	c.IDTokenSignedAlg = "EdDSA"
	plan := tokens.IDPlan{Client: c, Grant: r.grant(t, false), Subject: "alice", Access: "access", IssuedAt: r.now(), OmitSID: true}
	token, err := r.minter.IDToken(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	claims := claimsOf(t, r, token, jose.EdDSA)
	sum := sha512.Sum512([]byte("access"))
	if got := base64.RawURLEncoding.EncodeToString(sum[:32]); claims["at_hash"] != got {
		t.Errorf("at_hash of Ed25519 is not the left half of SHA-512: %v", claims["at_hash"])
	}
	for _, absent := range []string{"nonce", "sid"} {
		if claims[absent] != nil {
			t.Errorf("%s is there", absent)
		}
	}
	c.IDTokenSignedAlg = "RS256" // this issuer has no such key
	if _, err := r.minter.IDToken(t.Context(), plan); err == nil {
		t.Error("signed without a key")
	}
}
