package gateway_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/jose"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource/resourcetest"
)

// refusal is how a request has to be refused.
type refusal struct {
	status    int
	code      string   // in the body and the record
	challenge []string // begin of each line of WWW-Authenticate, none: there is none
}

func (r *rig) wantRefusal(t *testing.T, c *http.Client, q *http.Request, want refusal) {
	t.Helper()
	before := r.count()
	a := send(t, c, q)
	var body map[string]string
	if q.Method != "HEAD" && a.body != "" {
		if err := json.Unmarshal([]byte(a.body), &body); err != nil {
			t.Errorf("body %q", a.body)
		}
	}
	if code := body["error"] + body["code"]; a.StatusCode != want.status || a.body != "" && code != want.code {
		t.Errorf("%d %s, want %d %s", a.StatusCode, a.body, want.status, want.code)
	}
	lines := a.Header.Values("WWW-Authenticate")
	if len(lines) != len(want.challenge) {
		t.Errorf("challenges %q, want %q", lines, want.challenge)
	}
	for i := range min(len(lines), len(want.challenge)) {
		if !strings.HasPrefix(lines[i], want.challenge[i]) {
			t.Errorf("challenge %q, want %q", lines[i], want.challenge[i])
		}
	}
	if r.count() != before {
		t.Error("the API has seen the request")
	}
	if rec := r.refusal(t); rec.code != want.code || rec.status != want.status {
		t.Errorf("recorded %+v, want %d %s", rec, want.status, want.code)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("the refusal may be kept: %v", a.Header)
	}
}

func TestRefusesWhatIsNoRequestOfARoute(t *testing.T) {
	r := landscape(t)
	client := r.client(t, &r.partner.KeyPair)
	for name, c := range map[string]struct {
		method, url string
		want        refusal
	}{
		"unknown":                        {"GET", r.origin + "/unknown", refusal{404, "invalid_request", nil}},
		"root":                           {"GET", r.origin + "/", refusal{404, "invalid_request", nil}},
		"prefix within a segment":        {"GET", r.origin + "/ordersx", refusal{404, "invalid_request", nil}},
		"another case":                   {"GET", r.origin + "/Orders", refusal{404, "invalid_request", nil}},
		"method":                         {"DELETE", r.origin + "/orders", refusal{405, "invalid_request", nil}},
		"method in another case":         {"get", r.origin + "/orders", refusal{405, "invalid_request", nil}},
		"method of nobody":               {"PROPFIND", r.origin + "/orders", refusal{405, "invalid_request", nil}},
		"CONNECT-like":                   {"TRACE", r.origin + "/orders", refusal{405, "invalid_request", nil}},
		"method of the shorter prefix":   {"POST", r.origin + "/orders/admin/1", refusal{405, "invalid_request", nil}},
		"another host of the listener":   {"GET", strings.Replace(r.origin, "api.", "elsewhere.", 1) + "/orders", refusal{421, "invalid_request", nil}},
		"a host that is not served":      {"GET", strings.Replace(r.origin, "api.", "nobody.", 1) + "/orders", refusal{421, "invalid_request", nil}},
		"two routes for the same":        {"GET", r.origin + "/twice", refusal{500, "server_error", nil}},
		"OPTIONS that is no preflight":   {"OPTIONS", r.origin + "/orders", refusal{405, "invalid_request", nil}},
		"OPTIONS on a route for clients": {"OPTIONS", r.origin + "/proof", refusal{405, "invalid_request", nil}},
	} {
		t.Run(name, func(t *testing.T) { r.wantRefusal(t, client, newRequest(t, c.method, c.url, ""), c.want) })
	}
	t.Run("port of another listener", func(t *testing.T) {
		q := newRequest(t, "GET", r.origin+"/orders", "")
		q.Host = "api.holdfast.localhost:1"
		r.wantRefusal(t, client, q, refusal{421, "invalid_request", nil})
	})
	if a := send(t, client, newRequest(t, "DELETE", r.origin+"/orders/admin", "")); a.Header.Get("Allow") != "GET" {
		t.Errorf("Allow: %q", a.Header.Get("Allow"))
	}
}

