package authorize_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/web"
)

// pushedModel is what a pushed request must do.
type pushedModel struct {
	uri      string
	at       time.Time
	answered bool
}

func (p *pushedModel) opens(now time.Time) bool {
	return !p.answered && now.Before(p.at.Add(90*time.Second))
}

// interactionModel is what an interaction must do.
type interactionModel struct {
	id       string
	owner    *browserModel
	cookie   [2]string // as it was at the beginning: a thief keeps it
	at       time.Time
	pushed   *pushedModel // nil: the request is in the cookie
	answered bool
}

func (i *interactionModel) alive(now time.Time) bool {
	if i.pushed != nil && (i.pushed.answered || !now.Before(i.pushed.at.Add(90*time.Second+flow.Lifetime))) {
		return false
	}
	return now.Before(i.at.Add(flow.Lifetime))
}

type browserModel struct {
	*visitor
	signedIn bool
	live     []*interactionModel // in the jar, oldest first
}

// machine drives pushed requests and interactions in three browsers at random, and knows what each step must do.
type machine struct {
	n        *tenant
	browsers []*browserModel
	pushed   []*pushedModel
	all      []*interactionModel
	codes    map[string]bool
}

// TestLifeOfRequests: each pushed request and each interaction has at most one answer, in its time, in its browser.
func TestLifeOfRequests(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := &machine{n: w.acme, codes: map[string]bool{}}
		for range 3 {
			m.browsers = append(m.browsers, &browserModel{visitor: w.visitor()})
		}
		rt.Repeat(map[string]func(*rapid.T){
			"push": m.push, "open pushed": m.openPushed, "open": m.open, "sign in": m.signIn, "sign out": m.signOut,
			"next": m.next, "cancel": m.cancel, "stolen cookie": m.stolen, "time": m.time,
		})
	})
}

func (m *machine) browser(t *rapid.T) *browserModel {
	return rapid.SampledFrom(m.browsers).Draw(t, "browser")
}

func (m *machine) push(t *rapid.T) {
	uri := m.browsers[0].push(t, m.n, parameters("own")).pushed(t)
	m.pushed = append(m.pushed, &pushedModel{uri: uri, at: m.n.now()})
}

func (m *machine) openPushed(t *rapid.T) {
	if len(m.pushed) == 0 {
		t.Skip("none pushed")
	}
	p, b := rapid.SampledFrom(m.pushed).Draw(t, "pushed"), m.browser(t)
	got := b.get(t, m.n.open("own", p.uri))
	if !p.opens(m.n.now()) {
		got.isErrorPage(t, "invalid_request_uri")
		return
	}
	m.opened(t, b, got, p)
}

func (m *machine) open(t *rapid.T) {
	b := m.browser(t)
	m.opened(t, b, b.get(t, m.n.ask("own")), nil)
}

// opened checks the first answer: a code for who is signed in, and the login page with an interaction otherwise.
func (m *machine) opened(t *rapid.T, b *browserModel, got *page, p *pushedModel) {
	if b.signedIn {
		m.answered(t, got, http.StatusSeeOther)
		if p != nil {
			p.answered = true
		}
		return
	}
	u := must(url.Parse(got.location()))
	if u.Path != "/login" {
		t.Fatalf("leads to %s", u)
	}
	i := &interactionModel{id: u.Query().Get("i"), owner: b, at: m.n.now(), pushed: p}
	name := web.InteractionCookie + i.id[:8]
	i.cookie = [2]string{name, b.jar[name]}
	m.all = append(m.all, i)
	b.live = slices.DeleteFunc(b.live, func(o *interactionModel) bool { return !m.n.now().Before(o.at.Add(flow.Lifetime)) })
	if len(b.live) == 5 {
		b.live = b.live[1:]
	}
	b.live = append(b.live, i)
	m.n.pass(time.Millisecond) // of two as old as each other either may go first
	if b.interactions() != len(b.live) {
		t.Fatalf("%d interactions in the browser, want %d", b.interactions(), len(b.live))
	}
}

// answered requires a code that nobody has seen.
func (m *machine) answered(t *rapid.T, got *page, status int) {
	code := got.answer(t, m.n).Get("code")
	if got.status != status || code == "" || m.codes[code] {
		t.Fatalf("answer %d with code %q", got.status, code)
	}
	m.codes[code] = true
}

