package flow_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/holdfast-iam/holdfast/internal/flow"
	"github.com/holdfast-iam/holdfast/internal/objects"
	"github.com/holdfast-iam/holdfast/internal/request"
	"github.com/holdfast-iam/holdfast/internal/store"
	"github.com/holdfast-iam/holdfast/oauth"
)

// signIn is one question to Next, in words.
type signIn struct {
	prompt, subjects, wished, required string // lists
	maxAge                             int64  // -1: none
	settled                            bool

	session, reach string // acr; session "": nobody
	ago            int64  // seconds; negative: since the request
	needACR        string
	needAge        int64
}

func (q signIn) next() (*flow.Interaction, flow.Known, flow.Verdict) {
	i := &flow.Interaction{ID: "i", CreatedAt: start, Request: &request.Authorization{
		Scope: []string{"openid"}, Prompt: strings.Fields(q.prompt), Subjects: strings.Fields(q.subjects),
		ACRValues: list(q.wished), RequiredACR: list(q.required),
	}}
	if q.maxAge >= 0 {
		i.Request.MaxAge = &q.maxAge
	}
	k := flow.Known{Client: &objects.Client{FirstParty: true}, Needs: request.Needs{ACR: q.needACR, MaxAge: time.Duration(q.needAge) * time.Second}}
	if q.session != "" {
		k.Session = &store.Session{AccountID: "alice", ACR: q.session, AuthTime: start.Add(-time.Duration(q.ago) * time.Second)}
		k.Subject, k.Reach = "sub of alice", q.reach
		if !objects.MeetsACR(q.reach, q.session) {
			k.Reach = q.session
		}
		if q.settled {
			i.Settled = "alice"
		}
	}
	return i, k, flow.Next(i, k)
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Fields(text)
}

func TestNextAsksForTheRightSignIn(t *testing.T) {
	const bob = "bob"
	for _, c := range []struct {
		name string
		q    signIn
		want flow.Lack
	}{
		{"nobody", signIn{maxAge: -1}, flow.Lack{Why: flow.Nobody}},
		{"OIDC §3.1.2.1, id_token_hint of somebody else", signIn{maxAge: -1, session: "1", subjects: bob}, flow.Lack{Why: flow.SomebodyElse}},
		{"somebody else, and too long ago", signIn{maxAge: 0, session: "1", ago: 9, subjects: bob, prompt: "login"}, flow.Lack{Why: flow.SomebodyElse}},
		{"OIDC §3.1.2.1, prompt=login", signIn{maxAge: -1, session: "phr", ago: 1, prompt: "login"}, flow.Lack{Why: flow.Again}},
		{"with a strength", signIn{maxAge: -1, session: "phr", ago: 1, prompt: "login", required: "phr"}, flow.Lack{flow.Again, "phr", true}},
		{"prompt=create", signIn{maxAge: -1, session: "1", ago: 1, prompt: "create"}, flow.Lack{Why: flow.Nobody}},
		{"prompt=select_account", signIn{maxAge: -1, session: "1", ago: 1, prompt: "select_account"}, flow.Lack{Why: flow.Choice}},
		{"and login", signIn{maxAge: -1, session: "1", ago: 1, prompt: "select_account login", settled: true}, flow.Lack{Why: flow.Again}},
		{"OIDC §3.1.2.1, max_age", signIn{maxAge: 8, session: "1", ago: 9}, flow.Lack{Why: flow.Again}},
		{"RFC 9470, the age of an API", signIn{maxAge: 60, session: "1", ago: 31, needAge: 30}, flow.Lack{Why: flow.Again}},
		{"max_age is less than that of the API", signIn{maxAge: 8, session: "1", ago: 9, needAge: 30}, flow.Lack{Why: flow.Again}},
		{"RFC 9470, the acr of an API", signIn{maxAge: -1, session: "1", reach: "phrh", needACR: "phr"}, flow.Lack{flow.Stronger, "phr", true}},
		{"a settled person needs it all the same", signIn{maxAge: -1, session: "1", reach: "phr", needACR: "phr", settled: true}, flow.Lack{flow.Stronger, "phr", true}},
		{"OIDC §5.5.1.1, essential", signIn{maxAge: -1, session: "1", reach: "phr", required: "phrh phr"}, flow.Lack{flow.Stronger, "phr", true}},
		{"essential, and the API wants more", signIn{maxAge: -1, session: "phr", reach: "phrh", required: "phr phrh", needACR: "phrh"}, flow.Lack{flow.Stronger, "phrh", true}},
		{"OIDC §3.1.2.1, acr_values", signIn{maxAge: -1, session: "1", reach: "phrh", wished: "phr"}, flow.Lack{flow.Stronger, "phr", false}},
		{"the first that can be reached", signIn{maxAge: -1, session: "1", reach: "phr", wished: "phrh phr 1"}, flow.Lack{flow.Stronger, "phr", false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, v := c.q.next()
			if v.Step != flow.StepLogin || v.Lack != c.want {
				t.Errorf("got %+v", v)
			}
			if c.q.prompt != "" {
				return
			}
			c.q.prompt = "none"
			_, _, v = c.q.next()
			if c.want.Why == flow.Stronger && !c.want.Must {
				if v.Step != flow.StepDone || v.ACR != c.q.session {
					t.Errorf("prompt=none: got %+v", v)
				}
			} else if v.Step != flow.StepRefused || v.Refusal.Code != oauth.LoginRequired {
				t.Errorf("prompt=none: got %+v", v)
			}
		})
	}
}