// certified is a request with a token bound to the partner's certificate, or to what is given.
func (r *rig) certified(t testing.TB, method, path string, p pass) *http.Request {
	t.Helper()
	if p.client == "" {
		p.client, p.bound = "partner", oauth.Confirmation{X5T: r.partner.X5T()}
	}
	token, _ := r.issue(t, p)
	q := newRequest(t, method, r.mtls+path, "")
	q.Header.Set("Authorization", "Bearer "+token)
	return q
}

const (
	bearerInvalid = `Bearer error="invalid_token"`
	dpopInvalid   = `DPoP error="invalid_token"`
)

func TestRFC6750_3_Challenges(t *testing.T) {
	r := landscape(t)
	partner, stranger, nobody := r.client(t, &r.partner.KeyPair), r.client(t, &resourcetest.NewClient(t).KeyPair), r.client(t, nil)
	with := func(path string, header ...string) func(t *testing.T) *http.Request {
		return func(t *testing.T) *http.Request {
			q := newRequest(t, "GET", r.mtls+path, "")
			for i := 0; i < len(header); i += 2 {
				q.Header.Add(header[i], header[i+1])
			}
			return q
		}
	}
	token := func(path string, p pass) func(t *testing.T) *http.Request {
		return func(t *testing.T) *http.Request { return r.certified(t, "GET", path, p) }
	}
	jkt, x5t := oauth.Confirmation{JKT: r.phone.JKT()}, oauth.Confirmation{X5T: r.partner.X5T()}
	twice := token("/admin", pass{})
	for name, c := range map[string]struct {
		from *http.Client
		make func(t *testing.T) *http.Request
		want refusal
	}{
		"nothing":                     {partner, with("/stepup"), refusal{401, "invalid_token", []string{`Bearer resource_metadata="`}}},
		"nothing, both are good":      {partner, with("/orders"), refusal{401, "invalid_token", []string{"Bearer ", "DPoP "}}},
		"nothing, proofs only":        {partner, with("/proof"), refusal{401, "invalid_token", []string{`DPoP algs="ES256`}}},
		"Basic":                       {partner, with("/stepup", "Authorization", "Basic YTpi"), refusal{401, "invalid_token", []string{"Bearer "}}},
		"garbage":                     {partner, with("/stepup", "Authorization", "Bearer abc"), refusal{401, "invalid_token", []string{bearerInvalid}}},
		"a JWT of nobody":             {partner, with("/stepup", "Authorization", "Bearer a.b.c"), refusal{401, "invalid_token", []string{bearerInvalid}}},
		"no token68":                  {partner, with("/stepup", "Authorization", "Bearer a&b=c"), refusal{400, "invalid_request", []string{`Bearer error="invalid_request"`}}},
		"two tokens in one header":    {partner, with("/stepup", "Authorization", "Bearer a, Bearer b"), refusal{400, "invalid_request", []string{`Bearer error="invalid_request"`}}},
		"two headers":                 {partner, with("/stepup", "Authorization", "Bearer a", "Authorization", "Bearer b"), refusal{400, "invalid_request", []string{`Bearer error="invalid_request"`}}},
		"in the address":              {partner, with("/stepup?access_token=abc"), refusal{400, "invalid_request", []string{`Bearer error="invalid_request"`}}},
		"bearer and a proof":          {partner, with("/orders", "Authorization", "Bearer abc", "DPoP", "x"), refusal{400, "invalid_request", []string{`Bearer error="invalid_request"`}}},
		"no scope":                    {partner, token("/orders/admin", pass{}), refusal{403, "insufficient_scope", []string{`Bearer error="insufficient_scope"`}}},
		"another certificate":         {stranger, token("/orders", pass{}), refusal{401, "invalid_token", []string{bearerInvalid, "DPoP "}}},
		"no certificate":              {nobody, token("/orders", pass{}), refusal{401, "invalid_token", []string{bearerInvalid, "DPoP "}}},
		"key where certificates are":  {partner, token("/stepup", pass{client: "phone", bound: jkt}), refusal{401, "invalid_token", []string{bearerInvalid}}},
		"DPoP token as bearer":        {partner, token("/orders", pass{client: "phone", bound: jkt}), refusal{401, "invalid_token", []string{bearerInvalid, "DPoP "}}},
		"certificate where keys are":  {partner, token("/proof", pass{client: "partner", bound: x5t}), refusal{401, "invalid_token", []string{bearerInvalid, "DPoP "}}},
		"bound to nothing":            {partner, token("/orders", pass{client: "loose"}), refusal{401, "invalid_token", []string{bearerInvalid, "DPoP "}}},
		"bound, where nothing is":     {partner, token("/loose", pass{client: "partner", bound: x5t}), refusal{401, "invalid_token", []string{bearerInvalid}}},
		"both bindings, no proof":     {partner, token("/orders", pass{client: "phone", bound: oauth.Confirmation{JKT: r.phone.JKT(), X5T: r.partner.X5T()}}), refusal{401, "invalid_token", []string{bearerInvalid, "DPoP "}}},
		"RFC 9470, another acr":       {partner, token("/stepup", pass{client: "partner", bound: x5t, acr: "1"}), refusal{401, "insufficient_user_authentication", []string{`Bearer error="insufficient_user_authentication"`}}},
		"unknown route, with a token": {partner, token("/admin", pass{}), refusal{404, "invalid_request", nil}},
		"the same, asked for as HEAD": {partner, func(t *testing.T) *http.Request { q := twice(t); q.Method = "HEAD"; return q }, refusal{404, "invalid_request", nil}},
	} {
		t.Run(name, func(t *testing.T) { r.wantRefusal(t, c.from, c.make(t), c.want) })
	}
	r.pass(2 * time.Minute)
	t.Run("RFC 9470, another time", func(t *testing.T) {
		eventually(t, "the feed follows", func() bool { return !r.feed.Stale() })
		q := r.certified(t, "GET", "/stepup", pass{client: "partner", bound: x5t, acr: "phrh"})
		if a := send(t, partner, q); a.StatusCode != 200 {
			t.Errorf("just signed in: %d %s", a.StatusCode, a.body)
		}
		r.pass(2 * time.Minute)
		eventually(t, "the feed follows", func() bool { return !r.feed.Stale() })
		a := send(t, partner, q)
		if line := a.Header.Get("WWW-Authenticate"); a.StatusCode != 401 || !strings.Contains(line, `acr_values="phrh"`) || !strings.Contains(line, `max_age="60"`) {
			t.Errorf("%d %s", a.StatusCode, line)
		}
	})
}

