package holdfasttest_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/dpop"
	"github.com/holdfast-iam/holdfast/holdfasttest"
	"github.com/holdfast-iam/holdfast/internal/fetch"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/store/storetest"
	"github.com/holdfast-iam/holdfast/jose"
)

// crashRounds is how often each engine is killed.
func crashRounds() int {
	if os.Getenv("HOLDFAST_CHECK_ALL") != "" {
		return 1000
	}
	return 24
}

// TestKilledWhileServing kills the server in the midst of concurrent flows. What it has acknowledged must be there
// after the restart, and what works once must have worked once.
func TestKilledWhileServing(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { crash(t) })
	t.Run("PostgreSQL", func(t *testing.T) {
		if os.Getenv("HOLDFAST_TEST_POSTGRES") == "" {
			t.Skip("HOLDFAST_TEST_POSTGRES is not set")
		}
		crash(t, "--database", storetest.EmptyURL(t, store.PostgreSQL))
	})
}

func crash(t *testing.T, args ...string) {
	folder := filepath.Join(t.TempDir(), "landscape")
	args = append([]string{"--data", folder, "--base-port", strconv.Itoa(holdfasttest.FreePorts(t))}, args...)
	p, s := startDev(t, args...)
	alice := newPerson(t, s)
	alice.code("native_public", s.Users[0], url.Values{"scope": {"openid offline_access"}}) // signed in, and allowed
	l := &ledger{s: s, person: alice, key: s.Signer("")}
	for round := range crashRounds() {
		l.begin()
		time.Sleep(time.Duration(20+rand.IntN(120)) * time.Millisecond)
		p.kill()
		l.end()
		p, _ = startDev(t, args...)
		l.verify(t, round)
		if t.Failed() {
			break
		}
	}
	p.stop()
	t.Logf("%d rounds: %d codes redeemed, %d grants revoked, %d replays refused", crashRounds(), l.redeemed, l.revoked, l.refused)
	if l.redeemed == 0 || l.revoked == 0 {
		t.Error("nothing was acknowledged, so nothing was shown")
	}
}

// ledger remembers what the server has acknowledged.
type ledger struct {
	s      *holdfasttest.Server
	person *person
	key    *jose.Signer

	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	acked  []ack
	open   []string // codes whose redemption was not answered

	redeemed, revoked, refused int
}

// ack is one redeemed code.
type ack struct {
	code, refresh string
	revoked       bool
}

// begin lets four clients redeem and revoke until the server is gone.
func (l *ledger) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	for range 4 {
		l.wg.Go(func() {
			c := l.newCaller()
			for ctx.Err() == nil && l.once(ctx, c) {
			}
		})
	}
}

func (l *ledger) end() {
	l.wg.Wait() // each ends by itself, because nobody answers any more
	l.cancel()
}

// once gets a code, redeems it, and sometimes revokes what it got. False: the server is gone.
func (l *ledger) once(ctx context.Context, c *caller) bool {
	code := c.code(ctx)
	if code == "" {
		return false
	}
	a, ok := c.redeem(ctx, code)
	if !ok {
		l.mu.Lock()
		l.open = append(l.open, code)
		l.mu.Unlock()
		return false
	}
	done := ack{code: code, refresh: a.text("refresh_token")}
	if rand.IntN(3) == 0 {
		_, done.revoked = c.post(ctx, "/revoke", url.Values{"token": {done.refresh}})
		if !done.revoked {
			return false // revoked or not: nobody has said
		}
	}
	l.mu.Lock()
	l.acked = append(l.acked, done)
	l.mu.Unlock()
	return true
}

// verify asks the restarted server about everything.
func (l *ledger) verify(t *testing.T, round int) {
	t.Helper()
	ctx, c := t.Context(), l.newCaller()
	for _, a := range l.acked {
		got, ok := c.post(ctx, "/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.refresh}})
		switch {
		case !ok:
			t.Fatalf("round %d: no answer after the restart", round)
		case a.revoked && got.text("error") != "invalid_grant":
			t.Errorf("round %d: an acknowledged revocation was lost: %v", round, got.Body)
		case !a.revoked && got.Status != http.StatusOK:
			t.Errorf("round %d: an acknowledged grant was lost: %v", round, got.Body)
		}
		if again, ok := c.redeem(ctx, a.code); !ok || again.text("error") != "invalid_grant" {
			t.Errorf("round %d: a redeemed code worked again: %v", round, again.Body)
		}
		l.redeemed++
		l.refused++
		if a.revoked {
			l.revoked++
		}
	}
	for _, code := range l.open { // redeemed before the kill or not, it works at most once from now on
		first, _ := c.redeem(ctx, code)
		second, _ := c.redeem(ctx, code)
		if second.Status == http.StatusOK {
			t.Errorf("round %d: an unanswered code worked twice: %d %d", round, first.Status, second.Status)
		}
		l.refused++
	}
	l.acked, l.open = nil, nil
}

// caller is a public client that takes no answer for an answer.
type caller struct {
	*ledger
	browser, client *http.Client
	nonce           string
}

func (l *ledger) newCaller() *caller {
	fresh := func() *http.Client {
		return &http.Client{
			Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.s.Roots()}, DialContext: fetch.LocalhostDialer(nil)},
		}
	}
	c := &caller{ledger: l, browser: fresh(), client: fresh()}
	c.browser.Jar = l.person.client.Jar
	return c
}

// code gets one without being asked anything; "" when nobody answers.
func (c *caller) code(ctx context.Context) string {
	address := c.person.authorization("native_public", url.Values{"scope": {"openid offline_access"}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return ""
	}
	resp, err := c.browser.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil {
		return ""
	}
	return to.Query().Get("code")
}

func (c *caller) redeem(ctx context.Context, code string) (answered, bool) {
	return c.post(ctx, "/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.s.Clients["native_public"].RedirectURIs[0]}, "code_verifier": {verifier},
	})
}

// post sends once more when a nonce is asked for. False: no answer.
func (c *caller) post(ctx context.Context, path string, v url.Values) (answered, bool) {
	v.Set("client_id", c.s.Clients["native_public"].ID)
	a, ok := c.send(ctx, path, v)
	if ok && a.text("error") == "use_dpop_nonce" {
		a, ok = c.send(ctx, path, v)
	}
	return a, ok
}

func (c *caller) send(ctx context.Context, path string, v url.Values) (answered, bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.s.Issuer+path, strings.NewReader(v.Encode()))
	if err != nil {
		return answered{}, false
	}
	proof, err := dpop.Make(c.key, http.MethodPost, c.s.Issuer+path, c.nonce, "", time.Now())
	if err != nil {
		return answered{}, false
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if path == "/token" {
		req.Header.Set("DPoP", proof)
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return answered{}, false
	}
	defer resp.Body.Close()
	if n := resp.Header.Get("DPoP-Nonce"); n != "" {
		c.nonce = n
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answered{}, false
	}
	a := answered{Status: resp.StatusCode, Header: resp.Header, Body: map[string]any{}}
	if len(body) > 0 && json.Unmarshal(body, &a.Body) != nil {
		return answered{}, false
	}
	return a, true
}
