package grant_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/internal/tokens"
)

// life is what ought to be true of one grant, from its code on.
type life struct {
	client  string
	key     key
	code    string
	codeEnd time.Time
	spent   bool   // the code
	over    bool   // the grant
	current string // refresh token that works
	idleEnd time.Time
	used    time.Time // as it was written last, for a bound token
	end     time.Time // the grant's
	old     []spentToken
	access  map[string]time.Time // access token -> exp
}

// spentToken is a refresh token that was rotated, and until when its second use is recognised.
type spentToken struct {
	handle string
	until  time.Time
}

// lives is the model of the token endpoint, and does to it what people, clients and thieves do.
type lives struct {
	n   *tenant
	all []*life
}

func (m *lives) pick(t *rapid.T) *life {
	if len(m.all) == 0 {
		t.Skip("nobody has authorized anything")
	}
	return rapid.SampledFrom(m.all).Draw(t, "grant")
}

func (m *lives) authorize(t *rapid.T) {
	l := &life{client: rapid.SampledFrom([]string{"native", "bearer"}).Draw(t, "client"), access: map[string]time.Time{}}
	if l.client == "native" {
		l.key = newKey(t)
	}
	l.code = m.n.code(t, l.client, func(a *request.Authorization) {
		if l.client == "bearer" {
			a.Scope = []string{"openid", "old"}
		}
	})
	l.codeEnd = m.n.now().Add(time.Minute)
	m.all = append(m.all, l)
}

func (m *lives) redeem(t *rapid.T) {
	l := m.pick(t)
	thief := rapid.Bool().Draw(t, "thief")
	form := codeForm(l.client, l.code)
	if thief {
		form["code_verifier"] = "stolen-code-without-its-verifier-0123456789"
	}
	a := m.n.post(t, form, l.options()...)
	fresh := !l.spent && m.n.now().Before(l.codeEnd)
	switch {
	case l.spent:
		want(t, a, 400, "invalid_grant")
		l.over = true
	case !fresh || thief:
		want(t, a, 400, "invalid_grant")
	default:
		l.spent, l.used, l.end = true, m.n.now(), m.n.now().Add(90*24*time.Hour)
		m.issued(t, l, ok(t, a))
	}
}

func (l *life) options() []option {
	if l.client == "bearer" {
		return []option{withBasic("bearer", secret)}
	}
	return []option{l.key.proof()}
}

func (m *lives) issued(t *rapid.T, l *life, a answer) {
	l.access[a.str("access_token")] = m.n.now().Add(5 * time.Minute)
	if next := a.str("refresh_token"); next != "" {
		l.current, l.idleEnd = next, m.n.now().Add(14*24*time.Hour)
	}
	if l.end.Before(l.idleEnd) {
		l.idleEnd = l.end
	}
}

func (m *lives) alive(l *life) bool {
	return !l.over && l.current != "" && m.n.now().Before(l.idleEnd)
}

func (m *lives) refresh(t *rapid.T) {
	l := m.pick(t)
	if l.current == "" {
		t.Skip("no refresh token yet")
	}
	alive := m.alive(l)
	a := m.n.post(t, refreshForm(l.client, l.current), l.options()...)
	if !alive {
		want(t, a, 400, "invalid_grant")
		return
	}
	if l.client == "bearer" {
		l.old = append(l.old, spentToken{l.current, l.idleEnd})
		if ok(t, a).str("refresh_token") == "" {
			t.Fatalf("an unbound refresh token was not rotated")
		}
	}
	if l.client == "native" && m.n.now().Sub(l.used) >= time.Hour {
		l.used, l.idleEnd = m.n.now(), m.n.now().Add(14*24*time.Hour)
	}
	m.issued(t, l, ok(t, a))
}

func (m *lives) refreshWithAnotherKey(t *rapid.T) {
	l := m.pick(t)
	if l.current == "" || l.client == "bearer" {
		t.Skip("not bound")
	}
	want(t, m.n.post(t, refreshForm(l.client, l.current), newKey(t).proof()), 400, "invalid_grant")
}

func (m *lives) reuse(t *rapid.T) {
	l := m.pick(t)
	if len(l.old) == 0 {
		t.Skip("nothing was rotated")
	}
	token := rapid.SampledFrom(l.old).Draw(t, "token")
	want(t, m.n.post(t, refreshForm(l.client, token.handle), l.options()...), 400, "invalid_grant")
	l.over = l.over || m.n.now().Before(token.until)
}

func (m *lives) revoke(t *rapid.T) {
	l := m.pick(t)
	if !l.spent {
		t.Skip("no grant yet")
	}
	id, _, _ := cutHandle(l.code)
	m.n.write(t, func(tx *store.Tx) error {
		g, err := tx.Grant(id)
		return firstError(err, func() error { return tokens.RevokeGrant(tx, &g) })
	})
	l.over = true
}

func (m *lives) wait(t *rapid.T) {
	m.n.pass(rapid.SampledFrom([]time.Duration{time.Second, 30 * time.Second, 10 * time.Minute, 10 * 24 * time.Hour}).Draw(t, "time"))
}

// check asks about every access token: it is active until its end or that of its grant, and never after.
func (m *lives) check(t *rapid.T) {
	for _, l := range m.all {
		for token, exp := range l.access {
			if got, expect := m.n.active(t, token), !l.over && m.n.now().Before(exp); got != expect {
				t.Fatalf("active is %v, the grant is over: %v, expires %v, now %v", got, l.over, exp, m.n.now())
			}
		}
	}
}

func TestLifeOfGrants(t *testing.T) {
	n := install(t, tokens.Lifetimes{}).acme // its feed is not followed: the database is asked, at once
	rapid.Check(t, func(t *rapid.T) {
		m := &lives{n: n}
		t.Repeat(map[string]func(*rapid.T){
			"authorize": m.authorize, "redeem": m.redeem, "refresh": m.refresh, "refresh with another key": m.refreshWithAnotherKey,
			"reuse": m.reuse, "revoke": m.revoke, "wait": m.wait, "": m.check,
		})
	})
}
