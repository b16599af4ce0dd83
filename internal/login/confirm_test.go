package login_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/authn/authntest"
	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey/passkeytest"
)

const withoutMore = "/login/stay"

// kept is the interaction as the browser has it now.
func (b *browser) kept(id string) *flow.Interaction {
	b.T.Helper()
	r := httptest.NewRequest(http.MethodGet, issuer, nil)
	for name, value := range b.Jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	i, err := b.Keeper.Open(r, id)
	b.OK(err)
	return i
}

// known is a browser in which alice has signed in with her password a minute ago.
func (w *world) known() *browser {
	w.T.Helper()
	b := w.browser()
	b.Submit(b.Get("/login"), withPassword, "username", "alice", "password", right)
	w.Time = w.Time.Add(time.Minute)
	return b
}

// Somebody steps up with a passkey: the same session, a new handle, and the strength of the passkey (RFC 9470 §4).
func TestRFC9470_4_StepUpKeepsTheSession(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	a := &passkeytest.Authenticator{Origin: issuer}
	w.addPasskey("alice", a)
	b := w.known()
	before, handle := w.sessions("alice")[0], b.Jar[web.SessionCookie]
	i, p := b.visit(request.Authorization{RequiredACR: []string{"phr"}})
	p.Shows(http.StatusOK, "One more step", "asks for one of your passkeys", "Signed in as alice", "Sign in as somebody else")
	if p.Form(withPassword) != nil || p.Form(withoutMore) != nil {
		t.Error("there are ways that lead nowhere")
	}
	isStep(t, b.Submit(p, withPasskey, "response", p.Answer(withPasskey, a.Get)), w.Keeper.NextURL(i))
	after := w.sessions("alice")
	if len(after) != 1 || after[0].ID != before.ID || after[0].ACR != "phrh" || !after[0].AuthTime.Equal(w.Time) {
		t.Errorf("sessions %+v", after)
	}
	if b.Jar[web.SessionCookie] == handle {
		t.Error("the handle is the one of before")
	}
	if kept := b.kept(i.ID); kept.Settled != "alice" {
		t.Errorf("settled: %q", kept.Settled)
	}
}

func TestConfirmingWithThePassword(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	b := w.known()
	age := int64(30)
	i, p := b.visit(request.Authorization{MaxAge: &age})
	p.Shows(http.StatusOK, "Confirm that it is you", "asks you to sign in again", "Signed in as alice")
	if got := authntest.Attribute(input(p.Form(withPassword), "username"), "value"); got != "alice" || p.Form(withoutMore) != nil {
		t.Errorf("asks %q", got)
	}
	p = b.Submit(p, withPassword, "password", "wrong").Shows(http.StatusBadRequest, "That did not work.", "Signed in as alice")
	p = b.Submit(p, withPasskey, "response", "{}").Shows(http.StatusBadRequest, "Try again with another one of your account.", "Signed in as alice")
	p = b.Submit(p, withPasskey, "response", `{"error":"NotAllowedError"}`).Shows(http.StatusOK, "No passkey was used. Try again.", "Signed in as alice")
	isStep(t, b.Submit(p, withPassword, "password", right), w.Keeper.NextURL(i))
	if s := w.sessions("alice"); len(s) != 1 || !s[0].AuthTime.Equal(w.Time) {
		t.Errorf("sessions %+v", s)
	}
	if kept := b.kept(i.ID); kept.Settled != "" {
		t.Error("who has only signed in again has not been asked for more")
	}
}

// A page about one account takes nobody else's proof; the plain form does.
func TestConfirmingAsSomebodyElse(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	w.AddAccount("bob", `{}`)
	ofBob := &passkeytest.Authenticator{Origin: issuer}
	w.addPasskey("bob", ofBob)
	b := w.known()
	i, p := b.visit(request.Authorization{Prompt: []string{"login"}})
	p = b.Submit(p, withPassword, "username", "bob", "password", right).Shows(http.StatusBadRequest, "That is another account.", "Signed in as alice")
	p = b.Submit(p, withPasskey, "response", p.Answer(withPasskey, ofBob.Get)).Shows(http.StatusBadRequest, "That is another account.", "Signed in as alice")
	if a, n := len(w.sessions("alice")), len(w.sessions("bob")); a != 1 || n != 0 {
		t.Fatalf("%d of alice, %d of bob", a, n)
	}
	if !strings.Contains(p.Body, "/login?i="+i.ID+"&amp;other=1") {
		t.Error("no way to the plain form")
	}
	p = b.Get("/login?i="+i.ID+"&other=1").Shows(http.StatusOK, "Sign in", "User name or e-mail")
	p = b.Submit(p, withPassword, "username", "bob", "password", "wrong").Shows(http.StatusBadRequest, "User name or e-mail")
	isStep(t, b.Submit(p, withPassword, "username", "bob", "password", right), w.Keeper.NextURL(i))
	if a, n := len(w.sessions("alice")), len(w.sessions("bob")); a != 0 || n != 1 {
		t.Errorf("%d of alice, %d of bob", a, n)
	}
}

