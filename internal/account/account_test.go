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

	"github.com/holdfast-iam/holdfast/internal/authn/authntest"
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
	b.T.Helper()
	p := b.Submit(b.Get("/login"), "/login/password", "username", name, "password", right)
	if !strings.HasPrefix(p.Path, "/account") {
		b.T.Fatalf("signed in to %s: %s", p.Path, p.Body)
	}
	return p
}

// mails takes what is in the queue, as "recipient: subject\ntext".
func (w *world) mails() (list []string) {
	w.T.Helper()
	var queued []store.Mail
	w.Write(func(tx *store.Tx) (err error) {
		queued, err = tx.ClaimMail(20, tx.Now.Add(24*time.Hour))
		return err
	})
	for _, m := range queued {
		sealed, err := base64.RawURLEncoding.DecodeString(m.Text)
		w.OK(err)
		text, err := w.Ring.Open(keys.PurposeSeal, []byte("mail\x00main\x00"+m.ID), sealed)
		w.OK(err)
		list = append(list, m.To+": "+m.Subject+"\n"+string(text))
	}
	return list
}

var inMail = regexp.MustCompile(`\b\d{4} \d{4}\b`)

// code is the code in the one mail that waits.
func (w *world) code() string {
	w.T.Helper()
	mails := w.mails()
	if len(mails) != 1 || !strings.HasPrefix(mails[0], "alice@example.com: ") {
		w.T.Fatalf("mails %q", mails)
	}
	return inMail.FindString(mails[0])
}

func (w *world) stored(account string) (list []store.Passkey) {
	w.T.Helper()
	w.Write(func(tx *store.Tx) (err error) {
		list, err = tx.Passkeys(account)
		return err
	})
	return list
}

// addFirst adds the first passkey, right after signing in, and throws the mails away.
func (b *browser) addFirst(a *passkeytest.Authenticator) *page {
	b.T.Helper()
	p := b.Submit(b.Get(addPath), mailPath)
	p = b.Submit(p, codePath, "code", b.code())
	p = b.Submit(p, create, "response", p.Answer(create, a.Create))
	p.Shows(http.StatusOK, "Your passkey is ready.")
	b.mails()
	return p
}

// addPasskey adds a passkey to an account behind the back of its pages.
func (w *world) addPasskey(account string, a *passkeytest.Authenticator) {
	w.T.Helper()
	w.AddPasskey(account, "Key of "+account, a.Create)
}

func authenticator() *passkeytest.Authenticator { return &passkeytest.Authenticator{Origin: issuer} }

func TestTheAccountNeedsASession(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for _, path := range []string{"/account", addPath, deletePath + "?id=x", endPath + "?client=x"} {
		if p := b.Get(path); !strings.HasPrefix(p.Path, "/login?i=") {
			t.Errorf("%s leads to %s", path, p.Path)
		}
	}
	for _, path := range []string{password, mailPath, codePath, verify, create, rename, deletePath, endPath, "/account/sessions/end"} {
		if p := b.Post(path, url.Values{}); !strings.HasPrefix(p.Path, "/login?i=") {
			t.Errorf("%s leads to %s", path, p.Path)
		}
	}
	b.signIn("alice").Shows(http.StatusOK, "alice@example.com", "You have no passkey yet.", "this browser", "Firefox on Linux")
	w.Change("alice", func(a *store.Account) { a.Disabled = true })
	if p := b.Get("/account"); p.Status != http.StatusForbidden || b.Jar[web.SessionCookie] != "" {
		t.Errorf("disabled: %d", p.Status)
	}
}

func TestFirstPasskeyNeedsPasswordAndMailedCode(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	w.Time = w.Time.Add(5 * time.Minute)
	p := b.Get(addPath).Shows(http.StatusOK, "enter your password again")
	b.Post(create, url.Values{"response": {"{}"}}).Shows(http.StatusOK, "enter your password again")
	if sent := b.Post(mailPath, url.Values{}); sent.Form(password) == nil || len(w.mails()) != 0 {
		t.Error("mailed a code without the password")
	}
	p = b.Submit(p, password, "password", "wrong").Shows(http.StatusBadRequest, "That did not work.")
	p = b.Submit(p, password, "password", right).Shows(http.StatusOK, "a…@example.com")
	p = b.Submit(p, mailPath).Shows(http.StatusOK, "We have sent a code")
	code := w.code()
	p = b.Submit(p, codePath, "code", "00").Shows(http.StatusBadRequest, "That code is not right")
	p = b.Submit(p, codePath, "code", code)
	a := authenticator()
	p = b.Submit(p, create, "response", p.Answer(create, a.Create)).Shows(http.StatusOK, "Your passkey is ready.", "Firefox on Linux", "this device only")
	if p.Path != "/account?done=account.added" {
		t.Errorf("ended on %s", p.Path)
	}
	if mails := w.mails(); len(mails) != 1 || !strings.Contains(mails[0], "added") || !strings.Contains(mails[0], issuer+"/account") {
		t.Errorf("mails %q", mails)
	}
	if !slices.Contains(w.Acts(), "passkey.add") || len(w.stored("alice")) != 1 {
		t.Errorf("audit %v", w.Acts())
	}
	// The new passkey signs in.
	other := w.browser()
	p = other.Get("/login")
	other.Submit(p, "/login/passkey", "response", p.Answer("/login/passkey", a.Get)).Shows(http.StatusOK, "last used today")
}