func TestNextAnswers(t *testing.T) {
	for _, c := range []struct {
		name string
		q    signIn
		acr  string // of the answer; "": it is refused as unmet
	}{
		{"nothing named", signIn{maxAge: -1, session: "phr"}, "phr"},
		{"the right person", signIn{maxAge: -1, session: "1", prompt: "select_account", settled: true}, "1"},
		{"signed in since", signIn{maxAge: 0, session: "1", prompt: "select_account login create", ago: -1}, "1"},
		{"OIDC §3.1.2.1, wished for and cannot be", signIn{maxAge: -1, session: "1", wished: "phrh phr"}, "1"},
		{"wished for and does not want to", signIn{maxAge: -1, session: "1", reach: "phrh", wished: "phrh", settled: true}, "1"},
		{"the preferred one is there", signIn{maxAge: -1, session: "phr", reach: "phrh", wished: "phr phrh"}, "phr"},
		{"more than wished for", signIn{maxAge: -1, session: "phrh", wished: "1 phr"}, "phr"},
		{"OIDC §5.5.1.1, essential", signIn{maxAge: -1, session: "phrh", required: "1"}, "1"},
		{"any of those that are essential", signIn{maxAge: -1, session: "phr", reach: "phrh", required: "phrh phr"}, "phr"},
		{"essential and cannot be", signIn{maxAge: -1, session: "1", required: "phr"}, ""},
		{"and too long ago", signIn{maxAge: 0, session: "1", ago: 1, required: "phr"}, ""},
		{"without asking", signIn{maxAge: -1, session: "1", required: "phr", prompt: "none"}, ""},
		{"RFC 9470 §5, what the API takes is told", signIn{maxAge: -1, session: "phrh", wished: "1", needACR: "phr"}, "phrh"},
		{"the API takes what was wished for", signIn{maxAge: -1, session: "phrh", wished: "phr 1", needACR: "phr"}, "phr"},
		{"the API takes nothing that is essential", signIn{maxAge: -1, session: "phrh", required: "1", needACR: "phr"}, ""},
		{"the API cannot be served", signIn{maxAge: -1, session: "1", needACR: "phr"}, ""},
		{"recent enough for the API", signIn{maxAge: -1, session: "1", ago: 30, needAge: 30}, "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, v := c.q.next()
			if c.acr == "" {
				if v.Step != flow.StepRefused || v.Refusal.Code != oauth.UnmetAuthenticationRequirements {
					t.Errorf("got %+v", v)
				}
			} else if v.Step != flow.StepDone || v.ACR != c.acr {
				t.Errorf("got %+v", v)
			}
		})
	}
}

