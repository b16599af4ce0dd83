package account_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/holdfast-iam/holdfast/internal/keys"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/passkey/passkeytest"
)

const (
	addPath    = "/account/passkeys/add"
	password   = "/account/passkeys/password"
	mailPath   = "/account/passkeys/mail"
	codePath   = "/account/passkeys/code"
	verify     = "/account/passkeys/verify"
	create     = "/account/passkeys/create"
	rename     = "/account/passkeys/rename"
	deletePath = "/account/passkeys/delete"
)

// signIn signs in with the password and ends on the account page.
func (b *browser) signIn(name string) *page {
	b.t.Helper()
	p := b.submit(b.get("/login"), "/login/password", "username", name, "password", right)
	if !strings.HasPrefix(p.path, "/account") {
		b.t.Fatalf("signed in to %s: %s", p.path, p.body)
	}
	return p
}

// mails takes what is in the queue, as "recipient: subject\ntext".
func (w *world) mails() (list []string) {
	w.t.Helper()
	var queued []store.Mail
	w.write(func(tx *store.Tx) (err error) {
		queued, err = tx.ClaimMail(20, tx.Now.Add(24*time.Hour))
		return err
	})
	for _, m := range queued {
		sealed, err := base64.RawURLEncoding.DecodeString(m.Text)
		w.ok(err)
		text, err := w.ring.Open(keys.PurposeSeal, []byte("mail\x00main\x00"+m.ID), sealed)
		w.ok(err)
		list = append(list, m.To+": "+m.Subject+"\n"+string(text))
	}
	return list
}

var inMail = regexp.MustCompile(`\b\d{4} \d{4}\b`)

// code is the code in the one mail that waits.
func (w *world) code() string {
	w.t.Helper()
	mails := w.mails()
	if len(mails) != 1 || !strings.HasPrefix(mails[0], "alice@example.com: ") {
		w.t.Fatalf("mails %q", mails)
	}
	return inMail.FindString(mails[0])
}

func (w *world) stored(account string) (list []store.Passkey) {
	w.t.Helper()
	w.write(func(tx *store.Tx) (err error) {
		list, err = tx.Passkeys(account)
		return err
	})
	return list
}

// addFirst adds the first passkey, right after signing in, and throws the mails away.
func (b *browser) addFirst(a *passkeytest.Authenticator) *page {
	b.t.Helper()
	p := b.submit(b.get(addPath), mailPath)
	p = b.submit(p, codePath, "code", b.code())
	p = b.submit(p, create, "response", p.answer(create, a.Create))
	p.shows(http.StatusOK, "Your passkey is ready.")
	b.mails()
	return p
}

// addPasskey adds a passkey to an account behind the back of its pages.
func (w *world) addPasskey(account string, a *passkeytest.Authenticator) {
	w.t.Helper()
	var owner store.Account
	w.write(func(tx *store.Tx) (err error) {
		owner, err = tx.Account(account)
		return err
	})
	c, err := w.passkeys.BeginRegistration(w.t.Context(), &owner, "test")
	w.ok(err)
	response, err := a.Create([]byte(c.Options))
	w.ok(err)
	made, err := w.passkeys.CheckRegistration(w.t.Context(), &owner, "test", c.State, string(response))
	w.ok(err)
	w.write(func(tx *store.Tx) error { return made.Add(tx, "Key of "+account) })
}

func authenticator() *passkeytest.Authenticator { return &passkeytest.Authenticator{Origin: issuer} }

func TestTheAccountNeedsASession(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for _, path := range []string{"/account", addPath, deletePath + "?id=x"} {
		if p := b.get(path); !strings.HasPrefix(p.path, "/login?i=") {
			t.Errorf("%s leads to %s", path, p.path)
		}
	}
	for _, path := range []string{password, mailPath, codePath, verify, create, rename, deletePath, "/account/sessions/end"} {
		if p := b.post(path, url.Values{}); !strings.HasPrefix(p.path, "/login?i=") {
			t.Errorf("%s leads to %s", path, p.path)
		}
	}
	b.signIn("alice").shows(http.StatusOK, "alice@example.com", "You have no passkey yet.", "this browser", "Firefox on Linux")
	w.change("alice", func(a *store.Account) { a.Disabled = true })
	if p := b.get("/account"); p.status != http.StatusForbidden || b.jar[web.SessionCookie] != "" {
		t.Errorf("disabled: %d", p.status)
	}
}

