package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
	"github.com/holdfast-iam/holdfast/oauth"
)

// within is how long an open request may go on after its token or its session was revoked.
const within = time.Second

// events answers with an event and then keeps the answer open, and tells when it is over.
func (r *rig) events() (over chan struct{}) {
	over = make(chan struct{}, 10)
	r.does(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		<-q.Context().Done()
		over <- struct{}{}
	})
	return over
}

// opened is a stream of events whose first event has arrived.
func opened(t *testing.T, c *http.Client, q *http.Request) *bufio.Reader {
	t.Helper()
	a, err := c.Do(q.WithContext(ctxFor(t, 20*time.Second)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Body.Close() })
	body := bufio.NewReader(a.Body)
	if line, err := body.ReadString('\n'); err != nil || line != "data: one\n" {
		t.Fatalf("%d: %q, %v", a.StatusCode, line, err)
	}
	return body
}

// ends requires that what is read breaks off, and within a second of what is done. That gives the time when it was.
func ends(t *testing.T, body io.Reader, do func() time.Time) {
	t.Helper()
	var err error
	over := make(chan time.Time, 1)
	go func() { _, err = io.Copy(io.Discard, body); over <- time.Now() }()
	select {
	case <-over:
		t.Fatalf("over before its time: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	done := do()
	select {
	case at := <-over:
		soon(t, "the end", done, at)
		if err == nil {
			t.Error("ended as if it were whole")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still open")
	}
}

// soon requires that something has happened within a second of a commit.
func soon(t *testing.T, what string, committed, at time.Time) {
	t.Helper()
	if took := at.Sub(committed); took > within {
		t.Errorf("%s came after %v", what, took)
	}
}

// An open stream ends within a second of whatever ends its token or its session, on every database, and the API notices.
func TestRevocationEndsStreams(t *testing.T) {
	engines(t, func(t *testing.T, r *rig) {
		over := r.events()
		client, partner := r.client(t, nil), r.client(t, &r.partner.KeyPair)
		x5t := oauth.Confirmation{X5T: r.partner.X5T()}
		event := func(kind string, key func(c *tokens.Claims) string) func(*tokens.Claims) func(*store.Tx) error {
			return func(c *tokens.Claims) func(*store.Tx) error {
				return func(tx *store.Tx) error {
					return tx.AddEvent(store.Event{Kind: kind, Key: key(c), NotBefore: r.now().Add(time.Second), ExpiresAt: r.now().Add(2 * time.Second)})
				}
			}
		}
		for name, end := range map[string]func(c *tokens.Claims) func(*store.Tx) error{
			"grant": func(c *tokens.Claims) func(*store.Tx) error {
				return func(tx *store.Tx) error { return tx.RevokeGrant(c.GrantID, tx.Now.Add(time.Hour)) }
			},
			"token":       event(store.EventJTI, func(c *tokens.Claims) string { return c.ID }),
			"session":     event(store.EventSession, func(c *tokens.Claims) string { return c.SessionID }),
			"certificate": event(store.EventCertificate, func(c *tokens.Claims) string { return c.Confirmation.X5T }),
			"client":      event(store.EventClient, func(c *tokens.Claims) string { return c.ClientID }),
		} {
			t.Run(name, func(t *testing.T) {
				time.Sleep(50 * time.Millisecond)
				token, claims := r.issue(t, pass{client: "partner", bound: x5t, opaque: name == "grant"})
				q := newRequest(t, "GET", r.mtls+"/orders", "")
				q.Header.Set("Authorization", "Bearer "+token)
				ends(t, opened(t, partner, q), func() time.Time { return r.elsewhere(t, end(claims)) })
				<-over
				if a := send(t, partner, q); a.StatusCode != 401 {
					t.Errorf("afterwards: %d", a.StatusCode)
				}
				eventually(t, "the end is recorded", func() bool { return r.refusal(t).code == "invalid_token" })
				r.pass(3 * time.Second) // beyond what revokes everything of that client
			})
		}
		t.Run("session of the application", func(t *testing.T) {
			cookie, s := r.cookie(t, "demo", "alice", false)
			ends(t, opened(t, client, fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie)), func() time.Time {
				return r.elsewhere(t, func(tx *store.Tx) error { _, err := tx.EndAppSession(s.Record.ID); return err })
			})
			<-over
		})
	})
}

// Somebody else's revocation ends nothing.
func TestOthersStreamsStayOpen(t *testing.T) {
	r := landscape(t)
	r.events()
	partner := r.client(t, &r.partner.KeyPair)
	q := r.certified(t, "GET", "/orders", pass{})
	body := opened(t, partner, q)
	_, other := r.issue(t, pass{client: "partner", bound: oauth.Confirmation{X5T: r.partner.X5T()}})
	r.elsewhere(t, func(tx *store.Tx) error { return tx.RevokeGrant(other.GrantID, tx.Now.Add(time.Hour)) })
	time.Sleep(700 * time.Millisecond)
	own, err := r.minter.Inspect(t.Context(), strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer "))
	if err != nil {
		t.Fatal(err)
	}
	ends(t, body, func() time.Time {
		return r.elsewhere(t, func(tx *store.Tx) error { return tx.RevokeGrant(own.GrantID, tx.Now.Add(time.Hour)) })
	})
}

// A stream ends with its token, and where nothing is heard and nobody can be asked.
func TestStreamsEndWithTheTokenAndInTheDark(t *testing.T) {
	t.Run("expiry", func(t *testing.T) {
		r := landscape(t)
		r.events()
		token, claims := r.issue(t, pass{client: "partner", bound: oauth.Confirmation{X5T: r.partner.X5T()}})
		end := time.Unix(claims.ExpiresAt, 0)
		r.pass(end.Sub(r.now()) - 1500*time.Millisecond)
		eventually(t, "the feed follows", func() bool { return !r.feed.Stale() })
		q := newRequest(t, "GET", r.mtls+"/orders", "")
		q.Header.Set("Authorization", "Bearer "+token)
		if _, err := io.Copy(io.Discard, opened(t, r.client(t, &r.partner.KeyPair), q)); err == nil {
			t.Error("ended as if it were whole")
		}
		if soon(t, "the end", end, r.now()); r.now().Before(end) {
			t.Error("ended before its token")
		}
	})
	t.Run("deaf", func(t *testing.T) {
		r := landscape(t)
		r.events()
		body := opened(t, r.client(t, &r.partner.KeyPair), r.certified(t, "GET", "/orders", pass{}))
		r.deaf()
		r.pass(6 * time.Second)
		asked := r.asked.Load()
		eventually(t, "the issuer is asked", func() bool { return r.asked.Load() > asked })
		r.broken.Store(true)
		if _, err := io.Copy(io.Discard, body); err == nil {
			t.Error("ended as if it were whole")
		}
	})
}

// A request that waits for its answer is told why it gets none, and its connection serves the next one.
func TestRevocationRefusesWhoWaits(t *testing.T) {
	r := landscape(t)
	waiting := make(chan struct{})
	wait := func(_ http.ResponseWriter, q *http.Request) { waiting <- struct{}{}; <-q.Context().Done() }
	cookie, s := r.cookie(t, "demo", "alice", false)
	token, claims := r.issue(t, pass{client: "partner", bound: oauth.Confirmation{X5T: r.partner.X5T()}})
	held := newRequest(t, "GET", r.mtls+"/orders", "")
	held.Header.Set("Authorization", "Bearer "+token)
	for code, c := range map[string]struct {
		from *http.Client
		q    *http.Request
		end  func(tx *store.Tx) error
	}{
		"token_expired": {r.client(t, nil), fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie), func(tx *store.Tx) error { _, err := tx.EndAppSession(s.Record.ID); return err }},
		"invalid_token": {r.client(t, &r.partner.KeyPair), held, func(tx *store.Tx) error { return tx.RevokeGrant(claims.GrantID, tx.Now.Add(time.Hour)) }},
	} {
		t.Run(code, func(t *testing.T) {
			r.does(wait)
			answered := make(chan *http.Response, 1)
			go func() {
				a, _ := c.from.Do(c.q)
				answered <- a
			}()
			<-waiting
			done := r.elsewhere(t, c.end)
			a := <-answered
			if a == nil {
				t.Fatal("no answer")
			}
			soon(t, "the refusal", done, time.Now())
			body, err := io.ReadAll(a.Body)
			_ = a.Body.Close()
			if got := r.refusal(t); err != nil || a.StatusCode != 401 || !strings.Contains(string(body), `"`+code+`"`) || got.code != code {
				t.Errorf("%d %s, %v, recorded %+v", a.StatusCode, body, err, got)
			}
			r.does(nil)
			reused := false
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
			if a := send(t, c.from, c.q.WithContext(ctx)); a.StatusCode != 401 || !reused {
				t.Errorf("%d, of the same connection: %v", a.StatusCode, reused)
			}
		})
	}
}

// flood is an API that writes for as long as somebody takes it, and tells how much and when it is over.
func (r *rig) flood() (written *atomic.Int64, over chan time.Time) {
	written, over = new(atomic.Int64), make(chan time.Time, 1)
	r.does(func(w http.ResponseWriter, q *http.Request) {
		to := io.Writer(w)
		if q.Header.Get("Upgrade") != "" {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			acceptSocket(rw)
			to = c
		}
		for {
			n, err := to.Write(make([]byte, 1<<16))
			if written.Add(int64(n)); err != nil {
				over <- time.Now()
				return
			}
		}
	})
	return written, over
}

// A client that does not read keeps nothing open: neither here nor at the API.
func TestRevocationReachesWhoDoesNotRead(t *testing.T) {
	r := landscape(t)
	written, over := r.flood()
	for name, ask := range map[string]func(cookie *http.Cookie) int{
		"HTTP/1.1": func(cookie *http.Cookie) int { return r.unread(t, false, cookie) },
		"HTTP/2":   func(cookie *http.Cookie) int { return r.unread(t, true, cookie) },
		"HTTP/2, of which nothing is read at all": func(cookie *http.Cookie) int {
			r.deafHTTP2(t, cookie)
			return 200
		},
		"WebSocket": func(cookie *http.Cookie) int {
			_, a, _ := r.dialSocket(t, "/orders", "Cookie: "+cookie.String(), "Origin: "+spa)
			return a.StatusCode
		},
	} {
		t.Run(name, func(t *testing.T) {
			cookie, s := r.cookie(t, "demo", "alice", false)
			none := written.Load()
			if status := ask(cookie); status != 200 && status != 101 {
				t.Fatal(status)
			}
			eventually(t, "the API writes", func() bool { return written.Load() > none })
			for before := int64(-1); before != written.Load(); time.Sleep(200 * time.Millisecond) { // until all buffers are full
				before = written.Load()
			}
			done := r.elsewhere(t, func(tx *store.Tx) error { _, err := tx.EndAppSession(s.Record.ID); return err })
			soon(t, "the end at the API", done, <-over)
			eventually(t, "the end is recorded", func() bool { return r.refused() > 0 })
			soon(t, "the end here", done, time.Now())
			r.forgive()
		})
	}
}

// deafHTTP2 asks over HTTP/2, promises to read without end, and reads nothing.
func (r *rig) deafHTTP2(t *testing.T, cookie *http.Cookie) {
	t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:"+r.port(), &tls.Config{InsecureSkipVerify: true, ServerName: "api.holdfast.localhost", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	var block bytes.Buffer
	header := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "GET"}, {":scheme", "https"}, {":path", "/orders"}, {":authority", strings.TrimPrefix(r.origin, "https://")},
		{"origin", spa}, {"token-handler-version", "1"}, {"cookie", cookie.String()},
	} {
		if err := header.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = io.WriteString(c, http2.ClientPreface)
	to := http2.NewFramer(c, nil)
	err = errors.Join(err,
		to.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1}),
		to.WriteWindowUpdate(0, 1<<30),
		to.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// unread gives the status of an answer whose body stays where it is.
func (r *rig) unread(t *testing.T, http2 bool, cookie *http.Cookie) int {
	t.Helper()
	c := r.client(t, nil)
	c.Transport.(*http.Transport).ForceAttemptHTTP2 = http2
	a, err := c.Do(fromPage(newRequest(t, "GET", r.origin+"/orders", ""), cookie))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Body.Close() })
	if a.ProtoMajor == 2 != http2 {
		t.Fatal(a.Proto)
	}
	return a.StatusCode
}