// drawSignIn is any question.
func drawSignIn(t *rapid.T) signIn {
	some := func(label string, words ...string) string {
		return strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom(words), 0, 3, rapid.ID).Draw(t, label), " ")
	}
	acr := rapid.SampledFrom([]string{"1", "phr", "phrh"})
	q := signIn{
		maxAge: rapid.SampledFrom([]int64{-1, 0, 30, 60}).Draw(t, "max_age"), subjects: rapid.SampledFrom([]string{"", "", "bob"}).Draw(t, "subjects"),
		settled: rapid.Bool().Draw(t, "settled"), session: rapid.SampledFrom([]string{"", "1", "phr", "phrh"}).Draw(t, "session"), reach: acr.Draw(t, "reach"),
		ago:     rapid.Int64Range(-5, 100).Draw(t, "ago"),
		needACR: rapid.SampledFrom([]string{"", "1", "phr", "phrh"}).Draw(t, "acr of the API"), needAge: rapid.SampledFrom([]int64{0, 30, 60}).Draw(t, "age of the API"),
	}
	if q.prompt = "none"; rapid.Bool().Draw(t, "asks") {
		q.prompt = some("prompt", "login", "select_account", "create", "later")
	}
	if named := some("acr", "1", "phr", "phrh"); rapid.Bool().Draw(t, "essential") {
		q.required = named
	} else {
		q.wished = named
	}
	return q
}

// An answer has everything that was demanded; a question is asked only where its answer helps; a refusal only where
// nothing would.
func TestNextKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := drawSignIn(t)
		i, k, v := q.next()
		a := i.Request
		switch v.Step {
		case flow.StepDone:
			s := k.Session
			oldest := start.Add(-100 * time.Hour)
			if q.maxAge >= 0 {
				oldest = start.Add(-time.Duration(q.maxAge) * time.Second)
			}
			switch {
			case s == nil || q.subjects != "":
				t.Fatal("of the wrong person")
			case s.AuthTime.Before(oldest) || q.needAge > 0 && s.AuthTime.Before(start.Add(-k.Needs.MaxAge)):
				t.Fatal("of too long ago")
			case (a.Prompts("login") || a.Prompts("create")) && s.AuthTime.Before(start):
				t.Fatal("without the login that was asked for")
			case !objects.MeetsACR(s.ACR, v.ACR):
				t.Fatalf("says %s of %s", v.ACR, s.ACR)
			case a.RequiredACR != nil && !slices.Contains(a.RequiredACR, v.ACR):
				t.Fatalf("%s is none of %q", v.ACR, a.RequiredACR)
			case q.needACR != "" && !objects.MeetsACR(v.ACR, q.needACR):
				t.Fatalf("the API refuses %s", v.ACR)
			}
		case flow.StepLogin:
			if a.Prompts("none") {
				t.Fatal("asks although it must not")
			}
			helps(t, q, v.Lack)
		case flow.StepRefused:
			refused(t, q, v.Refusal.Code)
		default:
			t.Fatalf("step %v", v.Step)
		}
	})
}

// helps follows the person who does what they are asked.
func helps(t *rapid.T, q signIn, lack flow.Lack) {
	switch lack.Why {
	case flow.Nobody, flow.SomebodyElse:
		q.session, q.subjects, q.ago = "1", "", 0
	case flow.Choice:
		q.settled = true
	case flow.Again:
		if q.ago = 0; lack.ACR != "" {
			q.session = lack.ACR
		}
	case flow.Stronger:
		if objects.MeetsACR(q.session, lack.ACR) {
			t.Fatalf("asks for %s of %s", lack.ACR, q.session)
		}
		q.session, q.ago, q.settled = lack.ACR, 0, true // who has answered that page is settled
	default:
		t.Fatalf("asks for %v", lack.Why)
	}
	_, _, after := q.next()
	if after.Step == flow.StepLogin && after.Lack.Why == lack.Why {
		t.Fatalf("asks the same again: %+v", after.Lack)
	}
	if !lack.Must && lack.Why == flow.Stronger {
		q.session, q.settled = "1", true
		if _, _, skipped := q.next(); skipped.Step == flow.StepLogin && skipped.Lack.Why == flow.Stronger && !skipped.Lack.Must {
			t.Fatal("what is only wished for is asked for twice")
		}
	}
}

func refused(t *rapid.T, q signIn, code oauth.Code) {
	switch code {
	case oauth.LoginRequired:
		if q.prompt != "none" {
			t.Fatal("could ask instead")
		}
	case oauth.UnmetAuthenticationRequirements:
		q.prompt, q.session, q.ago = "", "phrh", 0
		able := false
		for _, acr := range strings.Fields(q.required) {
			able = able || q.needACR == "" || objects.MeetsACR(acr, q.needACR)
		}
		if _, _, v := q.next(); v.Step == flow.StepRefused && (q.required == "" || able) {
			t.Fatalf("the strongest sign-in would not do: %+v", v.Refusal)
		}
	default:
		t.Fatalf("refused with %s", code)
	}
}