func TestFirstPasskeyNeedsPasswordAndMailedCode(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	w.now = w.now.Add(5 * time.Minute)
	p := b.get(addPath).shows(http.StatusOK, "enter your password again")
	b.post(create, url.Values{"response": {"{}"}}).shows(http.StatusOK, "enter your password again")
	if sent := b.post(mailPath, url.Values{}); sent.form(password) == nil || len(w.mails()) != 0 {
		t.Error("mailed a code without the password")
	}
	p = b.submit(p, password, "password", "wrong").shows(http.StatusBadRequest, "That did not work.")
	p = b.submit(p, password, "password", right).shows(http.StatusOK, "a…@example.com")
	p = b.submit(p, mailPath).shows(http.StatusOK, "We have sent a code")
	code := w.code()
	p = b.submit(p, codePath, "code", "00").shows(http.StatusBadRequest, "That code is not right")
	p = b.submit(p, codePath, "code", code)
	a := authenticator()
	p = b.submit(p, create, "response", p.answer(create, a.Create)).shows(http.StatusOK, "Your passkey is ready.", "Firefox on Linux", "this device only")
	if p.path != "/account?done=account.added" {
		t.Errorf("ended on %s", p.path)
	}
	if mails := w.mails(); len(mails) != 1 || !strings.Contains(mails[0], "added") || !strings.Contains(mails[0], issuer+"/account") {
		t.Errorf("mails %q", mails)
	}
	if !slices.Contains(w.acts(), "passkey.add") || len(w.stored("alice")) != 1 {
		t.Errorf("audit %v", w.acts())
	}
	// The new passkey signs in.
	other := w.browser()
	p = other.get("/login")
	other.submit(p, "/login/passkey", "response", p.answer("/login/passkey", a.Get)).shows(http.StatusOK, "last used today")
}

func TestFirstPasskeyWithoutAVerifiedAddress(t *testing.T) {
	w := newWorld(t)
	w.addAccount("bob", `{"email":"bob@example.com","email_verified":false}`)
	b := w.browser()
	b.signIn("bob")
	b.get(addPath).shows(http.StatusOK, "no verified e-mail address")
	b.post(mailPath, url.Values{})
	b.post(create, url.Values{"response": {"{}"}})
	if len(w.mails()) != 0 || len(w.stored("bob")) != 0 {
		t.Error("went on all the same")
	}
}

func TestMailedCodeFitsItsSessionAndAge(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	p := b.submit(b.get(addPath), mailPath)
	code := w.code()
	b.submit(p, codePath, "code", code)
	w.now = w.now.Add(5 * time.Minute)
	if p = b.get(addPath); p.form(create) != nil {
		t.Error("the proofs do not age")
	}
	p = b.submit(p, password, "password", right)
	b.submit(b.submit(p, mailPath), codePath, "code", code).shows(http.StatusBadRequest) // used before
}

func TestGuessingAMailedCodeEnds(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	p := b.submit(b.get(addPath), mailPath)
	code := w.code()
	for n := range 5 {
		p = b.submit(p, codePath, "code", fmt.Sprint(n)).shows(http.StatusBadRequest)
	}
	p = b.submit(p, codePath, "code", code)
	if p.status < 400 {
		t.Error("the code works after five guesses")
	}
}

func TestLaterPasskeysNeedAPasskey(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	first := authenticator()
	b.addFirst(first)
	p := b.get(addPath).shows(http.StatusOK, "Use one of your passkeys")
	b.post(create, url.Values{"response": {"{}"}}).shows(http.StatusOK, "Use one of your passkeys")

	mallory := authenticator()
	w.addAccount("mallory", `{}`)
	w.addPasskey("mallory", mallory)
	for name, c := range map[string]struct {
		response func() string
		status   int
	}{
		"nothing":            {func() string { return "" }, http.StatusBadRequest},
		"cancelled":          {func() string { return `{"error":"NotAllowedError"}` }, http.StatusOK},
		"of another account": {func() string { return p.answer(verify, mallory.Get) }, http.StatusBadRequest},
	} {
		if got := b.submit(p, verify, "response", c.response()); got.status != c.status || got.form(verify) == nil {
			t.Errorf("%s: %d", name, got.status)
		}
		p = b.get(addPath)
	}
	p = b.submit(p, verify, "response", p.answer(verify, first.Get)).shows(http.StatusOK, "Create the passkey")
	if _, err := first.Create([]byte(attribute(p.form(create), "data-options"))); err == nil {
		t.Error("the first authenticator is not excluded")
	}
	p = b.submit(p, create, "response", `{"error":"InvalidStateError"}`)
	p.shows(p.status, "already has a passkey")
	second := &passkeytest.Authenticator{Origin: issuer, Synced: true}
	response := p.answer(create, second.Create)
	b.submit(p, create, "response", response).shows(http.StatusOK, "Firefox on Linux (2)", "synced")
	b.submit(p, create, "response", response).shows(http.StatusBadRequest, "The passkey was not created.")
	if n := len(w.stored("alice")); n != 2 {
		t.Errorf("%d passkeys", n)
	}
	w.now = w.now.Add(5 * time.Minute)
	b.get(addPath).shows(http.StatusOK, "Use one of your passkeys")
}