func (m *machine) signIn(t *rapid.T) {
	b := m.browser(t)
	b.visitor.signIn(t, m.n, "alice")
	b.signedIn = true
}

func (m *machine) signOut(t *rapid.T) {
	b := m.browser(t)
	delete(b.jar, web.SessionCookie)
	b.signedIn = false
}

func (m *machine) interaction(t *rapid.T) *interactionModel {
	if len(m.all) == 0 {
		t.Skip("none begun")
	}
	return rapid.SampledFrom(m.all).Draw(t, "interaction")
}

// step checks what going on with an interaction does in a browser that does or does not have its cookie.
func (m *machine) step(t *rapid.T, b *browserModel, i *interactionModel, has bool) {
	got := b.get(t, m.n.issuer+"/authorize/next?i="+i.id)
	switch {
	case !has || !i.alive(m.n.now()):
		got.isErrorPage(t, "invalid_request")
	case !b.signedIn:
		if !strings.Contains(got.location(), "/login?i="+i.id) {
			t.Fatalf("leads to %s", got.location())
		}
	case i.answered:
		got.isErrorPage(t, "invalid_request")
	default:
		m.answered(t, got, http.StatusOK)
		i.answered = true
		if i.pushed != nil {
			i.pushed.answered = true
		}
		m.drop(i)
	}
}

func (m *machine) drop(i *interactionModel) {
	i.owner.live = slices.DeleteFunc(i.owner.live, func(o *interactionModel) bool { return o == i })
}

func (m *machine) next(t *rapid.T) {
	i, b := m.interaction(t), m.browser(t)
	m.step(t, b, i, slices.Contains(b.live, i))
}

func (m *machine) cancel(t *rapid.T) {
	i, b := m.interaction(t), m.browser(t)
	form := url.Values{"i": {i.id}}
	got := b.post(t, m.n.issuer+"/login/cancel", form, "Origin", "https://"+host, "Sec-Fetch-Site", "same-origin")
	if !slices.Contains(b.live, i) || !i.alive(m.n.now()) {
		got.isErrorPage(t, "invalid_request")
		return
	}
	if q := b.follow(t, got).answer(t, m.n); q.Get("error") != "access_denied" {
		t.Fatalf("answer %v", q)
	}
	m.drop(i)
}

// stolen goes on with the cookie as it was at first, in the browser of whoever has taken it.
func (m *machine) stolen(t *rapid.T) {
	i := m.interaction(t)
	thief := &browserModel{visitor: m.n.world.visitor(), signedIn: true}
	maps.Copy(thief.jar, map[string]string{i.cookie[0]: i.cookie[1]})
	thief.visitor.signIn(t, m.n, "bob")
	m.stepStolen(t, thief, i)
}

// stepStolen is step, but the owner's cookie stays where it is.
func (m *machine) stepStolen(t *rapid.T, thief *browserModel, i *interactionModel) {
	owner := i.owner
	kept := slices.Clone(owner.live)
	m.step(t, thief, i, true)
	owner.live = kept
}

func (m *machine) time(t *rapid.T) {
	m.n.pass(time.Duration(rapid.SampledFrom([]int{1, 30, 89, 300, 1700}).Draw(t, "seconds")) * time.Second)
}

// However many finish one request at the same time, one gets the code.
func TestOneAnswerUnderContention(t *testing.T) {
	w := newWorld(t)
	n, v := w.acme, w.visitor()
	uri := v.push(t, n, parameters("own")).pushed(t)
	var nexts []string
	var jars []map[string]string
	for range 4 {
		b := w.visitor()
		p := b.get(t, n.open("own", uri))
		b.signIn(t, n, "alice")
		for range 2 { // each interaction twice
			nexts = append(nexts, strings.Replace(p.location(), "/login?", "/authorize/next?", 1))
			jars = append(jars, maps.Clone(b.jar))
		}
	}
	var codes sync.Map
	var wg sync.WaitGroup
	for k := range nexts {
		wg.Go(func() {
			b := w.visitor()
			b.jar = jars[k]
			p := b.get(t, nexts[k])
			if p.status == http.StatusOK {
				codes.Store(p.header.Get("Refresh"), true)
				return
			}
			p.isErrorPage(t, "invalid_request")
		})
	}
	wg.Wait()
	count := 0
	codes.Range(func(any, any) bool { count++; return true })
	if count != 1 {
		t.Errorf("%d answers", count)
	}
}
