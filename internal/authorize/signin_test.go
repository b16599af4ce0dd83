package authorize_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-iam/holdfast/internal/session"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/web"
	"github.com/holdfast-iam/holdfast/oauth"
	"github.com/holdfast-iam/holdfast/passkey"
)

var (
	syncedKey = store.Factor{Kind: session.Passkey, AMR: []string{"swk", "user"}, PasskeyID: "synced"}
	deviceKey = store.Factor{Kind: session.Passkey, AMR: []string{"hwk", "user"}, PasskeyID: "device", DeviceBound: true}
)

// own gives somebody a passkey of a kind.
func (n *tenant) own(t testing.TB, account string, f store.Factor) {
	t.Helper()
	p := store.Passkey{ID: f.PasskeyID, AccountID: account, RPID: host, PublicKey: []byte{1}, Flags: passkey.FlagBackupEligible}
	if f.DeviceBound {
		p.Flags = 0
	}
	n.write(t, func(tx *store.Tx) error { return tx.AddPasskey(p) })
}

// refusal is the error of an answer without any page.
func (v *visitor) refusal(t *testing.T, n *tenant, client string, pairs ...string) string {
	t.Helper()
	return v.get(t, n.ask(client, pairs...)).answer(t, n).Get("error")
}

// shows requires a page with all of these texts.
func (p *page) shows(t *testing.T, texts ...string) *page {
	t.Helper()
	for _, text := range texts {
		if p.status != http.StatusOK || !strings.Contains(p.body, text) {
			t.Fatalf("no %q on %s: %d %s", text, p.at, p.status, p.body)
		}
	}
	return p
}

func TestOIDC_3_1_2_1_SelectAccount(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	first := v.signIn(t, w.acme, "alice")
	w.pass(time.Hour)
	ask := w.acme.ask("own", "prompt", "select_account")
	p := v.follow(t, v.get(t, ask)).shows(t, "Choose an account", "Signed in as alice")
	if c := w.acme.code(t, v.follow(t, v.press(t, p, "login-stay")).answer(t, w.acme)); c.Auth.SessionID != first.ID || !c.Auth.AuthTime.Equal(first.AuthTime) {
		t.Errorf("who stays: %+v", c.Auth)
	}
	p = v.follow(t, v.get(t, ask)).shows(t, "Choose an account")
	p = v.get(t, p.at.String()+"&other=1").shows(t, "Password")
	p = v.follow(t, v.press(t, p, "login-submit", "username", "bob", "password", password))
	if c := w.acme.code(t, p.answer(t, w.acme)); c.Auth.AccountID != "bob" {
		t.Errorf("who changes: %+v", c.Auth)
	}
	w.pass(time.Minute)
	p = v.follow(t, v.get(t, w.acme.ask("own", "prompt", "login select_account"))).shows(t, "Confirm that it is you", "Signed in as bob")
	if strings.Contains(p.body, `id="login-stay"`) {
		t.Error("with login nobody just stays")
	}
	if got := v.press(t, p, "login-submit", "username", "alice", "password", password); got.status != http.StatusBadRequest || !strings.Contains(got.body, "That is another account.") {
		t.Errorf("somebody else on a page about bob: %d", got.status)
	}
}

// Another account in the same browser has not been asked because the first one was.
func TestWhoStaysIsTheAccountOnThePage(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	v.signIn(t, w.acme, "bob")
	ofBob := v.jar[web.SessionCookie]
	v.signIn(t, w.acme, "alice")
	w.pass(time.Hour)
	p := v.follow(t, v.get(t, w.acme.ask("own", "prompt", "select_account"))).shows(t, "Signed in as alice")
	v.jar[web.SessionCookie] = ofBob
	v.follow(t, v.press(t, p, "login-stay")).shows(t, "Choose an account", "Signed in as bob")
}