func TestTwentyPasskeysAreEnough(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		w.addPasskey("alice", authenticator())
	}
	b := w.browser()
	b.signIn("alice")
	b.get(addPath).shows(http.StatusBadRequest, "20 passkeys")
}

func TestDeletingAPasskey(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	first := authenticator()
	b.addFirst(first)
	w.addPasskey("alice", authenticator())
	all := w.stored("alice")
	path := deletePath + "?id=" + all[1].ID
	p := b.get(path).shows(http.StatusOK, "Use one of your passkeys")
	b.post(deletePath, url.Values{"id": {all[1].ID}}).shows(http.StatusOK, "Use one of your passkeys")
	if len(w.stored("alice")) != 2 {
		t.Fatal("deleted without a proof")
	}
	p = b.submit(p, verify, "response", p.answer(verify, first.Get)).shows(http.StatusOK, all[1].Name, "Remove it there too")
	p = b.submit(p, deletePath).shows(http.StatusOK, "The passkey is deleted.")
	if strings.Contains(p.body, all[1].ID) {
		t.Error("still on the page")
	}
	if mails := w.mails(); len(mails) != 1 || !strings.Contains(mails[0], "deleted") || !slices.Contains(w.acts(), "passkey.delete") {
		t.Errorf("mails %q, audit %v", mails, w.acts())
	}
	b.get(path).shows(http.StatusNotFound)
	b.post(deletePath, url.Values{"id": {all[1].ID}}).shows(http.StatusNotFound)
}

// Whoever deletes a passkey may have lost it: what it has opened elsewhere ends, and what rests on others goes on.
func TestDeletingAPasskeyEndsItsSessions(t *testing.T) {
	w := newWorld(t)
	kept, lost := authenticator(), authenticator()
	w.addPasskey("alice", kept)
	w.addPasskey("alice", lost)
	with := func(key *passkeytest.Authenticator) *browser {
		b := w.browser()
		b.signIn("alice")
		p := b.get(addPath).shows(http.StatusOK, "Use one of your passkeys")
		b.submit(p, verify, "response", p.answer(verify, key.Get)).shows(http.StatusOK)
		return b
	}
	owner, other, thief := with(kept), with(kept), with(lost)
	id := w.stored("alice")[1].ID
	p := owner.get(deletePath+"?id="+id).shows(http.StatusOK, "Remove it there too")
	owner.submit(p, deletePath).shows(http.StatusOK, "The passkey is deleted.")
	for name, c := range map[string]struct {
		b     *browser
		lives bool
	}{"owner": {owner, true}, "other": {other, true}, "thief": {thief, false}} {
		if page := c.b.get("/account"); (page.status == http.StatusOK && strings.Contains(page.body, "Passkeys")) != c.lives {
			t.Errorf("%s: %d", name, page.status)
		}
	}
}

// A stolen password must not remove the passkey that stands against it.
func TestDeletingTheOnlyPasskeyNeedsIt(t *testing.T) {
	w := newWorld(t)
	w.addPasskey("alice", authenticator())
	b := w.browser()
	b.signIn("alice")
	only := w.stored("alice")[0]
	p := b.get(deletePath+"?id="+only.ID).shows(http.StatusOK, "Use one of your passkeys")
	if p.form(deletePath) != nil {
		t.Error("the page offers it")
	}
	if p = b.post(deletePath, url.Values{"id": {only.ID}}); len(w.stored("alice")) != 1 {
		t.Errorf("deleted by password alone: %d", p.status)
	}
}

func TestTheLastWayInCannotBeDeleted(t *testing.T) {
	w := newWorld(t)
	a := authenticator()
	w.addPasskey("alice", a)
	w.change("alice", func(a *store.Account) { a.PasswordHash = "" })
	b := w.browser()
	p := b.get("/login")
	b.submit(p, "/login/passkey", "response", p.answer("/login/passkey", a.Get))
	only := w.stored("alice")[0]
	p = b.get(deletePath+"?id="+only.ID).shows(http.StatusOK, "This is your only way to sign in")
	if p.form(deletePath) != nil {
		t.Error("the page offers it")
	}
	if p = b.post(deletePath, url.Values{"id": {only.ID}}); p.status < 400 || len(w.stored("alice")) != 1 {
		t.Errorf("got %d, %d passkeys", p.status, len(w.stored("alice")))
	}
}

func TestPasskeysOfOthersAreNotThere(t *testing.T) {
	w := newWorld(t)
	w.addAccount("bob", `{}`)
	w.addPasskey("bob", authenticator())
	id := w.stored("bob")[0].ID
	b := w.browser()
	b.signIn("alice")
	b.get(deletePath + "?id=" + id).shows(http.StatusNotFound)
	b.post(deletePath, url.Values{"id": {id}}).shows(http.StatusNotFound)
	b.post(rename, url.Values{"id": {id}, "name": {"mine"}}).shows(http.StatusNotFound)
	if k := w.stored("bob"); len(k) != 1 || k[0].Name != "Key of bob" {
		t.Errorf("got %+v", k)
	}
}