// RFC 9068 §4: the token that the API gets is for the API alone, even for somebody who has the certificate.
func TestRFC9068_4_TokenOfTheHopOutside(t *testing.T) {
	r := landscape(t)
	partner := r.client(t, &r.partner.KeyPair)
	q := r.certified(t, "GET", "/orders", pass{})
	inside := send(t, partner, q)
	if inside.StatusCode != 200 {
		t.Fatal(inside.Status)
	}
	q = newRequest(t, "GET", r.mtls+"/orders", "")
	q.Header.Set("Authorization", r.last(t).Header.Get("Authorization"))
	r.wantRefusal(t, partner, q, refusal{401, "invalid_token", []string{bearerInvalid, "DPoP "}})
}

// proofBy puts a proof on a request.
func proofBy(s *jose.Signer, method, url, nonce, token string, at time.Time) func(*http.Request) {
	return func(q *http.Request) {
		p, err := dpop.Make(s, method, url, nonce, token, at)
		if err != nil {
			panic(err)
		}
		q.Header.Set("DPoP", p)
	}
}

func TestRFC9449_9_Proofs(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		client := r.client(t, nil)
		token, _ := r.issue(t, pass{client: "phone", bound: oauth.Confirmation{JKT: r.phone.JKT()}})
		proof := func(method, url, nonce, token string, at time.Time) func(*http.Request) {
			return proofBy(r.phone.Signer, method, url, nonce, token, at)
		}
		at, nonce, now := r.origin+"/proof", r.nonces.Current(r.now()), r.now()
		other := resourcetest.NewClient(t)
		for name, c := range map[string]struct {
			change func(*http.Request)
			code   string
		}{
			"no proof":            {func(q *http.Request) { q.Header.Del("DPoP") }, "invalid_dpop_proof"},
			"two proofs":          {func(q *http.Request) { q.Header.Add("DPoP", q.Header.Get("DPoP")) }, "invalid_dpop_proof"},
			"no nonce":            {proof("GET", at, "", token, now), "use_dpop_nonce"},
			"a nonce of nobody":   {proof("GET", at, "x", token, now), "use_dpop_nonce"},
			"another method":      {proof("POST", at, nonce, token, now), "invalid_dpop_proof"},
			"another path":        {proof("GET", at+"/x", nonce, token, now), "invalid_dpop_proof"},
			"our other host":      {proof("GET", r.mtls+"/proof", nonce, token, now), "invalid_dpop_proof"},
			"the API behind":      {proof("GET", r.api+"/proof", nonce, token, now), "invalid_dpop_proof"},
			"another token":       {proof("GET", at, nonce, token+"x", now), "invalid_dpop_proof"},
			"too old":             {proof("GET", at, nonce, token, now.Add(-2*time.Minute)), "invalid_dpop_proof"},
			"another key":         {proofBy(other.Signer, "GET", at, nonce, token, now), "invalid_dpop_proof"},
			"under another token": {func(q *http.Request) { q.Header.Set("Authorization", "DPoP a.b.c") }, "invalid_token"},
		} {
			t.Run(name, func(t *testing.T) {
				q := r.withProof(newRequest(t, "GET", at, ""), token)
				c.change(q)
				r.wantRefusal(t, client, q, refusal{401, c.code, []string{`DPoP error="` + c.code + `"`}})
			})
		}
		t.Run("a nonce is handed out", func(t *testing.T) {
			q := r.withProof(newRequest(t, "GET", at, ""), token)
			proof("GET", at, "", token, r.now())(q)
			if got := send(t, client, q).Header.Get("DPoP-Nonce"); !r.nonces.Valid(got, r.now()) {
				t.Errorf("nonce %q", got)
			}
		})
		t.Run("twice", func(t *testing.T) {
			q := r.withProof(newRequest(t, "GET", at, ""), token)
			if a := send(t, client, q); a.StatusCode != 200 || a.body != "GET /" {
				t.Fatalf("%d %s", a.StatusCode, a.body)
			}
			r.wantRefusal(t, client, q, refusal{401, "invalid_dpop_proof", []string{`DPoP error="invalid_dpop_proof"`}})
		})
	})
}