func TestStayingAsOneIs(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	b := w.known()
	session := w.sessions("alice")[0]
	i, p := b.visit(request.Authorization{Prompt: []string{"select_account"}})
	p.Shows(http.StatusOK, "Choose an account", "Continue as alice")
	if p.Form(withPassword) != nil || p.Form(withPasskey) != nil {
		t.Error("a choice is no sign-in")
	}
	b.Submit(p, withoutMore, "account", "bob")
	if kept := b.kept(i.ID); kept.Settled != "" {
		t.Errorf("settled for somebody else: %q", kept.Settled)
	}
	isStep(t, b.Submit(p, withoutMore), w.Keeper.NextURL(i))
	if kept := b.kept(i.ID); kept.Settled != "alice" {
		t.Errorf("settled: %q", kept.Settled)
	}
	if s := w.sessions("alice"); len(s) != 1 || !s[0].AuthTime.Equal(session.AuthTime) {
		t.Errorf("sessions %+v", s)
	}
	// Without a session, and on the way to one's own account, there is nobody to stay as.
	delete(b.Jar, web.SessionCookie)
	isStep(t, b.Post(withoutMore, url.Values{"i": {i.ID}, "account": {"alice"}}), w.Keeper.NextURL(i))
	own := authntest.Attribute(input(b.Get("/login").Form(withPassword), "i"), "value")
	b.Post(withoutMore, url.Values{"i": {own}}).Shows(http.StatusBadRequest)
}

// What asks is told from what insists, and a passkey that is not enough from none.
func TestWhatTheStepUpPageOffers(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	synced, device := &passkeytest.Authenticator{Origin: issuer, Synced: true}, &passkeytest.Authenticator{Origin: issuer}
	w.addPasskey("alice", synced)
	w.addPasskey("alice", device)
	b := w.known()
	_, p := b.visit(request.Authorization{ACRValues: []string{"phr"}})
	p.Shows(http.StatusOK, "One more step", "Continue without it")
	i, p := b.visit(request.Authorization{RequiredACR: []string{"phrh"}})
	p.Shows(http.StatusOK, "asks for a passkey that stays on one device")
	isStep(t, b.Submit(p, withPasskey, "response", p.Answer(withPasskey, synced.Get)), w.Keeper.NextURL(i))
	p = b.Get("/login?i="+i.ID).Shows(http.StatusOK, "That passkey is synced between devices.")
	isStep(t, b.Submit(p, withPasskey, "response", p.Answer(withPasskey, device.Get)), w.Keeper.NextURL(i))
	if s := w.sessions("alice"); len(s) != 1 || s[0].ACR != "phrh" {
		t.Errorf("sessions %+v", s)
	}
	// Once it is there, the page is the one for somebody else.
	b.Get("/login?i="+i.ID).Shows(http.StatusOK, "User name or e-mail")
}

func TestAnotherAccountIsWanted(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	b := w.known()
	_, p := b.visit(request.Authorization{Subjects: []string{"bob"}})
	p.Shows(http.StatusOK, "This needs another account", "User name or e-mail")
	b.Submit(p, withPassword, "username", "bob", "password", "wrong").Shows(http.StatusBadRequest, "That did not work.")
}

func TestLoginHintFillsTheForm(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	b := w.browser()
	_, p := b.visit(request.Authorization{LoginHint: `alice"<b>`})
	if got := authntest.Attribute(input(p.Form(withPassword), "username"), "value"); got != `alice"<b>` {
		t.Errorf("filled with %q", got)
	}
	p = b.Submit(p, withPassword, "username", "carol", "password", "wrong")
	if got := authntest.Attribute(input(p.Form(withPassword), "username"), "value"); got != "carol" {
		t.Errorf("filled again with %q", got)
	}
}

// The account may be gone, which its session does not know.
func TestConfirmingForNobody(t *testing.T) {
	w := newWorld(t)
	w.addClient()
	b := w.known()
	w.Write(func(tx *store.Tx) error { return tx.DeleteAccount("alice") })
	_, p := b.visit(request.Authorization{Prompt: []string{"login"}})
	p.Shows(http.StatusOK, "User name or e-mail")
}