func TestOIDC_3_1_2_1_IDTokenHint(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	if got := v.refusal(t, w.acme, "own", "id_token_hint", "token of alice", "prompt", "none"); got != "login_required" {
		t.Errorf("nobody: %s", got)
	}
	v.signIn(t, w.acme, "alice")
	if q := v.get(t, w.acme.ask("own", "id_token_hint", "token of alice", "prompt", "none")).answer(t, w.acme); !q.Has("code") {
		t.Errorf("alice: %v", q)
	}
	for _, pairs := range [][]string{
		{"id_token_hint", "token of bob", "prompt", "none"},
		{"claims", `{"id_token":{"sub":{"value":"sub of bob"}}}`, "prompt", "none"}, // OIDC Core §5.5.1
	} {
		if got := v.refusal(t, w.acme, "own", pairs...); got != "login_required" {
			t.Errorf("%v: %s", pairs, got)
		}
		pairs = pairs[:2]
		p := v.follow(t, v.get(t, w.acme.ask("own", pairs...))).shows(t, "This needs another account", "Password")
		p = v.follow(t, v.press(t, p, "login-submit", "username", "alice", "password", password)).shows(t, "This needs another account")
		p = v.follow(t, v.press(t, p, "login-submit", "username", "bob", "password", password))
		if c := w.acme.code(t, p.answer(t, w.acme)); c.Auth.AccountID != "bob" {
			t.Errorf("%v: %+v", pairs, c.Auth)
		}
		v.signIn(t, w.acme, "alice")
	}
	for _, pairs := range [][]string{
		{"id_token_hint", "forged"},
		{"id_token_hint", "forged", "prompt", "none"},
		{"id_token_hint", "token of alice", "claims", `{"userinfo":{"sub":{"value":"sub of bob"}}}`},
	} {
		if got := v.refusal(t, w.acme, "own", pairs...); got != "invalid_request" {
			t.Errorf("%v: %s", pairs, got)
		}
	}
}

const essential = `{"id_token":{"acr":{"essential":true,"values":["phrh","phr"]}}}`

// A person who can does more than before; the session stays the same one (RFC 9470 §4).
func TestRFC9470_StepUp(t *testing.T) {
	for name, pairs := range map[string][]string{
		"OIDC Core §5.5.1.1, essential": {"claims", essential},
		"the API of the scope":          {"scope", "openid pay"},
		"the API of the resource":       {"resource", vault},
		"wished for":                    {"acr_values", "phr"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.acme.own(t, "alice", syncedKey)
			v := w.visitor()
			first := v.signIn(t, w.acme, "alice")
			before := w.acme.code(t, v.get(t, w.acme.ask("bank")).answer(t, w.acme))
			w.pass(time.Minute)
			p := v.follow(t, v.get(t, w.acme.ask("bank", pairs...))).shows(t, "One more step", "Signed in as alice", "The bank asks for one of your passkeys.")
			if strings.Contains(p.body, `id="password"`) {
				t.Error("a password is offered, which would not do")
			}
			if skips := strings.Contains(p.body, `id="login-stay"`); skips != (name == "wished for") {
				t.Errorf("may go on without: %v", skips)
			}
			after := v.signInWith(t, w.acme, "alice", syncedKey, &first)
			c := w.acme.code(t, v.get(t, strings.Replace(p.at.String(), "/login?", "/authorize/next?", 1)).answer(t, w.acme))
			if c.Auth.ACR != "phr" || c.Auth.SessionID != before.Auth.SessionID || !c.Auth.AuthTime.Equal(after.AuthTime) {
				t.Errorf("got %+v", c.Auth)
			}
		})
	}
}