// A gateway that stands for several APIs tells clients about each, at the address that its challenges name.
func TestRFC9728_3_Metadata(t *testing.T) {
	r := landscape(t)
	client := r.client(t, nil)
	line := send(t, client, newRequest(t, "GET", r.origin+"/proof", "")).Header.Get("WWW-Authenticate")
	_, rest, _ := strings.Cut(line, `resource_metadata="`)
	at, _, _ := strings.Cut(rest, `"`)
	a := send(t, client, newRequest(t, "GET", at, ""))
	var doc struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil || doc.Resource != r.origin || !slices.Equal(doc.Servers, []string{issuerURL}) {
		t.Errorf("%s: %d %s", at, a.StatusCode, a.body)
	}
}

// A route that is taken away, or a host that is, is gone at once.
func TestRoutesChangeWhileRunning(t *testing.T) {
	r := landscape(t)
	client := r.client(t, nil)
	if a := send(t, client, newRequest(t, "GET", r.origin+"/new", "")); a.StatusCode != 404 {
		t.Fatal(a.Status)
	}
	r.apply(t, []objects.Document{document("route", m{"name": "new", "hosts": []string{r.origin, "https://gone.example"}, "path": "/new", "upstream": r.api,
		"credentials": []string{"dpop"}, "audience": r.origin, "upstream_audience": r.api})})
	if a := send(t, client, newRequest(t, "GET", r.origin+"/new", "")); a.StatusCode != 401 {
		t.Error(a.Status)
	}
}