func TestRenaming(t *testing.T) {
	w := newWorld(t)
	w.addPasskey("alice", authenticator())
	b := w.browser()
	p := b.signIn("alice")
	b.submit(p, rename, "name", " <b>Bücher</b> ").shows(http.StatusOK, "The passkey has its new name.", "<b>Bücher</b>")
	for _, bad := range []string{" ", strings.Repeat("ü", 65), "two\nlines"} {
		b.submit(p, rename, "name", bad).shows(http.StatusBadRequest)
	}
	b.submit(p, rename, "name", strings.Repeat("ü", 64)).shows(http.StatusOK)
}

func TestEndingSessions(t *testing.T) {
	w := newWorld(t)
	w.addAccount("bob", `{}`)
	one, two, three, bob := w.browser(), w.browser(), w.browser(), w.browser()
	bob.signIn("bob")
	one.signIn("alice")
	two.signIn("alice")
	p := three.signIn("alice")
	alive := func(b *browser) bool { return b.get("/account").path == "/account" }
	id := func(b *browser) string {
		id, _, _ := keys.SplitHandle(b.jar[web.SessionCookie])
		return id
	}
	three.post("/account/sessions/end", url.Values{"id": {id(bob)}})
	three.post("/account/sessions/end", url.Values{"id": {id(three)}})
	if !alive(bob) || !alive(three) {
		t.Error("ended what is not theirs, or the session they are in")
	}
	three.post("/account/sessions/end", url.Values{"id": {id(one)}}).shows(http.StatusOK, "That browser is signed out.")
	if alive(one) || !alive(two) {
		t.Error("ended another one than asked for")
	}
	one.signIn("alice")
	three.submit(formOf(p, "others"), "/account/sessions/end")
	if alive(one) || alive(two) || !alive(three) || !alive(bob) {
		t.Error("all others did not end")
	}
}

// formOf is the page with the only form that has an input of this value.
func formOf(p *page, value string) *page {
	for n := range p.root.Descendants() {
		if n.Data != "form" {
			continue
		}
		for i := range n.Descendants() {
			if i.Data == "input" && attribute(i, "value") == value {
				root := &html.Node{}
				n.Parent.RemoveChild(n)
				root.AppendChild(n)
				return &page{t: p.t, path: p.path, status: p.status, root: root}
			}
		}
	}
	return p
}

func TestStepsLeadNowhereElse(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	w.now = w.now.Add(5 * time.Minute)
	for _, next := range []string{"https://evil.example", "//evil.example", "/authorize/next", "/account/passkeys/delete?id=x&y=https://evil.example", ""} {
		p := b.submit(b.get(addPath), password, "password", right, "next", next)
		if !strings.HasPrefix(p.path, "/account/passkeys/") {
			t.Errorf("%s led to %s", next, p.path)
		}
		w.now = w.now.Add(5 * time.Minute)
	}
	if p := b.get("/account?done=passkey.nomail"); strings.Contains(p.body, "no verified e-mail") {
		t.Error("an address brings up any text")
	}
}

func TestPasskeyEndpoints(t *testing.T) {
	w := newWorld(t)
	p := w.browser().get("/.well-known/passkey-endpoints")
	var got map[string]string
	w.ok(json.Unmarshal([]byte(p.body), &got))
	if got["enroll"] != issuer+addPath || got["manage"] != issuer+"/account" || !strings.HasPrefix(p.header.Get("Content-Type"), "application/json") {
		t.Errorf("got %v", got)
	}
}

// Two requests that would each leave one passkey must not leave none.
func TestDeletingTwoAtOnceLeavesAWayIn(t *testing.T) {
	w := newWorld(t)
	first := authenticator()
	w.addPasskey("alice", first)
	w.addPasskey("alice", authenticator())
	w.change("alice", func(a *store.Account) { a.PasswordHash = "" })
	b := w.browser()
	p := b.get("/login")
	b.submit(p, "/login/passkey", "response", p.answer("/login/passkey", first.Get))
	var both sync.WaitGroup
	for _, k := range w.stored("alice") {
		r := httptest.NewRequest(http.MethodPost, issuer+deletePath, strings.NewReader(url.Values{"id": {k.ID}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: web.SessionCookie, Value: b.jar[web.SessionCookie]})
		both.Go(func() { w.handler.ServeHTTP(httptest.NewRecorder(), r) })
	}
	both.Wait()
	if n := len(w.stored("alice")); n != 1 {
		t.Errorf("%d passkeys are left", n)
	}
}
