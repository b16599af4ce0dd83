package holdfasttest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// mutation is one thing done wrong.
type mutation struct {
	name string
	// matters are the dimensions it depends on, each of whose values is tried: Profile, Authentication, Binding (r), reQuest,
	// reSponse. The long run tries each profile, authentication and way of asking with every one.
	matters string
	where   func(combination) bool // nil: everywhere
	change  func(*try)
	want    func(combination) string
}

// Where refusals are heard: at the endpoint that the client calls, or through the browser in the way the answer takes.

func atRequest(code string) func(combination) string {
	return func(c combination) string {
		if c.pushes() {
			return "par " + code
		}
		return "client " + code
	}
}

// atPage is where nothing says for sure where the answer may go.
func atPage(code string) func(combination) string {
	return func(c combination) string {
		if c.pushes() {
			return "par " + code
		}
		return "page " + code
	}
}

func always(want string) func(combination) string { return func(combination) string { return want } }

func param(name string, values ...string) func(*try) {
	return func(y *try) {
		delete(y.params, name)
		if len(values) > 0 {
			y.params[name] = values
		}
	}
}

func inObject(name string, value func(*try) any) func(*try) {
	return func(y *try) {
		delete(y.claims, name)
		if value != nil {
			y.claims[name] = value(y)
		}
	}
}

func fixed(value any) func(*try) any { return func(*try) any { return value } }

// in is a time from now.
func in(d time.Duration) func(*try) any {
	return func(*try) any { return time.Now().Add(d).Unix() }
}

func tokenForm(name string, values ...string) func(*try) {
	return func(y *try) {
		delete(y.token, name)
		if len(values) > 0 {
			y.token[name] = values
		}
	}
}

// proven replaces how somebody proves to be the client.
func proven(at func(*try) **party, how func(*try, url.Values, *http.Request)) func(*try) {
	return func(y *try) {
		p := *(*at(y)) // a copy: the others go on as before
		p.auth = func(v url.Values, r *http.Request) { how(y, v, r) }
		*at(y) = &p
	}
}

func redeeming(y *try) **party { return &y.redeemer }
func pushing(y *try) **party   { return &y.pusher }

func nobody(y *try, v url.Values, _ *http.Request) { v.Set("client_id", y.client()) }

// another is the party of another client, with everything that is its own.
func another(y *try) *party {
	c := y.combination
	c.profile = "oauth21"
	if y.profile == "oauth21" {
		c.profile = "oidc"
	}
	p := y.party(y.t, c)
	p.key, p.nonce = y.holder.key, y.holder.nonce
	return p
}

func authBy(auths ...string) func(combination) bool {
	return func(c combination) bool { return slices.Contains(auths, c.auth) }
}

func signing(c combination) bool  { return c.signs() }
func datedObj(c combination) bool { return c.signs() && c.fapi() }

func asserting(c combination) bool { return strings.HasSuffix(c.auth, "_jwt") }

// assertWith changes the claims of the assertion at the token endpoint.
func assertWith(change func(*try, map[string]any)) func(*try) {
	return proven(redeeming, func(y *try, v url.Values, _ *http.Request) {
		claims := y.assertion(y.combination)
		change(y, claims)
		if y.auth == "client_secret_jwt" {
			assert(v, macToken(driverSecret, claims))
			return
		}
		assert(v, y.sealed(y.signer, claims))
	})
}

func set(name string, value func(*try) any) func(*try, map[string]any) {
	return func(y *try, claims map[string]any) {
		delete(claims, name)
		if value != nil {
			claims[name] = value(y)
		}
	}
}

// kind is what of a combination matters to the mutation.
func (m *mutation) kind(c combination) string {
	matters := m.matters
	if longRun() {
		matters += "paq"
	}
	var kind []string
	for i, part := range []string{c.profile, c.auth, c.binding, c.request, c.response} {
		if strings.Contains(matters, "parqs"[i:i+1]) {
			kind = append(kind, part)
		}
	}
	return strings.Join(kind, ", ")
}
