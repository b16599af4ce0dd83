package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/ca"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/resource"
)

// engines runs a test over a landscape on every database there is.
func engines(t *testing.T, fn func(t *testing.T, r *rig)) {
	storetest.EachURL(t, func(t *testing.T, url string) { fn(t, newRig(t, url)) })
}

// landscape is for tests to which the database does not matter.
func landscape(t testing.TB) *rig { return newRig(t, storetest.SQLiteURL(t)) }

// ways are all the ways in, each with a request that is right every time it is made.
func (r *rig) ways(t testing.TB) map[string]func(method, path, body string) (*http.Client, *http.Request) {
	type way = func(method, path, body string) (*http.Client, *http.Request)
	ways := map[string]way{}
	jkt, x5t := oauth.Confirmation{JKT: r.phone.JKT()}, oauth.Confirmation{X5T: r.partner.X5T()}
	outside, partner := r.client(t, nil), r.client(t, &r.partner.KeyPair)
	for form, opaque := range map[string]bool{"jwt": false, "opaque": true} {
		cookie, _ := r.cookie(t, "demo", "alice", opaque)
		ways["cookie "+form] = func(method, path, body string) (*http.Client, *http.Request) {
			return outside, fromPage(newRequest(t, method, r.origin+path, body), cookie)
		}
		phone, _ := r.issue(t, pass{client: "phone", bound: jkt, opaque: opaque})
		ways["dpop "+form] = func(method, path, body string) (*http.Client, *http.Request) {
			return outside, r.withProof(newRequest(t, method, r.origin+path, body), phone)
		}
		bound, _ := r.issue(t, pass{client: "partner", bound: x5t, opaque: opaque})
		ways["certificate "+form] = func(method, path, body string) (*http.Client, *http.Request) {
			q := newRequest(t, method, r.mtls+path, body)
			q.Header.Set("Authorization", "bEaReR "+bound)
			return partner, q
		}
	}
	return ways
}

// Every credential gets through, to an API that checks what arrives as it would check any client: bound to the certificate
// of the hop, for itself alone.
func TestEveryWayThrough(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		r.checks(t, resource.Config{Audience: r.api})
		for name, way := range r.ways(t) {
			t.Run(name, func(t *testing.T) {
				traded := r.traded.Load()
				for range 3 {
					client, q := way("POST", "/orders/7?x=1&y=2", "hello")
					a := send(t, client, q)
					if a.StatusCode != 200 || a.body != "POST /orders/7?x=1&y=2" || a.Header.Get("X-Api-Subject") != "alice" {
						t.Fatalf("%d %s %v", a.StatusCode, a.body, a.Header)
					}
					got := r.last(t)
					sent := strings.TrimPrefix(q.Header.Get("Authorization"), "DPoP ")
					if auth := got.Header.Get("Authorization"); !strings.HasPrefix(auth, "Bearer ey") || sent != "" && strings.Contains(auth, sent) {
						t.Errorf("the API got %s", auth)
					}
					for _, gone := range []string{"Cookie", "DPoP", "Token-Handler-Version", "Origin"} {
						if name[:6] == "cookie" || gone != "Origin" {
							if v := got.Header.Values(gone); len(v) > 0 {
								t.Errorf("the API got %s: %v", gone, v)
							}
						}
					}
					if id := got.Header.Get("X-Request-Id"); id == "" || id != a.Header.Get("X-Request-Id") {
						t.Errorf("request id %q, answered %q", id, a.Header.Get("X-Request-Id"))
					}
				}
				if n := r.traded.Load() - traded; n != 1 {
					t.Errorf("%d exchanges for three requests", n)
				}
			})
		}
	})
}

// What is exchanged is of no use to whoever finds it in the API: it is bound to the certificate of the gateway.
func TestTokenInsideIsWorthNothingOutside(t *testing.T) {
	r := landscape(t)
	way := r.ways(t)["dpop jwt"]
	client, q := way("GET", "/orders", "")
	send(t, client, q)
	inside := strings.TrimPrefix(r.last(t).Header.Get("Authorization"), "Bearer ")
	c, err := r.minter.Inspect(t.Context(), inside)
	if err != nil {
		t.Fatal(err)
	}
	if c.Confirmation.X5T != ca.Thumbprint(r.up.Leaf()) || len(c.Audience) != 1 || c.Audience[0] != r.api || c.Actor.Subject != "gateway" {
		t.Errorf("claims %+v", c)
	}
	for _, cert := range []string{"none", "the partner's"} {
		from := r.client(t, nil)
		if cert != "none" {
			from = r.client(t, &r.partner.KeyPair)
		}
		q := newRequest(t, "GET", r.mtls+"/orders", "")
		q.Header.Set("Authorization", "Bearer "+inside)
		if a := send(t, from, q); a.StatusCode != 401 {
			t.Errorf("with certificate %s: %d", cert, a.StatusCode)
		}
	}
}