// dialSocket opens a WebSocket as a browser does.
func (r *rig) dialSocket(t *testing.T, path string, header ...string) (net.Conn, *http.Response, *bufio.Reader) {
	t.Helper()
	c, err := tls.Dial("tcp", "127.0.0.1:"+r.port(), &tls.Config{InsecureSkipVerify: true, ServerName: "api.holdfast.localhost"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n\r\n", path, strings.TrimPrefix(r.origin, "https://"), strings.Join(header, "\r\n"))
	from := bufio.NewReader(c)
	a, err := http.ReadResponse(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, a, from
}

// echoSocket is an API that takes every WebSocket and sends back what it gets.
func echoSocket(w http.ResponseWriter, q *http.Request) {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), 500)
		return
	}
	defer c.Close()
	acceptSocket(rw)
	_, _ = io.Copy(c, rw)
}

func acceptSocket(w *bufio.ReadWriter) {
	fmt.Fprint(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	_ = w.Flush()
}

// A WebSocket cannot carry the custom header, so its Origin decides; it works both ways and ends with the session.
func TestRFC6455_WebSocket(t *testing.T) {
	r := landscape(t)
	r.does(echoSocket)
	cookie, s := r.cookie(t, "demo", "alice", false)
	for name, c := range map[string]struct {
		path   string
		header []string
		status int
	}{
		"of another origin":   {"/orders", []string{"Cookie: " + cookie.String(), "Origin: https://evil.holdfast.localhost", "Token-Handler-Version: 1"}, 403},
		"without an origin":   {"/orders", []string{"Cookie: " + cookie.String()}, 403},
		"without a session":   {"/orders", []string{"Origin: " + spa}, 401},
		"where there is none": {"/spa", []string{"Cookie: " + cookie.String(), "Origin: " + spa}, 400},
	} {
		if _, a, _ := r.dialSocket(t, c.path, c.header...); a.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", name, a.StatusCode, c.status)
		}
	}
	socket, a, from := r.dialSocket(t, "/orders", "Cookie: "+cookie.String(), "Origin: "+spa)
	if a.StatusCode != 101 || a.Header.Get("Sec-WebSocket-Accept") == "" {
		t.Fatal(a.Status)
	}
	if got := r.last(t).Header; got.Get("Cookie") != "" || got.Get("Origin") != "" || !strings.HasPrefix(got.Get("Authorization"), "Bearer ey") || got.Get("Sec-WebSocket-Key") == "" {
		t.Errorf("the API got %v", got)
	}
	for _, said := range []string{"hello", "again"} {
		if _, err := io.WriteString(socket, said); err != nil {
			t.Fatal(err)
		}
		heard := make([]byte, len(said))
		if _, err := io.ReadFull(from, heard); err != nil || string(heard) != said {
			t.Fatalf("%q, %v", heard, err)
		}
	}
	done := r.elsewhere(t, func(tx *store.Tx) error { _, err := tx.EndAppSession(s.Record.ID); return err })
	if n, err := io.Copy(io.Discard, from); n > 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
	soon(t, "the end", done, time.Now())
}

// Bodies flow both ways at once, and neither the deadlines of the server nor the timeout of the route end them.
func TestBodiesStream(t *testing.T) {
	r := landscape(t)
	r.does(func(w http.ResponseWriter, q *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		_ = rc.Flush()
		lines := bufio.NewScanner(q.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "got %s\n", lines.Text())
			_ = rc.Flush()
		}
	})
	cookie, _ := r.cookie(t, "demo", "alice", false)
	body, in := io.Pipe()
	q := fromPage(newRequest(t, "POST", r.origin+"/spa", ""), cookie)
	q.Body, q.ContentLength, q.GetBody = body, -1, nil
	client := r.client(t, nil)
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	go func() { fmt.Fprintln(in, "0") }()
	a, err := client.Do(q.WithContext(context.WithoutCancel(t.Context())))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	heard := bufio.NewReader(a.Body)
	for i := range 4 {
		line, err := heard.ReadString('\n')
		if err != nil || line != fmt.Sprintf("got %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
		time.Sleep(400 * time.Millisecond) // longer than the route's timeout in all
		fmt.Fprintln(in, i+1)
	}
	_ = in.Close()
}