func TestFirstPasskeyWithoutAVerifiedAddress(t *testing.T) {
	w := newWorld(t)
	w.AddAccount("bob", `{"email":"bob@example.com","email_verified":false}`)
	b := w.browser()
	b.signIn("bob")
	b.Get(addPath).Shows(http.StatusOK, "no verified e-mail address")
	b.Post(mailPath, url.Values{})
	b.Post(create, url.Values{"response": {"{}"}})
	if len(w.mails()) != 0 || len(w.stored("bob")) != 0 {
		t.Error("went on all the same")
	}
}

func TestMailedCodeFitsItsSessionAndAge(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	p := b.Submit(b.Get(addPath), mailPath)
	code := w.code()
	b.Submit(p, codePath, "code", code)
	w.Time = w.Time.Add(5 * time.Minute)
	if p = b.Get(addPath); p.Form(create) != nil {
		t.Error("the proofs do not age")
	}
	p = b.Submit(p, password, "password", right)
	b.Submit(b.Submit(p, mailPath), codePath, "code", code).Shows(http.StatusBadRequest) // used before
}

func TestGuessingAMailedCodeEnds(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	p := b.Submit(b.Get(addPath), mailPath)
	code := w.code()
	for n := range 5 {
		p = b.Submit(p, codePath, "code", fmt.Sprint(n)).Shows(http.StatusBadRequest)
	}
	p = b.Submit(p, codePath, "code", code)
	if p.Status < 400 {
		t.Error("the code works after five guesses")
	}
}

func TestLaterPasskeysNeedAPasskey(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	first := authenticator()
	b.addFirst(first)
	p := b.Get(addPath).Shows(http.StatusOK, "Use one of your passkeys")
	b.Post(create, url.Values{"response": {"{}"}}).Shows(http.StatusOK, "Use one of your passkeys")

	mallory := authenticator()
	w.AddAccount("mallory", `{}`)
	w.addPasskey("mallory", mallory)
	for name, c := range map[string]struct {
		response func() string
		status   int
	}{
		"nothing":            {func() string { return "" }, http.StatusBadRequest},
		"cancelled":          {func() string { return `{"error":"NotAllowedError"}` }, http.StatusOK},
		"of another account": {func() string { return p.Answer(verify, mallory.Get) }, http.StatusBadRequest},
	} {
		if got := b.Submit(p, verify, "response", c.response()); got.Status != c.status || got.Form(verify) == nil {
			t.Errorf("%s: %d", name, got.Status)
		}
		p = b.Get(addPath)
	}
	p = b.Submit(p, verify, "response", p.Answer(verify, first.Get)).Shows(http.StatusOK, "Create the passkey")
	if _, err := first.Create([]byte(authntest.Attribute(p.Form(create), "data-options"))); err == nil {
		t.Error("the first authenticator is not excluded")
	}
	p = b.Submit(p, create, "response", `{"error":"InvalidStateError"}`)
	p.Shows(p.Status, "already has a passkey")
	second := &passkeytest.Authenticator{Origin: issuer, Synced: true}
	response := p.Answer(create, second.Create)
	b.Submit(p, create, "response", response).Shows(http.StatusOK, "Firefox on Linux (2)", "synced")
	b.Submit(p, create, "response", response).Shows(http.StatusBadRequest, "The passkey was not created.")
	if n := len(w.stored("alice")); n != 2 {
		t.Errorf("%d passkeys", n)
	}
	w.Time = w.Time.Add(5 * time.Minute)
	b.Get(addPath).Shows(http.StatusOK, "Use one of your passkeys")
}

