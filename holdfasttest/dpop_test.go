package holdfasttest_test

import (
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/jose"
)

// proof is what a DPoP proof says; tests change one thing of a good one.
type proof struct {
	key                       *jose.Signer
	method, url, nonce, token string
	at                        time.Time
}

func (p proof) make(t *testing.T) string {
	t.Helper()
	text, err := dpop.Make(p.key, p.method, p.url, p.nonce, p.token, p.at)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// holder holds a token that is bound to its key, and asks with exactly the proofs it is given.
type holder struct {
	*party
	method, path string
	form         url.Values // of a POST
	token        string     // of the Authorization header
}

// refreshing holds a bound refresh token, which is not rotated and so may be shown as often as one likes.
func refreshing(c *party, token string) *holder {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	c.auth(form, nil)
	return &holder{party: c, method: http.MethodPost, path: "/token", form: form}
}

// reading holds an access token for the userinfo endpoint.
func reading(c *party, token string) *holder {
	return &holder{party: c, method: http.MethodGet, path: "/userinfo", token: token}
}

// by is the same, held by another.
func (h *holder) by(c *party) *holder {
	other, own := *h, *c
	other.party = &own
	return &other
}

// good is a new proof that would be accepted.
func (h *holder) good() proof {
	return proof{h.key, h.method, h.base + h.path, h.nonce, h.token, time.Now()}
}

// show asks with these header fields.
func (h *holder) show(proofs ...string) answered {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), h.method, h.base+h.path, body(h.form))
	if err != nil {
		h.t.Fatal(err)
	}
	if h.form != nil {
		req.Header.Set("Content-Type", urlencoded)
	}
	if h.token != "" {
		req.Header.Set("Authorization", "DPoP "+h.token)
	}
	req.Header["Dpop"] = proofs
	return h.send(req)
}

// oldNonce is one that the server really gave out, some time ago.
func oldNonce(t *testing.T, s *holdfasttest.Server, age time.Duration) string {
	t.Helper()
	ring, err := keys.LoadRing(filepath.Join(s.Data, "ring.json"))
	if err != nil {
		t.Fatal(err)
	}
	nonces := dpop.NewNonces(ring.Derive(keys.PurposeNonce))
	if now := time.Now(); !nonces.Valid(nonces.Current(now), now) {
		t.Fatal("these are not nonces of the server")
	}
	return nonces.Current(time.Now().Add(-age))
}

// badProof is one thing that is wrong with a proof, and what it is called at each endpoint; "" means that the endpoint
// does not ask for it.
type badProof struct {
	proofs          func(good proof) []string
	token, userinfo string
}

func badProofs(t *testing.T, s *holdfasttest.Server) map[string]badProof {
	const invalid, nonce = "invalid_dpop_proof", "use_dpop_nonce"
	changed := func(change func(*proof)) func(proof) []string {
		return func(good proof) []string {
			change(&good)
			return []string{good.make(t)}
		}
	}
	other := s.Signer("")
	return map[string]badProof{
		"another key":       {changed(func(p *proof) { p.key = other }), "invalid_grant", "invalid_token"},
		"htu, path":         {changed(func(p *proof) { p.url = s.Issuer + "/par" }), invalid, invalid},
		"htu, host":         {changed(func(p *proof) { p.url = strings.Replace(p.url, "login.", "evil.", 1) }), invalid, invalid},
		"htu, mutual TLS":   {changed(func(p *proof) { p.url = strings.Replace(p.url, s.Issuer, s.MTLSIssuer, 1) }), invalid, invalid},
		"htm":               {changed(func(p *proof) { p.method = http.MethodPut }), invalid, invalid},
		"htm, case":         {changed(func(p *proof) { p.method = strings.ToLower(p.method) }), invalid, invalid},
		"ath of another":    {changed(func(p *proof) { p.token = "another token" }), "", invalid},
		"ath missing":       {changed(func(p *proof) { p.token = "" }), "", invalid},
		"iat, an hour ago":  {changed(func(p *proof) { p.at = p.at.Add(-time.Hour) }), invalid, invalid},
		"iat, 70 s ago":     {changed(func(p *proof) { p.at = p.at.Add(-70 * time.Second) }), invalid, invalid},
		"iat, in a minute":  {changed(func(p *proof) { p.at = p.at.Add(time.Minute) }), invalid, invalid},
		"nonce missing":     {changed(func(p *proof) { p.nonce = "" }), nonce, nonce},
		"nonce invented":    {changed(func(p *proof) { p.nonce = "AAAAAAAAAAAAAAAAAAAAAA" }), nonce, nonce},
		"nonce 3 min old":   {changed(func(p *proof) { p.nonce = oldNonce(t, s, 3*time.Minute) }), nonce, nonce},
		"nonce not yet":     {changed(func(p *proof) { p.nonce = oldNonce(t, s, -3*time.Minute) }), nonce, nonce},
		"two proofs":        {func(p proof) []string { return []string{p.make(t), p.make(t)} }, invalid, invalid},
		"two proofs in one": {func(p proof) []string { return []string{p.make(t) + ", " + p.make(t)} }, invalid, invalid},
		"cut off":           {func(p proof) []string { return []string{p.make(t)[:200]} }, invalid, invalid},
		"no token":          {func(proof) []string { return []string{"x.y.z"} }, invalid, invalid},
		"empty":             {func(proof) []string { return []string{""} }, invalid, invalid},
		"no proof":          {func(proof) []string { return nil }, "invalid_request", invalid},
	}
}

