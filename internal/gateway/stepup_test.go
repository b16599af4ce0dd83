package gateway_test

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// demand has the APIs, outer and inner, ask something of a sign-in.
func (r *rig) demand(t testing.TB, outer, inner m) {
	t.Helper()
	api := func(name string, more m) objects.Document {
		body := m{"resource": name, "scopes": []string{"read", "write"}, "introspectors": []string{"gateway"}, "exchangers": []string{"gateway"}}
		for k, v := range more {
			body[k] = v
		}
		return document("api", body)
	}
	r.apply(t, []objects.Document{api(r.origin, outer), api(r.api, inner)})
}

// What an API asks for is asked at the route that leads to it, outside or behind the gateway (RFC 9470 §3).
func TestRFC9470_3_APIsAskAtTheirRoutes(t *testing.T) {
	r := landscape(t)
	partner := r.client(t, &r.partner.KeyPair)
	x5t := oauth.Confirmation{X5T: r.partner.X5T()}
	for name, c := range map[string]struct {
		outer, inner m
		path, acr    string
		want         string // acr_values of the challenge; "": it passes
	}{
		"nothing is asked":           {nil, nil, "/orders", "1", ""},
		"less than is there":         {m{"required_acr": "1"}, nil, "/orders", "phr", ""},
		"as much as is there":        {m{"required_acr": "phr"}, nil, "/orders", "phr", ""},
		"more than is there":         {m{"required_acr": "phr"}, nil, "/orders", "1", "phr phrh"},
		"by the API behind":          {nil, m{"required_acr": "phrh"}, "/orders", "phr", "phrh"},
		"by both":                    {m{"required_acr": "phr"}, m{"required_acr": "phrh"}, "/orders", "phr", "phrh"},
		"by the route as well":       {m{"required_acr": "phr"}, nil, "/stepup", "phr", "phrh"},
		"by the route more":          {m{"required_acr": "1"}, nil, "/stepup", "phrh", ""},
		"without an exchange":        {m{"required_acr": "phr"}, m{"required_acr": "phrh"}, "/asis", "1", "phr phrh"},
		"without one, as it is told": {m{"required_acr": "phr"}, m{"required_acr": "phrh"}, "/asis", "phrh", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r.demand(t, c.outer, c.inner)
			a := send(t, partner, r.certified(t, "GET", c.path, pass{client: "partner", bound: x5t, acr: c.acr}))
			line := a.Header.Get("WWW-Authenticate")
			if c.want == "" {
				if a.StatusCode != 200 {
					t.Errorf("%d %s", a.StatusCode, line)
				}
				return
			}
			if a.StatusCode != 401 || !strings.Contains(line, `error="insufficient_user_authentication"`) || !strings.Contains(line, `acr_values="`+c.want+`"`) {
				t.Errorf("%d %s", a.StatusCode, line)
			}
		})
	}
}

func TestRFC9470_3_APIsAskForTheAge(t *testing.T) {
	r := landscape(t)
	r.demand(t, m{"max_authentication_age": 90}, m{"max_authentication_age": 60})
	partner := r.client(t, &r.partner.KeyPair)
	q := r.certified(t, "GET", "/orders", pass{})
	if a := send(t, partner, q); a.StatusCode != 200 {
		t.Fatalf("just signed in: %d %s", a.StatusCode, a.body)
	}
	r.pass(61 * time.Second)
	eventually(t, "the feed follows", func() bool { return !r.feed.Stale() })
	a := send(t, partner, q)
	if line := a.Header.Get("WWW-Authenticate"); a.StatusCode != 401 || !strings.Contains(line, `max_age="60"`) {
		t.Errorf("%d %s", a.StatusCode, line)
	}
	cookie, _ := r.cookie(t, "demo", "alice", false)
	page := func() reply {
		return send(t, r.client(t, nil), fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie))
	}
	if a := page(); a.StatusCode != 200 {
		t.Fatalf("a page of somebody just signed in: %d %s", a.StatusCode, a.body)
	}
	r.demand(t, m{"required_acr": "phr"}, nil)
	if a := page(); a.StatusCode != 401 || !strings.Contains(a.Header.Get("WWW-Authenticate"), `acr_values="phr phrh"`) {
		t.Errorf("a page, after the API has changed: %d %s", a.StatusCode, a.Header.Get("WWW-Authenticate"))
	}
}

// A client that acts for itself has nobody who could sign in better (RFC 6749 §4.4).
func TestAPIsAskNothingOfClients(t *testing.T) {
	r := landscape(t)
	r.demand(t, m{"required_acr": "phrh", "max_authentication_age": 60}, nil)
	a := r.minter.Access(tokens.Plan{
		Client: &objects.Client{ID: "partner"}, API: &objects.API{Resource: r.origin}, Subject: "partner", Scope: []string{"read"},
		Binding: oauth.Confirmation{X5T: r.partner.X5T()}, IssuedAt: r.now(),
	})
	token, err := r.minter.Mint(a)
	if err != nil {
		t.Fatal(err)
	}
	q := newRequest(t, "GET", r.mtls+"/orders", "")
	q.Header.Set("Authorization", "Bearer "+token)
	if a := send(t, r.client(t, &r.partner.KeyPair), q); a.StatusCode != 200 {
		t.Errorf("%d %s %s", a.StatusCode, a.body, a.Header.Get("WWW-Authenticate"))
	}
	q = newRequest(t, "GET", r.mtls+"/stepup", "")
	q.Header.Set("Authorization", "Bearer "+token)
	if a := send(t, r.client(t, &r.partner.KeyPair), q); a.StatusCode != 401 {
		t.Errorf("what the route itself asks for is asked of everybody: %d", a.StatusCode)
	}
}