func TestTwentyPasskeysAreEnough(t *testing.T) {
	w := newWorld(t)
	for range 20 {
		w.addPasskey("alice", authenticator())
	}
	b := w.browser()
	b.signIn("alice")
	b.Get(addPath).Shows(http.StatusBadRequest, "20 passkeys")
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
	p := b.Get(path).Shows(http.StatusOK, "Use one of your passkeys")
	b.Post(deletePath, url.Values{"id": {all[1].ID}}).Shows(http.StatusOK, "Use one of your passkeys")
	if len(w.stored("alice")) != 2 {
		t.Fatal("deleted without a proof")
	}
	p = b.Submit(p, verify, "response", p.Answer(verify, first.Get)).Shows(http.StatusOK, all[1].Name, "Remove it there too")
	p = b.Submit(p, deletePath).Shows(http.StatusOK, "The passkey is deleted.")
	if strings.Contains(p.Body, all[1].ID) {
		t.Error("still on the page")
	}
	if mails := w.mails(); len(mails) != 1 || !strings.Contains(mails[0], "deleted") || !slices.Contains(w.Acts(), "passkey.delete") {
		t.Errorf("mails %q, audit %v", mails, w.Acts())
	}
	b.Get(path).Shows(http.StatusNotFound)
	b.Post(deletePath, url.Values{"id": {all[1].ID}}).Shows(http.StatusNotFound)
}