func TestRFC9470_StepUpThatCannotBe(t *testing.T) {
	w := newWorld(t)
	w.acme.own(t, "bob", syncedKey)
	v := w.visitor()
	v.signIn(t, w.acme, "alice")
	for _, pairs := range [][]string{{"claims", essential}, {"scope", "openid pay"}, {"resource", vault}, {"claims", essential, "prompt", "none"}} {
		if got := v.refusal(t, w.acme, "bank", pairs...); got != "unmet_authentication_requirements" {
			t.Errorf("%v: %s", pairs, got)
		}
	}
	for _, pairs := range [][]string{{"acr_values", "phrh phr"}, {"resource", orders}, {"scope", "openid read"}, {"claims", `{"id_token":{"acr":{"values":["phr"]}}}`}} {
		if c := w.acme.code(t, v.get(t, w.acme.ask("bank", pairs...)).answer(t, w.acme)); c.Auth.ACR != "1" {
			t.Errorf("%v: %+v", pairs, c.Auth)
		}
	}
	v.signIn(t, w.acme, "bob")
	if got := v.refusal(t, w.acme, "bank", "resource", vault, "prompt", "none"); got != "login_required" {
		t.Errorf("bob could, but may not be asked: %s", got)
	}
	if got := v.refusal(t, w.acme, "bank", "claims", `{"id_token":{"acr":{"essential":true,"value":"gold"}}}`); got != "unmet_authentication_requirements" {
		t.Errorf("what nobody can: %s", got)
	}
	answer := v.push(t, w.acme, parameters("bank", "claims", `{"id_token":{"acr":{"essential":true,"value":"gold"}}}`))
	if answer.status != http.StatusBadRequest || !strings.Contains(answer.body, string(oauth.UnmetAuthenticationRequirements)) {
		t.Errorf("pushed: %d %s", answer.status, answer.body)
	}
}

// What is only wished for is asked for once, and can be left (OIDC Core §3.1.2.1, acr_values).
func TestOIDC_3_1_2_1_ACRValuesAreAWish(t *testing.T) {
	w := newWorld(t)
	w.acme.own(t, "alice", deviceKey)
	v := w.visitor()
	p := v.follow(t, v.get(t, w.acme.ask("own", "acr_values", "phrh")))
	p = v.follow(t, v.press(t, p, "login-submit", "username", "alice", "password", password)).shows(t, "One more step", "stays on one device")
	p = v.follow(t, v.press(t, p, "login-stay"))
	if c := w.acme.code(t, p.answer(t, w.acme)); c.Auth.ACR != "1" {
		t.Errorf("without: %+v", c.Auth)
	}
	// A passkey that is weaker is good enough for whoever has been asked.
	w.acme.own(t, "alice", syncedKey)
	s := v.signInWith(t, w.acme, "alice", syncedKey, nil)
	p = v.follow(t, v.get(t, w.acme.ask("own", "acr_values", "phrh"))).shows(t, "That passkey is synced", "Continue without it")
	if c := w.acme.code(t, v.follow(t, v.press(t, p, "login-stay")).answer(t, w.acme)); c.Auth.ACR != "phr" || c.Auth.SessionID != s.ID {
		t.Errorf("with another: %+v", c.Auth)
	}
}

// The client finds in acr what it has asked for, not more (OIDC Core §5.5.1.1, RFC 9470 §5).
func TestRFC9470_5_TheRequestedACRIsTold(t *testing.T) {
	w := newWorld(t)
	v := w.visitor()
	v.signInWith(t, w.acme, "alice", deviceKey, nil)
	for _, c := range []struct {
		want  string
		pairs []string
	}{
		{"phrh", nil}, {"phr", []string{"acr_values", "phr"}}, {"1", []string{"acr_values", "1"}}, {"phrh", []string{"acr_values", "1 phrh"}},
		{"phr", []string{"acr_values", "1 phr", "resource", vault}}, {"phrh", []string{"acr_values", "1", "resource", vault}},
		{"phrh", []string{"claims", essential}}, {"1", []string{"claims", strings.Replace(essential, `"phrh","phr"`, `"1"`, 1)}},
	} {
		if got := w.acme.code(t, v.get(t, w.acme.ask("bank", c.pairs...)).answer(t, w.acme)); got.Auth.ACR != c.want {
			t.Errorf("%v: %s", c.pairs, got.Auth.ACR)
		}
	}
	w.pass(6 * time.Minute)
	v.follow(t, v.get(t, w.acme.ask("bank", "resource", vault))).shows(t, "Confirm that it is you", "The bank asks you to sign in again.")
	if got := v.refusal(t, w.acme, "bank", "resource", vault, "prompt", "none"); got != "login_required" {
		t.Errorf("too long ago for the API: %s", got)
	}
}