// isRefusal checks what a client sees: status, code, and the header that tells it what to do.
func isRefusal(t *testing.T, a answered, path, code string) {
	t.Helper()
	status := http.StatusBadRequest
	challenge := ""
	if path == "/userinfo" {
		status, challenge = http.StatusUnauthorized, `error="`+code+`"`
	}
	if a.Status != status || a.text("error") != code {
		t.Errorf("%s: %d %v, want %d %s", path, a.Status, a.Body, status, code)
	}
	if got := a.Header.Values("WWW-Authenticate"); challenge == "" && len(got) > 0 ||
		challenge != "" && (len(got) != 1 || !strings.HasPrefix(got[0], `DPoP realm="holdfast", algs="ES256 EdDSA PS256"`) || !strings.Contains(got[0], challenge)) {
		t.Errorf("%s: challenges %q", path, got)
	}
	if code == "use_dpop_nonce" && a.Header.Get("DPoP-Nonce") == "" {
		t.Errorf("%s: asks for a nonce and gives none", path)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: may be cached", path)
	}
}

func TestRFC9449_ProofsOverTLS(t *testing.T) {
	engines(t, func(t *testing.T, s *holdfasttest.Server) {
		native := asNative(t, s)
		got := native.redeem("native_public", newPerson(t, s).code("native_public", s.Users[0], url.Values{"scope": {"openid offline_access"}}))
		if got.Status != http.StatusOK || native.nonce == "" {
			t.Fatalf("%d %v", got.Status, got.Body)
		}
		token, userinfo := refreshing(native, got.text("refresh_token")), reading(native, got.text("access_token"))
		accepted := func(h *holder, name string, p proof) {
			t.Helper()
			if a := h.show(p.make(t)); a.Status != http.StatusOK {
				t.Errorf("%s: %d %v", name, a.Status, a.Body)
			}
		}
		for name, c := range badProofs(t, s) {
			t.Run(name, func(t *testing.T) {
				for path, at := range map[string]struct {
					*holder
					code string
				}{"/token": {token, c.token}, "/userinfo": {userinfo, c.userinfo}} {
					if proofs := c.proofs(at.good()); at.code != "" {
						isRefusal(t, at.show(proofs...), path, at.code)
					}
				}
			})
		}
		for path, h := range map[string]*holder{"/token": token, "/userinfo": userinfo} {
			good := h.good()
			accepted(h, path+", a fresh proof", good)
			query := h.good()
			query.url += "?query=1#fragment" // which do not count
			accepted(h, path+", htu with a query", query)
			slow := h.good()
			slow.at = slow.at.Add(-50 * time.Second)
			accepted(h, path+", made 50 s ago", slow)
			once := h.good().make(t)
			if a := h.show(once); a.Status != http.StatusOK {
				t.Errorf("%s: %d %v", path, a.Status, a.Body)
			}
			isRefusal(t, h.show(once), path, "invalid_dpop_proof")
		}
	})
}