// Whoever deletes a passkey may have lost it: what it has opened elsewhere ends, and what rests on others goes on.
func TestDeletingAPasskeyEndsItsSessions(t *testing.T) {
	w := newWorld(t)
	kept, lost := authenticator(), authenticator()
	w.addPasskey("alice", kept)
	w.Time = w.Time.Add(time.Second) // so that it is the second one in the list
	w.addPasskey("alice", lost)
	with := func(key *passkeytest.Authenticator) *browser {
		b := w.browser()
		b.signIn("alice")
		p := b.Get(addPath).Shows(http.StatusOK, "Use one of your passkeys")
		b.Submit(p, verify, "response", p.Answer(verify, key.Get)).Shows(http.StatusOK)
		return b
	}
	owner, other, thief := with(kept), with(kept), with(lost)
	id := w.stored("alice")[1].ID
	p := owner.Get(deletePath+"?id="+id).Shows(http.StatusOK, "Remove it there too")
	owner.Submit(p, deletePath).Shows(http.StatusOK, "The passkey is deleted.")
	for name, c := range map[string]struct {
		b     *browser
		lives bool
	}{"owner": {owner, true}, "other": {other, true}, "thief": {thief, false}} {
		if page := c.b.Get("/account"); (page.Status == http.StatusOK && strings.Contains(page.Body, "Passkeys")) != c.lives {
			t.Errorf("%s: %d", name, page.Status)
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
	p := b.Get(deletePath+"?id="+only.ID).Shows(http.StatusOK, "Use one of your passkeys")
	if p.Form(deletePath) != nil {
		t.Error("the page offers it")
	}
	if p = b.Post(deletePath, url.Values{"id": {only.ID}}); len(w.stored("alice")) != 1 {
		t.Errorf("deleted by password alone: %d", p.Status)
	}
}

func TestTheLastWayInCannotBeDeleted(t *testing.T) {
	w := newWorld(t)
	a := authenticator()
	w.addPasskey("alice", a)
	w.Change("alice", func(a *store.Account) { a.PasswordHash = "" })
	b := w.browser()
	p := b.Get("/login")
	b.Submit(p, "/login/passkey", "response", p.Answer("/login/passkey", a.Get))
	only := w.stored("alice")[0]
	p = b.Get(deletePath+"?id="+only.ID).Shows(http.StatusOK, "This is your only way to sign in")
	if p.Form(deletePath) != nil {
		t.Error("the page offers it")
	}
	if p = b.Post(deletePath, url.Values{"id": {only.ID}}); p.Status < 400 || len(w.stored("alice")) != 1 {
		t.Errorf("got %d, %d passkeys", p.Status, len(w.stored("alice")))
	}
}

func TestPasskeysOfOthersAreNotThere(t *testing.T) {
	w := newWorld(t)
	w.AddAccount("bob", `{}`)
	w.addPasskey("bob", authenticator())
	id := w.stored("bob")[0].ID
	b := w.browser()
	b.signIn("alice")
	b.Get(deletePath + "?id=" + id).Shows(http.StatusNotFound)
	b.Post(deletePath, url.Values{"id": {id}}).Shows(http.StatusNotFound)
	b.Post(rename, url.Values{"id": {id}, "name": {"mine"}}).Shows(http.StatusNotFound)
	if k := w.stored("bob"); len(k) != 1 || k[0].Name != "Key of bob" {
		t.Errorf("got %+v", k)
	}
}

func TestRenaming(t *testing.T) {
	w := newWorld(t)
	w.addPasskey("alice", authenticator())
	b := w.browser()
	p := b.signIn("alice")
	b.Submit(p, rename, "name", " <b>Bücher</b> ").Shows(http.StatusOK, "The passkey has its new name.", "<b>Bücher</b>")
	for _, bad := range []string{" ", strings.Repeat("ü", 65), "two\nlines"} {
		b.Submit(p, rename, "name", bad).Shows(http.StatusBadRequest)
	}
	b.Submit(p, rename, "name", strings.Repeat("ü", 64)).Shows(http.StatusOK)
}

func TestEndingSessions(t *testing.T) {
	w := newWorld(t)
	w.AddAccount("bob", `{}`)
	one, two, three, bob := w.browser(), w.browser(), w.browser(), w.browser()
	bob.signIn("bob")
	one.signIn("alice")
	two.signIn("alice")
	p := three.signIn("alice")
	alive := func(b *browser) bool { return b.Get("/account").Path == "/account" }
	id := func(b *browser) string {
		id, _, _ := keys.SplitHandle(b.Jar[web.SessionCookie])
		return id
	}
	three.Post("/account/sessions/end", url.Values{"id": {id(bob)}})
	three.Post("/account/sessions/end", url.Values{"id": {id(three)}})
	if !alive(bob) || !alive(three) {
		t.Error("ended what is not theirs, or the session they are in")
	}
	three.Post("/account/sessions/end", url.Values{"id": {id(one)}}).Shows(http.StatusOK, "That browser is signed out.")
	if alive(one) || !alive(two) {
		t.Error("ended another one than asked for")
	}
	one.signIn("alice")
	three.Submit(formOf(p, "others"), "/account/sessions/end")
	if alive(one) || alive(two) || !alive(three) || !alive(bob) {
		t.Error("all others did not end")
	}
}

// formOf is the page with the only form that has an input of this value.
func formOf(p *page, value string) *page {
	for n := range p.Root.Descendants() {
		if n.Data != "form" {
			continue
		}
		for i := range n.Descendants() {
			if i.Data == "input" && authntest.Attribute(i, "value") == value {
				root := &html.Node{}
				n.Parent.RemoveChild(n)
				root.AppendChild(n)
				only := *p
				only.Root = root
				return &only
			}
		}
	}
	return p
}

func TestStepsLeadNowhereElse(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.signIn("alice")
	w.Time = w.Time.Add(5 * time.Minute)
	for _, next := range []string{"https://evil.example", "//evil.example", "/authorize/next", "/account/passkeys/delete?id=x&y=https://evil.example", ""} {
		p := b.Submit(b.Get(addPath), password, "password", right, "next", next)
		if !strings.HasPrefix(p.Path, "/account/passkeys/") {
			t.Errorf("%s led to %s", next, p.Path)
		}
		w.Time = w.Time.Add(5 * time.Minute)
	}
	if p := b.Get("/account?done=passkey.nomail"); strings.Contains(p.Body, "no verified e-mail") {
		t.Error("an address brings up any text")
	}
}

func TestPasskeyEndpoints(t *testing.T) {
	w := newWorld(t)
	p := w.browser().Get("/.well-known/passkey-endpoints")
	var got map[string]string
	w.OK(json.Unmarshal([]byte(p.Body), &got))
	if got["enroll"] != issuer+addPath || got["manage"] != issuer+"/account" || !strings.HasPrefix(p.Header.Get("Content-Type"), "application/json") {
		t.Errorf("got %v", got)
	}
}

// Two requests that would each leave one passkey must not leave none.
func TestDeletingTwoAtOnceLeavesAWayIn(t *testing.T) {
	w := newWorld(t)
	first := authenticator()
	w.addPasskey("alice", first)
	w.addPasskey("alice", authenticator())
	w.Change("alice", func(a *store.Account) { a.PasswordHash = "" })
	b := w.browser()
	p := b.Get("/login")
	b.Submit(p, "/login/passkey", "response", p.Answer("/login/passkey", first.Get))
	var both sync.WaitGroup
	for _, k := range w.stored("alice") {
		r := httptest.NewRequest(http.MethodPost, issuer+deletePath, strings.NewReader(url.Values{"id": {k.ID}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.AddCookie(&http.Cookie{Name: web.SessionCookie, Value: b.Jar[web.SessionCookie]})
		both.Go(func() { w.Handler.ServeHTTP(httptest.NewRecorder(), r) })
	}
	both.Wait()
	if n := len(w.stored("alice")); n != 1 {
		t.Errorf("%d passkeys are left", n)
	}
}
