package holdfasttest_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
)

// secondNode starts another process on the same database and key ring, a few ports further.
func secondNode(t *testing.T, s *holdfasttest.Server) (reach func(*party) *party) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Data, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := url.Parse(s.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	base, err := strconv.Atoi(issuer.Port())
	if err != nil {
		t.Fatal(err)
	}
	shift := holdfasttest.FreePorts(t) - base
	config := regexp.MustCompile(`address: 127\.0\.0\.1:\d+`).ReplaceAllStringFunc(string(text), func(a string) string {
		port, _ := strconv.Atoi(a[strings.LastIndexByte(a, ':')+1:])
		return "address: 127.0.0.1:" + strconv.Itoa(port+shift)
	})
	file := filepath.Join(s.Data, "second.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "serve", "-c", file)
	t.Cleanup(p.stop)
	reach = func(c *party) *party {
		other := *c
		other.client = &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: s.Roots()},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				n, err := strconv.Atoi(port)
				if err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+strconv.Itoa(n+shift))
			},
		}}
		return &other
	}
	probe := reach(asAPI(t, s))
	for range 500 {
		if resp, err := probe.client.Get(s.Issuer + "/jwks"); err == nil {
			_ = resp.Body.Close() // only to see that somebody answers
			return reach
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the second node does not answer\n%s", p.said.String())
	return nil
}

// nodes are two processes on one PostgreSQL: s here, and the other one there.
type nodes struct {
	*holdfasttest.Server
	alice *person
	there func(*party) *party
	api   *party // the resource server, at the other node
}

func TestTwoNodes(t *testing.T) {
	if os.Getenv("HOLDFAST_TEST_POSTGRES") == "" {
		t.Skip("HOLDFAST_TEST_POSTGRES is not set")
	}
	s := holdfasttest.Start(t, holdfasttest.WithDatabase(storetest.EmptyURL(t, store.PostgreSQL)))
	there := secondNode(t, s)
	n := &nodes{s, newPerson(t, s), there, there(asAPI(t, s))}
	t.Run("a revoked grant is seen within a second", n.revokedGrant)
	t.Run("RFC 9700 4.2.4: so is a replayed code", n.replayedCode)
	t.Run("a refresh meets the same memory", n.sameMemory)
	t.Run("RFC 9449 11.1: a proof works at one of them", n.replayedProof)
	t.Run("RFC 9700 4.14.2: a rotated refresh token used twice", func(t *testing.T) { rotatedTwice(t, s, there) })
	t.Run("RFC 9700 4.14.2: a bound refresh token of a thief", func(t *testing.T) { boundToAnother(t, s, there) })
}

// gone waits until the API, at the other node, is told that a token is worth nothing.
func gone(t *testing.T, api *party, token string) time.Duration {
	t.Helper()
	begin := time.Now()
	for time.Since(begin) < 5*time.Second && api.active(token) {
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(begin)
}

// tokens are those of the native client for the API, which both nodes know.
func (n *nodes) tokens(t *testing.T, native *party) (code string, got answered) {
	t.Helper()
	code = n.alice.code("native_public", n.Users[0], url.Values{"scope": {"openid offline_access orders.read"}, "resource": {n.Clients["native_public"].Resource}})
	got = native.redeem("native_public", code)
	if got.Status != http.StatusOK {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	if !n.api.active(got.text("access_token")) {
		t.Fatal("the other node does not know the token")
	}
	return code, got
}

func (n *nodes) revokedGrant(t *testing.T) {
	native := asNative(t, n.Server)
	_, got := n.tokens(t, native)
	if a := native.post("/revoke", url.Values{"token": {got.text("refresh_token")}}); a.Status != http.StatusOK {
		t.Fatalf("%d %v", a.Status, a.Body)
	}
	if d := gone(t, n.api, got.text("access_token")); d > time.Second {
		t.Errorf("seen after %v", d)
	}
}

func (n *nodes) replayedCode(t *testing.T) {
	native := asNative(t, n.Server)
	code, got := n.tokens(t, native)
	if a := native.redeem("native_public", code); a.text("error") != "invalid_grant" {
		t.Fatalf("a code twice: %d %v", a.Status, a.Body)
	}
	if d := gone(t, n.api, got.text("access_token")); d > time.Second {
		t.Errorf("seen after %v", d)
	}
}

func (n *nodes) sameMemory(t *testing.T) {
	native := asNative(t, n.Server)
	_, got := n.tokens(t, native)
	if a := n.there(native).refresh(got.text("refresh_token")); a.Status != http.StatusOK {
		t.Errorf("refresh at the other node: %d %v", a.Status, a.Body)
	}
}

// replayedProof shows a proof to one node after the other, and then one to both at once.
func (n *nodes) replayedProof(t *testing.T) {
	native := asNative(t, n.Server)
	_, got := n.tokens(t, native)
	for path, holding := range map[string]func(*party) *holder{
		"/token":    func(c *party) *holder { return refreshing(c, got.text("refresh_token")) },
		"/userinfo": func(c *party) *holder { return reading(c, n.personal(t, native)) },
	} {
		here := holding(native)
		there := here.by(n.there(native))
		once := here.good().make(t)
		if a := here.show(once); a.Status != http.StatusOK {
			t.Errorf("%s: %d %v", path, a.Status, a.Body)
		}
		isRefusal(t, there.show(once), path, "invalid_dpop_proof")

		race := here.good().make(t)
		var accepted atomic.Int32
		var wg sync.WaitGroup
		for _, h := range []*holder{here, there, here.by(here.party), there.by(there.party)} {
			wg.Go(func() {
				if a := h.show(race); a.Status == http.StatusOK {
					accepted.Add(1)
				} else {
					isRefusal(t, a, path, "invalid_dpop_proof")
				}
			})
		}
		wg.Wait()
		if accepted.Load() != 1 {
			t.Errorf("%s: a proof that was shown four times at once was accepted %d times", path, accepted.Load())
		}
	}
}

// personal is a token for the userinfo endpoint.
func (n *nodes) personal(t *testing.T, native *party) string {
	t.Helper()
	a := native.redeem("native_public", n.alice.code("native_public", n.Users[0], nil))
	if a.Status != http.StatusOK {
		t.Fatalf("%d %v", a.Status, a.Body)
	}
	return a.text("access_token")
}
