package holdfasttest_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/jose"
)

// What a relying party chooses: a profile, how it authenticates, what binds its tokens, how its request travels, and how the
// answer does.
var (
	driverProfiles  = []string{"oidc", "oauth21", "fapi2", "fapi2-message-signing"}
	driverAuths     = []string{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth", "none"}
	driverBindings  = []string{"dpop", "certificate", "nothing"}
	driverRequests  = []string{"query", "pushed", "object", "pushed object", "referenced object"}
	driverResponses = []string{"query", "fragment", "form_post", "query.jwt", "fragment.jwt", "form_post.jwt", "jwt"}
)

// combination is one choice of each.
type combination struct{ profile, auth, binding, request, response string }

func (c combination) String() string {
	return strings.Join([]string{c.profile, c.auth, c.binding, c.request, c.response}, ", ")
}

func (c combination) fapi() bool    { return strings.HasPrefix(c.profile, "fapi2") }
func (c combination) message() bool { return c.profile == "fapi2-message-signing" }
func (c combination) pushes() bool  { return strings.HasPrefix(c.request, "pushed") }
func (c combination) signs() bool   { return strings.HasSuffix(c.request, "object") }
func (c combination) signed() bool  { return strings.HasSuffix(c.response, "jwt") }
func (c combination) certified() bool {
	return strings.Contains(c.auth, "tls") || c.binding == "certificate"
}
func (c combination) secret() bool { return strings.HasPrefix(c.auth, "client_secret") }

// client names the client of a combination: what it asks and how it is answered may differ from request to request.
func (c combination) client() string {
	return "drive-" + strings.Join([]string{c.profile, c.auth, c.binding}, "-")
}

// possible says whether the profile, and the rest, let it be.
func (c combination) possible() bool {
	switch {
	case c.fapi() && (c.secret() || c.auth == "none" || c.binding == "nothing" || !c.pushes()),
		c.message() && (!c.signs() || !c.signed()),
		c.auth == "none" && c.binding == "certificate",
		strings.Contains(c.auth, "tls") && c.binding == "nothing": // a certificate that is shown binds
		return false
	}
	return true
}

func combinations() (all []combination) {
	for _, profile := range driverProfiles {
		for _, auth := range driverAuths {
			for _, binding := range driverBindings {
				for _, request := range driverRequests {
					for _, response := range driverResponses {
						if c := (combination{profile, auth, binding, request, response}); c.possible() {
							all = append(all, c)
						}
					}
				}
			}
		}
	}
	return all
}

const (
	driverSecret   = "9vTq2LxWm4Zb7RsKd1YgHc6NfJp3Ea5U"
	driverCallback = "https://rp.example/cb?from=holdfast"
)

// drivers are relying parties of all kinds, whose person has signed in once.
type drivers struct {
	*person
	signer *jose.Signer // of assertions and request objects
	keys   jose.Set     // of the issuer
	shelf  *shelf
	own    tls.Certificate         // self-signed
	ways   map[string]*http.Client // by the certificate they show: none, partner, own
}

// shelf is where request objects lie that are referred to.
type shelf struct {
	*httptest.Server
	mu    sync.Mutex
	books map[string]string // by path
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{books: map[string]string{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		book, ok := s.books[r.URL.Path]
		s.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/oauth-authz-req+jwt")
		fmt.Fprint(w, book)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shelf) put(path, book string) {
	s.mu.Lock()
	s.books[path] = book
	s.mu.Unlock()
}

// every is each n-th of a list, so that what a normal run leaves out differs in every dimension.
func every(n int, all []combination) (some []combination) {
	for i, c := range all {
		if i%n == 0 || c.fapi() {
			some = append(some, c)
		}
	}
	return some
}

// TestFAPI2_EveryCombination goes the whole way in each combination there is: request, answer, tokens, use, and use without the
// key. A normal run takes all of FAPI 2.0 and a part of the others.
func TestFAPI2_EveryCombination(t *testing.T) {
	d := newDrivers(t)
	all := combinations()
	if !longRun() {
		all = every(11, all)
	}
	began := time.Now()
	for _, c := range all {
		if got := d.drive(t, c, nil); got != "ok" {
			t.Errorf("%s: %s", c, got)
		}
	}
	t.Logf("%d combinations in %s", len(all), time.Since(began).Round(time.Millisecond))
}

// TestFAPI2_EveryMutation changes one thing at a time, where it can be changed, and expects the exact refusal.
func TestFAPI2_EveryMutation(t *testing.T) {
	d := newDrivers(t)
	for i, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			d.move(1 + i%200)
			tried := map[string]bool{} // by what matters to a mutation
			for _, c := range combinations() {
				kind := m.kind(c)
				if m.where != nil && !m.where(c) || tried[kind] {
					continue
				}
				tried[kind] = true
				if got, want := d.drive(t, c, m.change), m.want(c); got != want {
					t.Errorf("%s: %s, want %s", c, got, want)
				}
			}
			if len(tried) == 0 {
				t.Error("applies to nothing")
			}
		})
	}
}

// drive goes the way of a combination with something changed, and says how it ended: "ok", or where and with which error.
func (d *drivers) drive(t *testing.T, c combination, change func(*try)) string {
	t.Helper()
	y := d.prepare(t, c)
	if change != nil {
		change(y)
	}
	address, refused := y.ask()
	if refused != "" {
		return refused
	}
	code, refused := y.answered(address)
	if refused != "" {
		return refused
	}
	tokens, refused := y.redeem(code)
	if refused != "" {
		return refused
	}
	return y.use(tokens)
}

func newDrivers(t *testing.T) *drivers {
	t.Helper()
	shelf := newShelf(t)
	s := holdfasttest.Start(t, holdfasttest.WithConfiguration(shelf.reachable(t)))
	d := &drivers{person: newPerson(t, s), signer: s.Signer(""), shelf: shelf, own: selfSigned(t)}
	d.move(0)
	d.register(t)
	keys, err := jose.ParseSet([]byte(d.get(s.Issuer + "/jwks").text))
	if err != nil {
		t.Fatal(err)
	}
	d.keys = keys
	first := d.prepare(t, combination{"oauth21", "none", "dpop", "query", "query"})
	address, _ := first.ask()
	d.signIn(d.follow(d.get(address)), s.Users[0])
	return d
}

// move calls the back channel from another network from now on: who fails to authenticate is slowed down there.
func (d *drivers) move(network int) {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(network), 1)}}
	d.ways = map[string]*http.Client{"none": d.HTTP(), "partner": d.HTTP(d.Certificate("partner_mtls")), "own": d.HTTP(d.own)}
	for _, way := range d.ways {
		if transport, ok := way.Transport.(*http.Transport); ok {
			transport.DialContext = fetch.LocalhostDialer(from.DialContext)
		}
	}
}

// parameters are those of a request of the client.
func (c combination) parameters() url.Values {
	return url.Values{
		"client_id": {c.client()}, "response_type": {"code"}, "redirect_uri": {driverCallback}, "scope": {"openid email"},
		"state": {"the state"}, "nonce": {"the nonce"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
		"response_mode": {c.response},
	}
}
