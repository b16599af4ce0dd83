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

func TestRevocationIsSeenOnTheOtherNodeWithinASecond(t *testing.T) {
	if os.Getenv("HOLDFAST_TEST_POSTGRES") == "" {
		t.Skip("HOLDFAST_TEST_POSTGRES is not set")
	}
	s := holdfasttest.Start(t, holdfasttest.WithDatabase(storetest.EmptyURL(t, store.PostgreSQL)))
	alice, native := newPerson(t, s), asNative(t, s)
	other := secondNode(t, s)
	api := other(asAPI(t, s))

	gone := func(token string) time.Duration {
		t.Helper()
		begin := time.Now()
		for time.Since(begin) < 5*time.Second {
			if !api.active(token) {
				return time.Since(begin)
			}
			time.Sleep(10 * time.Millisecond)
		}
		return time.Since(begin)
	}
	tokens := func() answered {
		t.Helper()
		code := alice.code("native_public", s.Users[0], url.Values{"scope": {"openid offline_access orders.read"}, "resource": {s.Clients["native_public"].Resource}})
		got := native.redeem("native_public", code)
		if got.Status != http.StatusOK {
			t.Fatalf("%d %v", got.Status, got.Body)
		}
		if !api.active(got.text("access_token")) {
			t.Fatal("the other node does not know the token")
		}
		return got
	}

	got := tokens()
	if a := native.post("/revoke", url.Values{"token": {got.text("refresh_token")}}); a.Status != http.StatusOK {
		t.Fatalf("%d %v", a.Status, a.Body)
	}
	if d := gone(got.text("access_token")); d > time.Second {
		t.Errorf("a revoked grant was seen after %v", d)
	}

	code := alice.code("native_public", s.Users[0], url.Values{"scope": {"openid offline_access orders.read"}, "resource": {s.Clients["native_public"].Resource}})
	first := native.redeem("native_public", code)
	if first.Status != http.StatusOK || !api.active(first.text("access_token")) {
		t.Fatalf("%d %v", first.Status, first.Body)
	}
	if a := native.redeem("native_public", code); a.text("error") != "invalid_grant" {
		t.Fatalf("a code twice: %d %v", a.Status, a.Body)
	}
	if d := gone(first.text("access_token")); d > time.Second {
		t.Errorf("a replayed code was seen after %v", d)
	}

	// A refresh at the other node meets the same memory.
	third := tokens()
	there := other(native)
	if a := there.refresh(third.text("refresh_token")); a.Status != http.StatusOK {
		t.Errorf("refresh at the other node: %d %v", a.Status, a.Body)
	}
}