// A new certificate is a new generation: nothing exchanged for the old one is shown with it.
func TestCertificateAndTokensChangeTogether(t *testing.T) {
	r := landscape(t)
	r.checks(t, resource.Config{Audience: r.api})
	for name, way := range r.ways(t) {
		client, q := way("GET", "/orders", "")
		if a := send(t, client, q); a.StatusCode != 200 {
			t.Fatalf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	old := r.last(t).Header.Get("Authorization")
	r.renew(t)
	for name, way := range r.ways(t) {
		client, q := way("GET", "/orders", "")
		if a := send(t, client, q); a.StatusCode != 200 || r.last(t).Header.Get("Authorization") == old {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
}

// Two people, two sessions, two tokens: whoever asks in whichever order and however often, nobody sees the other's answer.
func TestPeopleAreKeptApart(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		r.checks(t, resource.Config{Audience: r.api})
		client := r.client(t, nil)
		type who struct {
			name string
			make func() *http.Request
		}
		var people []who
		for _, name := range []string{"alice", "bob"} {
			for _, opaque := range []bool{false, true} {
				cookie, _ := r.cookie(t, "demo", name, opaque)
				token, _ := r.issue(t, pass{client: "phone", account: name, bound: oauth.Confirmation{JKT: r.phone.JKT()}, opaque: opaque})
				people = append(people,
					who{name, func() *http.Request { return fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie) }},
					who{name, func() *http.Request { return r.withProof(newRequest(t, "GET", r.origin+"/orders", ""), token) }})
			}
		}
		failed := make(chan string, 100)
		for i := range 24 {
			p := people[(i*5)%len(people)]
			q := p.make()
			go func() {
				a, err := client.Do(q)
				switch {
				case err != nil:
					failed <- err.Error()
				case a.StatusCode != 200 || a.Header.Get("X-Api-Subject") != p.name:
					failed <- a.Status + " " + a.Header.Get("X-Api-Subject") + " instead of " + p.name
				default:
					failed <- ""
				}
				if err == nil {
					_ = a.Body.Close()
				}
			}()
		}
		for range 24 {
			if f := <-failed; f != "" {
				t.Error(f)
			}
		}
		if n := r.traded.Load(); n > 8 {
			t.Errorf("%d exchanges for eight tokens", n)
		}
	})
}

// Many requests at once with one new token make one question to the issuer.
func TestOneFlightPerToken(t *testing.T) {
	r := landscape(t)
	token, _ := r.issue(t, pass{client: "partner", bound: oauth.Confirmation{X5T: r.partner.X5T()}, opaque: true})
	client := r.client(t, &r.partner.KeyPair)
	done := make(chan int, 20)
	for range 20 {
		q := newRequest(t, "GET", r.mtls+"/orders", "")
		q.Header.Set("Authorization", "Bearer "+token)
		go func() {
			a, err := client.Do(q)
			if err != nil {
				done <- 0
				return
			}
			_ = a.Body.Close()
			done <- a.StatusCode
		}()
	}
	for range 20 {
		if s := <-done; s != 200 {
			t.Errorf("status %d", s)
		}
	}
	if a, b := r.asked.Load(), r.traded.Load(); a != 1 || b != 1 {
		t.Errorf("%d introspections and %d exchanges", a, b)
	}
}

// Nothing outlives its token, in the cache or anywhere.
func TestNothingOutlivesItsToken(t *testing.T) {
	r := landscape(t)
	for name, way := range r.ways(t) {
		client, q := way("GET", "/orders", "")
		if a := send(t, client, q); a.StatusCode != 200 {
			t.Fatalf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	ways := r.ways(t)
	r.pass(6 * time.Minute)
	eventually(t, "the feed follows", func() bool { return !r.feed.Stale() })
	for name, way := range ways {
		client, q := way("GET", "/orders", "")
		if a := send(t, client, q); a.StatusCode != 401 {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
}

// While nothing is heard of revocations, the issuer is asked every time; and where it cannot be, nobody gets in.
func TestDeafGatewayAsks(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		ways := r.ways(t)
		for name, way := range ways {
			client, q := way("GET", "/orders", "")
			if a := send(t, client, q); a.StatusCode != 200 {
				t.Fatalf("%s: %d %s", name, a.StatusCode, a.body)
			}
		}
		r.deaf()
		r.pass(6 * time.Second)
		for name, way := range ways {
			asked := r.asked.Load()
			for range 2 {
				client, q := way("GET", "/orders", "")
				if a := send(t, client, q); a.StatusCode != 200 {
					t.Errorf("deaf, %s: %d %s", name, a.StatusCode, a.body)
				}
			}
			if n := r.asked.Load() - asked; n != 2 {
				t.Errorf("%s: %d questions for two requests", name, n)
			}
		}
		r.write(t, func(tx *store.Tx) error {
			return tx.AddEvent(store.Event{Kind: store.EventClient, Key: "phone", NotBefore: tx.Now.Add(time.Minute), ExpiresAt: tx.Now.Add(time.Hour)})
		})
		client, q := ways["dpop jwt"]("GET", "/orders", "")
		if a := send(t, client, q); a.StatusCode != 401 {
			t.Errorf("revoked while deaf: %d", a.StatusCode)
		}
		r.broken.Store(true)
		for name, way := range ways {
			client, q := way("GET", "/orders", "")
			if a := send(t, client, q); a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
				t.Errorf("deaf and cut off, %s: %d %s", name, a.StatusCode, a.body)
			}
		}
	})
}

// ctxFor bounds what a test waits for.
func ctxFor(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
